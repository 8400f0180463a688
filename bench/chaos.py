"""``./dev soak chaos``: the control plane killed, the proxy replaced, at random, again and again.

Rollouts go on back to back under load meanwhile. A kill is ``kill -9`` and a start anew; a reload
hands over to new HAProxy processes, of another version in turns where the machine has one. At the
end HAProxy itself is killed a few times: what that breaks is measured, not forbidden. Exit 1 when
a request was lost before that, a pod was restarted, a rollout did not end, or anything is left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TypeVar

from bench.crash import Crash, crash_main
from bench.engine import (
    FREE_PORTS,
    BenchFailed,
    Engine,
    engine_in,
    say,
    state_folder,
    until_answered,
)
from bench.leftovers import Leftovers, Processes, leftovers_of
from bench.manifests import hello
from nodrop.cli.apply import apply_all
from nodrop.cli.background import ensure_engine, until_gone
from nodrop.client.http import Unreachable
from nodrop.client.protocol import Scope
from nodrop.model.kinds import POD
from nodrop.model.meta import is_deleting
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Summary
from nodrop.wiring.handover import choose_program

_REPLICAS = 3
_NAME = "hello"
_WITHIN_S = 60.0
_SETTLE_TIMEOUT_S = 120.0
_LOOK_S = 0.02
_LONGEST_PAUSE_S = 1.5
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How often what is done. ``rate`` is in requests a second."""

    kills: int
    reloads: int
    crashes: int = 5
    rate: float = 300.0
    seed: int = 1


@dataclass(slots=True)
class Chaos:
    """What was done and what came of it."""

    kills: int = 0
    reloads: int = 0
    versions: list[str] = field(default_factory=list)
    rollouts: int = 0
    restarted: list[str] = field(default_factory=list)
    seconds: float = 0.0
    load: Summary = field(default_factory=Summary)
    crashes: list[Crash] = field(default_factory=list)
    proxies: int = 0
    leftovers: Leftovers = field(default_factory=Leftovers)
    survivors: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (
            self.load.total.lost
            or self.restarted
            or self.leftovers.any
            or self.survivors
            or self.proxies > 2
        )

    def as_json(self) -> dict[str, object]:
        return {
            "kills_of_the_control_plane": self.kills,
            "replacements_of_the_proxy": self.reloads,
            "haproxy_programs": self.versions,
            "rollouts": self.rollouts,
            "pods_restarted": self.restarted,
            "seconds": round(self.seconds, 1),
            "load": self.load.figures(),
            "kills_of_haproxy": [asdict(crash) for crash in self.crashes],
            "haproxy_processes_at_the_end": self.proxies,
            "left_while_running": asdict(self.leftovers),
            "left_after_down": self.survivors,
            "clean": self.clean,
        }


async def chaos(plan: Plan) -> Chaos:
    """Start an engine, do all of it, end it. Raises BenchFailed when something does not end."""
    found, seen = Chaos(), Processes()
    async with state_folder() as state, engine_in(state) as engine:
        await _Run(plan, engine, found, seen).run()
        found.leftovers = await leftovers_of(engine, _SETTLE_TIMEOUT_S)
        found.proxies = await _proxies_at_last(engine)
        seen.look(engine)
    found.survivors = seen.alive()
    return found


