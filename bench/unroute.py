"""How long a pod that is being deleted still gets requests, under load."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench.engine import BenchFailed, Engine, fresh_engine, say, until_answered
from bench.figures import Figure, at_most, percentile
from bench.manifests import service
from nodrop.cli.apply import apply_all
from nodrop.client.actions import Delete
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, ObjectKey
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Tally

_APP = Path(__file__).with_name("ready_app.py")
_NAME = "unroute"
_RATE = 500.0
_REPLICAS = 2
_SHAPE = (
    *("--post-share", "0", "--slow-share", "0", "--fresh-share", "0.05"),
    *("--version-header", "X-Read-At"),
)
_TIMEOUT_S = 60.0


@dataclass(slots=True)
class Seen:
    """When each pod was asked to end and answered for it, and when it read its last request.

    Every time is of the machine's one monotonic clock.
    """

    lives: Lives = field(default_factory=Lives)
    tally: Tally = field(default_factory=Tally)
    asked: dict[str, float] = field(default_factory=dict)
    accepted: dict[str, float] = field(default_factory=dict)
    last_read: dict[str, float] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def observe(self, event: WatchEvent, _before: Obj | None) -> None:
        self.lives.observe(event, asyncio.get_running_loop().time())
        self.changed.set()

    async def collect(self, load: LoadProcess) -> None:
        async for batch in load.batches():
            for record in batch:
                self.tally.add(record)
                if not record.lost:
                    before = self.last_read.get(record.pod, 0.0)
                    self.last_read[record.pod] = max(before, float(record.version))

    def ready(self) -> list[str]:
        return [life.name for life in self.lives.pods.values() if life.phase == "ready"]

    async def until_replaced(self, name: str) -> None:
        """Return once the pod is gone, all replicas are ready and no other pod is left."""
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                while not self._whole_without(name):
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            raise BenchFailed(f"no {_REPLICAS} ready pods after {_TIMEOUT_S:g} s") from None

    def _whole_without(self, name: str) -> bool:
        life = self.lives.pods.get(name)
        alive = self.lives.count().total()
        return (life is None or life.phase == "gone") and len(self.ready()) == alive == _REPLICAS


async def measure(*, quick: bool) -> list[Figure]:
    """Delete pods one after the other. Raises BenchFailed when a request is lost."""
    seen = Seen()
    async with fresh_engine() as engine:
        cache = Cache(engine.client, (POD,))
        cache.subscribe(seen.observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cache.run())
            await cache.synced()
            command = (sys.executable, "-S", "-E", str(_APP))
            await apply_all(engine.client, service(_NAME, command, replicas=_REPLICAS))
            await engine.until_available(_NAME, _REPLICAS)
            await until_answered(engine.url)
            load = await LoadProcess.start([*arguments_for(engine.url, rate=_RATE), *_SHAPE])
            try:
                collecting = group.create_task(seen.collect(load))
                await _delete_pods(engine, seen, 10 if quick else 100)
                load.stop()
                await collecting
            finally:
                await load.kill()
            watching.cancel()
    return _figures(seen)


async def _delete_pods(engine: Engine, seen: Seen, count: int) -> None:
    loop = asyncio.get_running_loop()
    name = ""
    for number in range(count):
        await seen.until_replaced(name)
        name = min(name for name in seen.ready())
        while name not in seen.last_read:  # noqa: ASYNC110 (the load's own process)
            await asyncio.sleep(0.01)
        seen.asked[name] = loop.time()
        await engine.client.apply(Delete(ObjectKey(POD, "default", name)))
        seen.accepted[name] = loop.time()
        if number % 10 == 9:
            say(f"  pod {number + 1} of {count}")
    await seen.until_replaced(name)


def _figures(seen: Seen) -> list[Figure]:
    if seen.tally.lost:
        raise BenchFailed(f"requests were lost: {seen.tally.causes()}")
    asked = [1000 * (seen.last_read[name] - at) for name, at in seen.asked.items()]
    accepted = [1000 * (seen.last_read[name] - at) for name, at in seen.accepted.items()]
    note = f"{len(asked)} pods, {_RATE / _REPLICAS:g} requests/s each; by the pods' own clocks"
    return [
        Figure("delete asked → last request read, p50", percentile(asked, 50), "ms", note=note),
        Figure("delete asked → last request read, p99", percentile(asked, 99), "ms"),
        Figure("unroute (delete accepted) → last request read, p50", _p(accepted, 50), "ms"),
        Figure(
            "unroute (delete accepted) → last request read, p99",
            _p(accepted, 99),
            "ms",
            at_most(10),
            "0: none after the API's answer",
        ),
    ]


def _p(values: list[float], percent: float) -> float:
    return max(0.0, percentile(values, percent))
