"""What a kill -9 of HAProxy breaks, and for how long: measured on a running engine."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import psutil

from bench.engine import BenchFailed, Engine, status_of
from nodrop.rehearse.summary import Summary

_WITHIN_S = 30.0
_BEFORE_S, _AFTER_S = 0.5, 0.5
_BETWEEN_TRIES_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash:
    """One kill. ``outage_ms``: from the kill to the first answer on a connection made after it.

    ``refused`` counts connections that were refused: with a held socket they wait instead.
    ``broken`` of ``requests`` under load were lost: those that HAProxy had in its hands.
    """

    outage_ms: float
    refused: int
    broken: int = 0
    requests: int = 0

    def with_load(self, summary: Summary) -> Crash:
        return replace(self, broken=summary.total.lost, requests=summary.total.requests)

    def __str__(self) -> str:
        return (
            f"kill -9 of HAProxy: answers again after {self.outage_ms:.0f} ms, "
            f"{self.refused} connections refused, {self.broken} of {self.requests} requests broken"
        )


async def crash_main(engine: Engine) -> Crash:
    """Kill the process that serves requests; returns once requests are answered again."""
    await asyncio.sleep(_BEFORE_S)  # the load runs
    url = urlsplit(engine.url)
    loop = asyncio.get_running_loop()
    victim = main_of(engine)
    refused = 0
    start_s = loop.time()
    os.kill(victim, signal.SIGKILL)
    async with asyncio.timeout(_WITHIN_S):
        while True:
            answer = await status_of(url.hostname or "", url.port or 80)
            if answer == 200:
                break
            refused += answer is None
            await asyncio.sleep(_BETWEEN_TRIES_S)
    outage_s = loop.time() - start_s
    await asyncio.sleep(_AFTER_S)  # what was broken is counted
    return Crash(outage_ms=round(1000 * outage_s, 1), refused=refused)


def main_of(engine: Engine) -> int:
    """The pid of the HAProxy that serves requests: the youngest with a main's configuration."""
    mains = [
        process
        for process in map(psutil.Process, engine.pids()["proxy"])
        if any(word.startswith("proxy-main-") for word in process.cmdline())
    ]
    if not mains:
        raise BenchFailed("no HAProxy runs")
    return max(mains, key=lambda process: process.create_time()).pid
