"""The load generator itself on one core, beside wrk, both against one server that answers at once.

Our load pays for what it promises: a schedule, a record of every request, every byte looked at.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.engine import BenchFailed
from bench.figures import Figure, at_least
from bench.wrk import by_wrk
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.summary import Summary

_RATES = (2000.0, 3000.0, 4000.0, 5000.0)
#: Later than this at p99 and the rate counts as not reached.
_BEHIND_S = 0.25
_ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
_SERVER = f"""
import asyncio, sys
class Server(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        self.transport.write(b"{_ANSWER.decode()}" * data.count(b"\\r\\n\\r\\n"))
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""


async def measure(*, quick: bool) -> list[Figure]:
    """The highest rate that is kept with nothing lost; CPU time a request; wrk's rate."""
    cores = sorted(os.sched_getaffinity(0))
    seconds = 3.0 if quick else 8.0
    async with _server(cores[-1]) as url:
        kept, cpu_us, note = 0.0, 0.0, ""
        for rate in _RATES:
            found = await _own(url, rate, seconds, core=cores[0])
            if found is None:
                break
            kept, (cpu_us, note) = rate, found
        figures = [
            Figure("own load on one core: rate kept, none lost", kept, "requests/s",
                   at_least(3000), note),
            Figure("own load: CPU time a request", cpu_us, "µs"),
        ]  # fmt: skip
        if shutil.which("wrk"):
            theirs = await by_wrk(url, seconds)
            figures.append(
                Figure("wrk on the same server", theirs.rate, "requests/s", None,
                       "closed loop, as fast as it goes; keeps no record of a request")
            )  # fmt: skip
    return figures


async def _own(url: str, rate: float, seconds: float, *, core: int) -> tuple[float, str] | None:
    """(CPU µs a request, a note), or None when the rate was not kept. Raises BenchFailed."""
    shape = ("--post-share", "0", "--slow-share", "0", "--fresh-share", "0")
    before = os.times()
    load = await _pinned([*arguments_for(url, rate=rate), *shape, "--duration-s", f"{seconds:g}"],
                         core)  # fmt: skip
    summary = Summary()
    try:
        async for batch in load.batches():
            summary.add_all(batch)
    finally:
        await load.kill()
    after = os.times()
    total, behind_s = summary.total, summary.behind.percentile_s(99)
    if total.requests != round(rate * seconds):
        raise BenchFailed(f"{total.requests} records of {rate * seconds:g} requests")
    if total.lost or behind_s > _BEHIND_S:
        return None
    used_s = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    note = f"p99 {behind_s * 1000:.1f} ms behind schedule, {total.requests} records"
    return used_s / total.requests * 1e6, note


async def _pinned(arguments: Sequence[str], core: int) -> LoadProcess:
    """Start the load on one core; what it starts from is put back at once."""
    ours = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        return await LoadProcess.start(arguments)
    finally:
        os.sched_setaffinity(0, ours)


@asynccontextmanager
async def _server(core: int) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    os.sched_setaffinity(process.pid, {core})
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(await process.stdout.readline())}"
    finally:
        process.stdin.close()
        await process.wait()
