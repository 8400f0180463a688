"""kill -9 of the proxy under load, again and again: how long no answer comes, and what breaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from statistics import median

from bench.crash import Crash, crash_main
from bench.engine import fresh_engine, say, until_answered
from bench.figures import Figure, at_most
from bench.manifests import hello
from nodrop.cli.apply import apply_all
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.summary import Tally

_RATE = 500.0
_REPLICAS = 2
#: What a client sees when nobody listens.
_NOT_LISTENING = (Outcome.REFUSED, Outcome.UNCONNECTED)


async def measure(*, quick: bool) -> list[Figure]:
    """Kill it again and again, half of the requests on new connections."""
    async with fresh_engine() as engine:
        await apply_all(engine.client, hello(_REPLICAS))
        await engine.until_available("hello", _REPLICAS)
        await until_answered(engine.url)
        arguments = [*arguments_for(engine.url, rate=_RATE), "--fresh-share", "0.5"]
        load = await LoadProcess.start([*arguments, "--slow-s", "0.05"])
        crashes, tally = [], Tally()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(_count(load, tally))
                for number in range(4 if quick else 20):
                    crashes.append(await crash_main(engine))
                    say(f"  kill {number + 1}: {crashes[-1].outage_ms:.0f} ms")
                load.stop()
        finally:
            await load.kill()
    return figures(crashes, tally)


async def _count(load: LoadProcess, tally: Tally) -> None:
    async for batch in load.batches():
        for record in batch:
            tally.add(record)


def figures(crashes: Sequence[Crash], load: Tally) -> list[Figure]:
    """What the kills cost, and what they broke of a load beside them."""
    outages = [crash.outage_ms for crash in crashes]
    causes: Counter[str] = Counter(load.causes())
    unheard = sum(causes[str(outcome)] for outcome in _NOT_LISTENING)
    unheard += sum(crash.refused for crash in crashes)
    note = f"{len(crashes)} kills at {_RATE:g} requests/s; {load.requests:,} requests"
    said = ", ".join(f"{cause} {number}" for cause, number in causes.most_common()) or "none"
    return [
        Figure("proxy killed → answers again, median", median(outages), "ms", note=note),
        Figure("proxy killed → answers again, longest", max(outages), "ms", at_most(100)),
        Figure("requests broken a kill", load.lost / len(crashes), "", note=said),
        Figure("connections refused", unheard, "", at_most(0), "somebody always listens"),
    ]
