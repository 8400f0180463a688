"""``python -m bench.soak --minutes N``: rollouts back to back under load, and nothing may be lost.

Every rollout takes the next kind of application (``soak_service.KINDS``), while clients of every
protocol (``soak_load``) check each byte that comes back. Now and then the control plane is killed
in the middle of a rollout and started again. Exit 1 when a request was lost, a stream was cut that
its application would have closed, no pod ended under load, or anything is left over.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from bench.engine import (
    FREE_PORTS,
    BenchFailed,
    Engine,
    engine_in,
    say,
    state_folder,
    until_answered,
)
from bench.leftovers import Processes, leftovers_of
from bench.soak_found import Soaked
from bench.soak_load import EVERY_KIND, Entrances, SoakLoad
from bench.soak_service import KINDS, NAME, PORTS, REPLICAS, Kind, objects
from nodrop.cli.apply import apply_all
from nodrop.cli.background import ensure_engine, until_gone
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import POD, SERVICE
from nodrop.model.meta import Obj, ObjectKey
from nodrop.rehearse.schedule import Target, target_of
from nodrop.rehearse.verdict import Stage

_KILLED_WITHIN_S = 10.0
_SETTLE_TIMEOUT_S = 60.0
_ROLLOUT_TIMEOUT_S = 180.0
_LOAD_BEGINS_S = 30.0
_KILL_EVERY = 5


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how much, and with which clients. It goes on until all of it is reached."""

    minutes: float = 0.0
    requests: int = 0
    rollouts: int = len(KINDS)
    rate: float = 400.0
    seed: int = 1
    clients: Collection[str] = EVERY_KIND


class Soak:
    """One soak of a running engine."""

    def __init__(self, plan: Plan, engine: Engine, found: Soaked, seen: Processes) -> None:
        self._plan, self._engine, self._found, self._seen = plan, engine, found, seen
        self._chance = random.Random(plan.seed)
        self._loop = asyncio.get_running_loop()
        self._cache = Cache(engine.client, (POD,))
        self._changed = asyncio.Event()
        self._number = 0

    async def run(self) -> None:
        """Raises BenchFailed when a rollout does not end."""
        self._cache.subscribe(self._observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cache.run(), name="soak watch")
            await self._cache.synced()
            await self._roll(KINDS[0])
            await until_answered(self._engine.url)
            await self._under_load()
            watching.cancel()

    async def _under_load(self) -> None:
        load = SoakLoad(
            await self._entrances(),
            self._plan.rate,
            sink=self._found.add,
            on_end=self._found.add_end,
            kinds=self._plan.clients,
        )
        self._found.stages.begin(Stage("before", self._loop.time(), is_rollout=False))
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(), name="soak load")
            await self._load_begins()
            await self._roll_on()
            load.stop()

    async def _roll_on(self) -> None:
        """Roll one kind after the other until the plan is fulfilled."""
        end = self._loop.time() + 60 * self._plan.minutes
        for number, kind in enumerate(itertools.cycle(KINDS[1:] + KINDS[:1])):
            enough = number >= self._plan.rollouts and self._found.requests >= self._plan.requests
            if enough and self._loop.time() >= end:
                return
            stage = Stage(f"{self._number} ({kind.name})", self._loop.time())
            self._found.stages.begin(stage)
            killed = number % _KILL_EVERY == 2
            await self._roll(kind, kill=killed)
            stage.rolled_out = self._loop.time()
            self._found.rollouts[kind.name] += 1
            self._tell(kind, stage.rollout_s or 0.0, killed=killed)

    async def _roll(self, kind: Kind, *, kill: bool = False) -> None:
        """One version over the one before; returns when no pod of that is left."""
        self._number += 1
        await apply_all(self._engine.client, objects(kind, self._number))
        if kill:
            await asyncio.sleep(self._chance.uniform(0.2, 2.0))  # anywhere in the rollout
            await _kill_and_restart(self._engine)
            self._found.kills += 1
        await self._engine.until_available(NAME, REPLICAS)
        self._seen.look(self._engine)
        await self._until_only(f"v{self._number}-{kind.name}")

    async def _until_only(self, version: str) -> None:
        try:
            async with asyncio.timeout(_ROLLOUT_TIMEOUT_S):
                while others := self._others(version):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise BenchFailed(f"pods of other versions than {version} are left: {others}") from None

    def _others(self, version: str) -> list[str]:
        lives = self._found.lives.pods.values()
        return [life.name for life in lives if life.phase != "gone" and life.version != version]

    def _observe(self, event: WatchEvent, _before: Obj | None) -> None:
        self._found.lives.observe(event, self._loop.time())
        self._changed.set()

    async def _load_begins(self) -> None:
        """Return once every kind of client has been answered."""
        wanted = {"GET", "POST", *self._plan.clients}
        try:
            async with asyncio.timeout(_LOAD_BEGINS_S):
                while missing := wanted - self._found.by_client.keys():  # noqa: ASYNC110 (a dict)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise BenchFailed(f"no answer to {', '.join(sorted(missing))}") from None

    async def _entrances(self) -> Entrances:
        service = await self._engine.client.get(ObjectKey(SERVICE, "default", NAME))
        address = service["spec"]["clusterIP"]
        targets = {
            name: Target(address, port, f"{address}:{port}") for name, (_, port) in PORTS.items()
        }
        info, web = self._engine.info, target_of(self._engine.url)
        tls_port = info["https"]["ports"][0]
        tls = Target(web.address, tls_port, f"{web.address}:{tls_port}")
        return Entrances(self._engine.url, web, tls, targets)

    def _tell(self, kind: Kind, took_s: float, *, killed: bool) -> None:
        also = ", control plane killed" if killed else ""
        say(
            f"rollout {self._number - 1} ({kind.name}{also}): {took_s:.1f} s; "
            f"{self._found.requests:,} requests, {self._found.lost} lost"
        )


