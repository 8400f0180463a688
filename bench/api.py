"""What the API server carries: 1,000 pods, 100 watchers, 200 small PATCHes a second, long lists.

The server is a process of its own, without agent and controllers; all clients are one other.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec
import psutil

from bench.api_load import Phase, Seen, Wanted
from bench.engine import BenchFailed, output_of, rss_bytes, say
from bench.figures import Figure, at_most, percentile
from nodrop.statedir import StateDir

_MB = 1_000_000
_PATCH_GOAL_MS, _LIST_GOAL_MS = 10.0, 150.0
_TIMEOUT_S = 300.0
_SAMPLE_S = 0.2


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds that the server had used at a time (``loop.time()``)."""

    at: float
    cpu_s: float


async def measure(*, quick: bool) -> list[Figure]:
    """PATCHes without watchers and with them, then lists. Raises BenchFailed."""
    wanted = Wanted(
        pods=1000,
        watchers=100,
        patches_per_s=200,
        seconds=3 if quick else 10,
        listed_pods=5000,
        lists=5 if quick else 11,
    )
    say(f"  {wanted.pods} pods, {wanted.watchers} watchers, {wanted.patches_per_s:g} PATCHes/s")
    with tempfile.TemporaryDirectory(prefix="nodrop-bench-") as folder:
        async with _server(Path(folder)) as pid:
            samples: list[Sample] = []
            failure: BaseException | None = None
            try:
                async with asyncio.TaskGroup() as group:
                    sampling = group.create_task(_sample(pid, samples))
                    seen = await _clients(StateDir(Path(folder)).kubeconfig, wanted)
                    sampling.cancel()
            except* BenchFailed as failures:
                failure = failures.exceptions[0]  # raised here, Python 3.11.2 would wrap it again
            if failure is not None:
                raise failure
            return figures(seen, wanted, samples, rss_bytes([pid]))


def figures(seen: Seen, wanted: Wanted, samples: list[Sample], memory_bytes: int) -> list[Figure]:
    """Rows with goals; latencies count from when a request was due."""
    size = f"{seen.list_bytes / _MB:.1f} MB"
    lists = f"list of {wanted.listed_pods:,} pods"
    return [
        Figure("pods created over the API", seen.creates_per_s, "/s", None, "8 at once"),
        *_patched("no watcher", seen.alone, wanted, samples),
        *_patched(f"{wanted.watchers} watchers", seen.watched, wanted, samples),
        Figure(lists, median(seen.list_ms), "ms", at_most(_LIST_GOAL_MS), size),
        Figure(f"{lists}, as a table", median(seen.table_ms), "ms"),
        Figure("memory of the API server", memory_bytes / _MB, "MB"),
    ]


def _patched(who: str, phase: Phase, wanted: Wanted, samples: list[Sample]) -> list[Figure]:
    name = f"{wanted.patches_per_s:g} PATCHes/s, {who}"
    p50, p99 = (percentile(phase.patch_ms, percent) for percent in (50, 99))
    note = (
        f"p50 {p50:.1f} ms; {phase.events:,} events came" if phase.events else f"p50 {p50:.1f} ms"
    )
    return [
        Figure(f"p99 of {name}", p99, "ms", at_most(_PATCH_GOAL_MS), note),
        Figure(f"CPU, {name}", cpu_percent(samples, phase), "% of a core"),
    ]


def cpu_percent(samples: list[Sample], phase: Phase) -> float:
    """The server's CPU while the phase lasted, from the samples that lie within it."""
    inside = [sample for sample in samples if phase.start <= sample.at <= phase.end]
    if len(inside) < 2:
        raise BenchFailed("the PATCHes were over too soon to tell their CPU")
    first, last = inside[0], inside[-1]
    return 100 * (last.cpu_s - first.cpu_s) / (last.at - first.at)


# Private


async def _sample(pid: int, samples: list[Sample]) -> None:
    process, loop = psutil.Process(pid), asyncio.get_running_loop()
    while True:
        times = process.cpu_times()
        samples.append(Sample(loop.time(), times.user + times.system))
        await asyncio.sleep(_SAMPLE_S)


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[int]:
    """The pid of an API server that answers."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.api_server", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if await process.stdout.readline() != b"ready\n":
            raise BenchFailed("the API server did not start")
        yield process.pid
    finally:
        process.stdin.close()
        await process.wait()


async def _clients(kubeconfig: Path, wanted: Wanted) -> Seen:
    argv = (sys.executable, "-m", "bench.api_load", str(kubeconfig))
    asked = msgspec.json.encode(wanted).decode()
    out = await output_of("the load on the API", *argv, asked, timeout_s=_TIMEOUT_S)
    return msgspec.json.decode(out, type=Seen)
