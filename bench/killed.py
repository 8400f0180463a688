"""kill -9 of the proxy under load: how long nothing is answered, and how many requests break."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from statistics import median

import psutil

from bench.engine import Engine, fresh_engine, say, until_answered
from bench.figures import Figure, at_most
from bench.manifests import hello
from nodrop.cli.apply import apply_all
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.record import Outcome, Record

_RATE = 500.0
_REPLICAS = 2
_BETWEEN_S = 1.5
_MAIN = "proxy-main"
#: What a client sees when nobody listens.
_NOT_LISTENING = (Outcome.REFUSED, Outcome.UNCONNECTED)


async def measure(*, quick: bool) -> list[Figure]:
    """Kill it again and again, half of the requests on new connections."""
    kills, records = [], list[Record]()
    async with fresh_engine() as engine:
        await apply_all(engine.client, hello(_REPLICAS))
        await engine.until_available("hello", _REPLICAS)
        await until_answered(engine.url)
        arguments = [*arguments_for(engine.url, rate=_RATE), "--fresh-share", "0.5"]
        load = await LoadProcess.start([*arguments, "--slow-s", "0.05"])
        try:
            async with asyncio.TaskGroup() as group:
                collecting = group.create_task(_collect(load, records))
                for number in range(4 if quick else 20):
                    await asyncio.sleep(_BETWEEN_S)
                    kills.append(await _kill(engine))
                    say(f"  kill {number + 1}")
                await asyncio.sleep(_BETWEEN_S)
                load.stop()
                await collecting
        finally:
            await load.kill()
    return figures(kills, records)


async def _kill(engine: Engine) -> float:
    """kill -9 of the process that carries the requests; returns when."""
    (pid, *_) = [pid for pid in engine.pids()["proxy"] if _is_main(pid)]
    os.kill(pid, signal.SIGKILL)
    return asyncio.get_running_loop().time()


def _is_main(pid: int) -> bool:
    return any(_MAIN in word for word in psutil.Process(pid).cmdline())


async def _collect(load: LoadProcess, records: list[Record]) -> None:
    async for batch in load.batches():
        records.extend(batch)


def figures(kills: list[float], records: list[Record]) -> list[Figure]:
    """Of each kill: until the first answer to a request sent after it; and what was lost."""
    outages = [1000 * outage_s(kill, records) for kill in kills]
    lost = Counter(str(record.outcome) for record in records if record.lost)
    causes = ", ".join(f"{cause} {number}" for cause, number in lost.most_common()) or "none"
    unheard = sum(lost[outcome] for outcome in _NOT_LISTENING)
    note = f"{len(kills)} kills at {_RATE:g} requests/s; {len(records):,} requests"
    return [
        Figure("proxy killed → answers again, median", median(outages), "ms", note=note),
        Figure("proxy killed → answers again, longest", max(outages), "ms", at_most(100)),
        Figure("requests broken a kill", lost.total() / len(kills), "", note=causes),
        Figure("connections refused", unheard, "", at_most(0), "somebody always listens"),
    ]


def outage_s(kill: float, records: list[Record]) -> float:
    """From the kill to the first answer of a request that was sent after it."""
    answered = (record.done for record in records if not record.lost and record.sent >= kill)
    return min(answered, default=sys.float_info.max) - kill
