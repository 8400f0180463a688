"""``python -m bench.soak --minutes N``: rollouts back to back under load, and nothing may be lost.

Every rollout takes the next kind of application: one that ends gracefully, one that exits at once
on SIGTERM, one that ignores it, one that starts slowly. Now and then the control plane is killed in
the middle of a rollout and started again. Exit 1 when a request was lost or anything is left over.
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
from dataclasses import asdict, dataclass, field
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
from bench.leftovers import Leftovers, Processes, leftovers_of
from bench.manifests import hello
from nodrop.cli.apply import apply_all
from nodrop.cli.background import ensure_engine, until_gone
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Summary

_REPLICAS = 4
_KILLED_WITHIN_S = 10.0
_SETTLE_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of application in the soak."""

    name: str
    env: dict[str, str]
    grace_s: int = 30


KINDS = (
    Kind("graceful", {"ON_SIGTERM": "graceful"}),
    Kind("exits at once", {"ON_SIGTERM": "exit"}),
    Kind("ignores SIGTERM", {"ON_SIGTERM": "ignore"}, grace_s=3),
    Kind("starts slowly", {"ON_SIGTERM": "graceful", "START_S": "2.5"}),
)


@dataclass(slots=True)
class Soaked:
    """What a soak found."""

    rollouts: int = 0
    kills: int = 0
    seconds: float = 0.0
    summary: Summary = field(default_factory=Summary)
    leftovers: Leftovers = field(default_factory=Leftovers)
    survivors: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.summary.total.lost or self.leftovers.any or self.survivors)

    def as_json(self) -> dict[str, object]:
        return {
            "rollouts": self.rollouts,
            "kills_of_the_control_plane": self.kills,
            "seconds": round(self.seconds, 1),
            "load": self.summary.figures(),
            "left_while_running": asdict(self.leftovers),
            "left_after_down": self.survivors,
            "clean": self.clean,
        }


async def soak(minutes: float, rate: float, seed: int) -> Soaked:
    """Roll for so long. Raises BenchFailed when a rollout does not end."""
    found, seen = Soaked(), Processes()
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with state_folder() as state, engine_in(state) as engine:
        await _deploy(engine, KINDS[0], 0)
        await engine.until_available("hello", _REPLICAS)
        await until_answered(engine.url)
        load = await LoadProcess.start(arguments_for(engine.url, rate=rate))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_collect(load, found.summary))
                await _roll_until(start + 60 * minutes, engine, found, seen, random.Random(seed))
                load.stop()
        finally:
            await load.kill()
        found.seconds = loop.time() - start
        found.leftovers = await leftovers_of(engine, _SETTLE_TIMEOUT_S)
        seen.look(engine)
    found.survivors = seen.alive()
    return found


async def _roll_until(
    end: float, engine: Engine, found: Soaked, seen: Processes, chance: random.Random
) -> None:
    loop = asyncio.get_running_loop()
    for kind in itertools.cycle(KINDS[1:] + KINDS[:1]):
        if loop.time() >= end:
            return
        found.rollouts += 1
        killed = found.rollouts % 5 == 3
        began = loop.time()
        await _deploy(engine, kind, found.rollouts)
        if killed:
            await asyncio.sleep(chance.uniform(0.2, 2.0))  # anywhere in the rollout
            await _kill_and_restart(engine)
            found.kills += 1
        await engine.until_available("hello", _REPLICAS)
        seen.look(engine)
        _tell(kind, found, loop.time() - began, killed=killed)


async def _kill_and_restart(engine: Engine) -> None:
    """kill -9 of the control plane in mid-rollout; the next one goes on where it was."""
    pid = engine.info["pids"]["engine"]
    os.kill(pid, signal.SIGKILL)
    await until_gone(pid, timeout_s=_KILLED_WITHIN_S)
    await ensure_engine(engine.state, FREE_PORTS)


async def _deploy(engine: Engine, kind: Kind, number: int) -> None:
    env = {"START_S": "0.1", **kind.env}
    pod = {"terminationGracePeriodSeconds": kind.grace_s}
    await apply_all(
        engine.client, hello(_REPLICAS, version=f"v{number}", env=env, pod=pod, strategy=_STRATEGY)
    )


_STRATEGY = {"maxSurge": 1, "maxUnavailable": 0}


async def _collect(load: LoadProcess, summary: Summary) -> None:
    async for batch in load.batches():
        summary.add_all(batch)


def _tell(kind: Kind, found: Soaked, took_s: float, *, killed: bool) -> None:
    total = found.summary.total
    also = ", control plane killed" if killed else ""
    say(
        f"rollout {found.rollouts} ({kind.name}{also}): {took_s:.1f} s; "
        f"{total.requests:,} requests, {total.lost} lost"
    )


def main() -> int:
    asked = _parser().parse_args()
    try:
        found = asyncio.run(_ended_by_sigterm(asked))
    except BenchFailed as error:
        say(f"error: {error}")
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("ended before the time was over")
        return 130
    text = json.dumps(found.as_json(), indent=2)
    print(text)
    if asked.json:
        asked.json.write_text(text + "\n")
    return 0 if found.clean else 1


async def _ended_by_sigterm(asked: argparse.Namespace) -> Soaked:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await soak(asked.minutes, asked.rate, asked.seed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./dev soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--seed", type=int, default=1, help="when the control plane is killed")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
