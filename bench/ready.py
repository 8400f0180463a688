"""How long a pod that has become ready waits for its first request, under load."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.engine import BenchFailed, Engine, fresh_engine, say, until_answered
from bench.figures import Figure, at_most, percentile
from bench.manifests import service
from nodrop.cli.apply import apply_all
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Summary

_APP = Path(__file__).with_name("ready_app.py")
_RATE = 800.0
_REPLICAS = 6
_SHAPE = ("--post-share", "0", "--slow-share", "0", "--fresh-share", "0.05")


class Watched:
    """What the watch showed of pods, and what they answered."""

    def __init__(self) -> None:
        self.lives = Lives()
        self.summary = Summary()
        self.inside_ms: dict[str, float] = {}

    def observe(self, event: WatchEvent, _before: Obj | None) -> None:
        if event.obj["kind"] == "Pod":
            self.lives.observe(event, asyncio.get_running_loop().time())

    async def collect(self, load: LoadProcess) -> None:
        async for batch in load.batches():
            self.summary.add_all(batch)
            self.lives.answered(batch)
            for record in batch:
                if not record.lost:
                    self.inside_ms[record.pod] = float(record.version)


async def measure(*, quick: bool) -> list[Figure]:
    """Roll six replicas again and again. Raises BenchFailed when a request is lost.

    One pod at a time, as the examples do; and three, which come to be ready at the same moment.
    """
    one = await _measure(surge=1, rollouts=2 if quick else 9)
    three = await _measure(surge=3, rollouts=2 if quick else 9)
    return [*_figures(*one, "one at a time"), *_figures(*three, "three at once")]


async def _measure(*, surge: int, rollouts: int) -> tuple[Watched, set[str]]:
    """What was seen, and the names of the pods that were there before the load."""
    watched = Watched()
    async with fresh_engine() as engine:
        cache = Cache(engine.client, (POD,))
        cache.subscribe(watched.observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cache.run())
            await cache.synced()
            await _deploy(engine, 0, surge)
            await until_answered(engine.url)
            first = set(watched.lives.pods)
            load = await LoadProcess.start([*arguments_for(engine.url, rate=_RATE), *_SHAPE])
            try:
                collecting = group.create_task(watched.collect(load))
                for number in range(1, rollouts + 1):
                    await _deploy(engine, number, surge)
                    say(f"  rollout {number} of {rollouts}, {surge} at a time")
                load.stop()
                await collecting
            finally:
                await load.kill()
            watching.cancel()
    return watched, first


async def _deploy(engine: Engine, number: int, surge: int) -> None:
    command = (sys.executable, "-S", "-E", str(_APP))
    strategy = {"maxSurge": surge, "maxUnavailable": 0}
    objects = service("ready", command, replicas=_REPLICAS, version=f"v{number}", strategy=strategy)
    await apply_all(engine.client, objects)
    await engine.until_available("ready", _REPLICAS)


def _figures(watched: Watched, first: set[str], how: str) -> list[Figure]:
    if watched.summary.total.lost:
        raise BenchFailed(f"requests were lost: {watched.summary.total.causes()}")
    new = [life for name, life in watched.lives.pods.items() if name not in first]
    inside = [ms for pod, ms in watched.inside_ms.items() if pod not in first and ms >= 0]
    seen = [life.ready_to_traffic_s for life in new]
    outside = [1000 * delay for delay in seen if delay is not None]
    note = f"{len(outside)} pods; a request every {1000 / _RATE:.2g} ms"
    own = f"{len(inside)} pods, by their own clocks"
    seen_name, own_name = f"{how}: Ready seen → first answer", f"{how}: probe answered → request"
    return [
        Figure(f"{seen_name}, p50", percentile(outside, 50), "ms", note=note),
        Figure(f"{seen_name}, p99", percentile(outside, 99), "ms", at_most(10)),
        Figure(f"{own_name}, p50", percentile(inside, 50), "ms", note=own),
        Figure(f"{own_name}, p99", percentile(inside, 99), "ms", at_most(10)),
    ]