async def soak(plan: Plan) -> Soaked:
    """Start an engine, soak it, end it. Raises BenchFailed when a rollout does not end."""
    found, seen = Soaked(), Processes()
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with state_folder() as state, engine_in(state) as engine:
        await Soak(plan, engine, found, seen).run()
        found.seconds = loop.time() - start
        found.leftovers = await leftovers_of(engine, _SETTLE_TIMEOUT_S)
        seen.look(engine)
    found.survivors = seen.alive()
    return found


async def _kill_and_restart(engine: Engine) -> None:
    """kill -9 of the control plane in mid-rollout; the next one goes on where it was."""
    pid = engine.info["pids"]["engine"]
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid, timeout_s=_KILLED_WITHIN_S)
    await ensure_engine(engine.state, FREE_PORTS)


def main() -> int:
    asked = _parser().parse_args()
    try:
        found = asyncio.run(_ended_by_sigterm(asked))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("ended before the time was over")
        return 130
    except Exception as error:
        if (why := _why(error)) is None:
            raise
        say(f"error: {why}")
        return 1
    text = json.dumps(found.as_json(), indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")
    return 0 if found.clean else 1


def _why(error: BaseException) -> str | None:
    """The sentence of a BenchFailed, however deep it is."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, BenchFailed) else None


async def _ended_by_sigterm(asked: argparse.Namespace) -> Soaked:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    clients = tuple(asked.client or EVERY_KIND)
    return await soak(
        Plan(asked.minutes, asked.requests, rate=asked.rate, seed=asked.seed, clients=clients)
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="at least so long")
    parser.add_argument("--requests", type=int, default=0, help="and at least so many requests")
    parser.add_argument("--rate", type=float, default=400.0, help="plain requests a second")
    parser.add_argument("--client", action="append", choices=EVERY_KIND, help="beside GET and POST")
    parser.add_argument("--seed", type=int, default=1, help="when the control plane is killed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
