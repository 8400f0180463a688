"""One run of a load against one URL: by wrk as fast as it goes, or by our own at a fixed rate."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace

from bench.engine import BenchFailed
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Summary, milliseconds

_OWN_RATE = 1500.0
_CONNECTIONS = 32
_UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run found; ``cpu_us`` is the proxy's CPU time a request."""

    rate: float
    requests: int
    p50_ms: float
    p99_ms: float
    cpu_us: float = 0.0

    def with_cpu(self, seconds: float) -> Measured:
        return replace(self, cpu_us=seconds / self.requests * 1e6)


async def by_wrk(url: str, seconds: float) -> Measured:
    """Keep 32 connections busy. Raises BenchFailed on any error or any answer but 2xx and 3xx."""
    process = await asyncio.create_subprocess_exec(
        *("wrk", "-t", "1", "-c", str(_CONNECTIONS), "-d", f"{max(1, round(seconds))}s"),
        *("--latency", f"{url}/"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return parse_wrk(said.decode())


def parse_wrk(text: str) -> Measured:
    """The figures in wrk's report. Raises BenchFailed."""
    for trouble in ("Non-2xx", "Socket errors"):
        if trouble in text:
            line = next(line for line in text.splitlines() if trouble in line)
            raise BenchFailed(f"wrk found: {line.strip()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    requests = re.search(r"(\d+) requests in", text)
    p50, p99 = _latency_ms(text, 50), _latency_ms(text, 99)
    if not (rate and requests) or p50 is None or p99 is None:
        raise BenchFailed(f"wrk's report is not understood: {text.strip()!r}")
    return Measured(float(rate[1]), int(requests[1]), p50, p99)


def _latency_ms(text: str, percent: int) -> float | None:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * _UNITS_MS[found[2]] if found else None


async def by_own_load(url: str, seconds: float) -> Measured:
    """GETs on kept-alive connections at a fixed rate. Raises BenchFailed when one is lost."""
    summary = Summary()
    shape = ("--post-share", "0", "--slow-share", "0", "--fresh-share", "0")
    load = await LoadProcess.start(
        [*arguments_for(url, rate=_OWN_RATE), *shape, "--duration-s", f"{seconds:g}"]
    )
    try:
        async for batch in load.batches():
            summary.add_all(batch)
    finally:
        await load.kill()
    total = summary.total
    if total.lost or not total.requests:
        raise BenchFailed(f"{total.lost} of {total.requests} requests failed: {total.causes()}")
    p50_ms, p99_ms = (milliseconds(total.latency.percentile_s(percent)) for percent in (50, 99))
    return Measured(total.requests / seconds, total.requests, p50_ms, p99_ms)