class _Run:
    def __init__(self, plan: Plan, engine: Engine, found: Chaos, seen: Processes) -> None:
        self._plan, self._engine, self._found, self._seen = plan, engine, found, seen
        self._chance = random.Random(plan.seed)
        self._programs = _programs()
        self._over = False

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        await self._roll()
        await until_answered(self._engine.url)
        start = loop.time()
        async with self._loaded(self._found.load), asyncio.TaskGroup() as group:
            group.create_task(self._roll_on(), name="rollouts")
            await self._disturb()
            self._over = True
        self._found.seconds = loop.time() - start
        for _ in range(self._plan.crashes):
            await self._crash()

    @asynccontextmanager
    async def _loaded(self, summary: Summary) -> AsyncIterator[None]:
        load = await LoadProcess.start(arguments_for(self._engine.url, rate=self._plan.rate))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_collect(load, summary), name="load")
                yield
                load.stop()
        finally:
            await load.kill()

    # Rollouts, whoever is alive

    async def _roll_on(self) -> None:
        while not self._over:
            await self._roll()

    async def _roll(self) -> None:
        self._found.rollouts += 1
        env = {"ON_SIGTERM": "exit", "START_S": "0.1"}
        objects = hello(
            _REPLICAS,
            version=f"v{self._found.rollouts}",
            env=env,
            strategy={"maxSurge": 1, "maxUnavailable": 0},
        )
        await _patiently(lambda: apply_all(self._engine.client, objects))
        await _patiently(lambda: self._engine.until_available(_NAME, _REPLICAS))
        self._found.restarted += await _patiently(self._restarted)

    async def _restarted(self) -> list[str]:
        pods = (await self._engine.client.list(POD, Scope("default"))).items
        return [
            pod["metadata"]["name"]
            for pod in pods
            if not is_deleting(pod)
            and any(s["restartCount"] for s in pod["status"].get("containerStatuses") or ())
        ]

    # Disturbances

    async def _disturb(self) -> None:
        deeds = [self._kill] * self._plan.kills + [self._reload] * self._plan.reloads
        self._chance.shuffle(deeds)
        for number, deed in enumerate(deeds, 1):
            await asyncio.sleep(self._chance.uniform(0.0, _LONGEST_PAUSE_S))
            await deed()
            self._seen.look(self._engine)
            if number % 10 == 0:
                self._tell(number, len(deeds))

    async def _kill(self) -> None:
        pid = self._engine.info["pids"]["engine"]
        os.kill(pid, signal.SIGKILL)
        await until_gone(pid, timeout_s=_WITHIN_S)
        await ensure_engine(self._engine.state, FREE_PORTS)
        self._found.kills += 1

    async def _reload(self) -> None:
        program = self._programs[self._found.reloads % len(self._programs)]
        choose_program(self._engine.state, program)
        before = self._engine.info
        os.kill(before["pids"]["engine"], signal.SIGUSR2)
        count = before["proxy"]["replacements"]
        async with asyncio.timeout(_WITHIN_S):
            while (now := self._engine.info)["proxy"]["replacements"] == count:  # noqa: ASYNC110 (a file)
                await asyncio.sleep(_LOOK_S)
        if failure := now["proxy"]["failure"]:
            raise BenchFailed(f"the proxy was not replaced: {failure}")
        self._found.reloads += 1
        self._found.versions = sorted({*self._found.versions, now["proxy"]["program"]})

    async def _crash(self) -> None:
        summary = Summary()
        async with self._loaded(summary):
            crash = await crash_main(self._engine)
        crash = crash.with_load(summary)
        say(str(crash))
        self._found.crashes.append(crash)

    def _tell(self, number: int, deeds: int) -> None:
        total = self._found.load.total
        say(
            f"{number} of {deeds} disturbances, {self._found.rollouts} rollouts; "
            f"{total.requests:,} requests, {total.lost} lost"
        )


async def _patiently(work: Callable[[], Awaitable[_T]]) -> _T:
    """Do it, again while nobody answers: the control plane is killed now and then."""
    while True:
        try:
            return await work()
        except Unreachable:
            await asyncio.sleep(_LOOK_S)
        except BaseExceptionGroup as group:
            if group.split(Unreachable)[1] is not None:
                raise
            await asyncio.sleep(_LOOK_S)


def _programs() -> list[Path]:
    """The HAProxy programs to take turns with: the system's, and the newest."""
    found = shutil.which("haproxy", path=_PATH)
    return [*([Path(found)] if found else []), find_binary()]


async def _proxies_at_last(engine: Engine) -> int:
    """How many HAProxy processes are left when replaced ones have had time to end."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _SETTLE_TIMEOUT_S
    while (  # noqa: ASYNC110 (other processes)
        count := len(engine.pids()["proxy"])
    ) > 2 and loop.time() < deadline:
        await asyncio.sleep(0.2)
    return count


async def _collect(load: LoadProcess, summary: Summary) -> None:
    async for batch in load.batches():
        summary.add_all(batch)


def main() -> int:
    asked = _parser().parse_args()
    plan = Plan(
        kills=asked.kills,
        reloads=asked.reloads,
        crashes=asked.crashes,
        rate=asked.rate,
        seed=asked.seed,
    )
    try:
        found = asyncio.run(chaos(plan))
    except KeyboardInterrupt:
        say("ended before it was over")
        return 130
    text = json.dumps(found.as_json(), indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")
    return 0 if found.clean else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev soak chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of the control plane")
    parser.add_argument("--reloads", type=int, default=5, help="replacements of HAProxy")
    parser.add_argument("--crashes", type=int, default=5, help="kill -9 of HAProxy, at the end")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
