"""What telling of requests costs the proxy: no log, the sample (the default), the access log."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from bench.engine import Engine, cpu_s, free_port, fresh_engine, say, until_answered
from bench.figures import Figure, median_ratio
from bench.manifests import CONSTANT, constant
from bench.wrk import Measured, by_own_load, by_wrk
from nodrop.cli.apply import apply_all
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.log import render_logging, render_ring
from nodrop.proxy.haproxy.log_socket import receive

_BACKENDS = 2
_KINDS = ("none", "sample", "all")
_OURS = ("  log ring@", "  log-format", "  http-request set-log-level")


async def measure(*, quick: bool) -> list[Figure]:
    """The engine's own configuration with each of the three, in turns. Raises BenchFailed."""
    rounds, seconds = (3, 2.0) if quick else (7, 3.0)
    binary = find_binary()
    async with fresh_engine() as engine:
        config = engine.state.root / "constant.cfg"
        config.write_text(CONSTANT)
        await apply_all(engine.client, constant(binary, config, replicas=_BACKENDS))
        await engine.until_available("constant", _BACKENDS)
        await until_answered(engine.url)
        async with (
            _proxy(engine, binary, "none") as none,
            _proxy(engine, binary, "sample") as sample,
            _proxy(engine, binary, "all") as whole,
        ):
            return await _compare((none, sample, whole), rounds=rounds, seconds=seconds)


async def _compare(
    sides: Sequence[tuple[str, int]], *, rounds: int, seconds: float
) -> list[Figure]:
    for side in sides:
        await _run(side, seconds / 2)
    found: list[list[Measured]] = [[] for _ in sides]
    for number in range(rounds):
        turn = number % len(sides)
        for which in [*range(turn, len(sides)), *range(turn)]:
            found[which].append(await _run(sides[which], seconds))
        costs = " / ".join(f"{each[-1].cpu_us:.1f}" for each in found)
        say(f"  round {number + 1} (none / sample / all): {costs} µs a request")
    return figures(*found)


def figures(
    none: Sequence[Measured], sample: Sequence[Measured], whole: Sequence[Measured]
) -> list[Figure]:
    """The proxy's CPU a request against the same without any log."""
    base = median(one.cpu_us for one in none)
    found = []
    for name, side in (("sample (default)", sample), ("access log", whole)):
        ratio = median_ratio([one.cpu_us for one in side], [one.cpu_us for one in none])
        note = f"{median(one.cpu_us for one in side):.1f} µs against {base:.1f} µs"
        found.append(Figure(f"proxy's CPU a request, {name} / no log", ratio, "×", None, note))
    return found


async def _run(side: tuple[str, int], seconds: float) -> Measured:
    url, pid = side
    before = cpu_s([pid])
    found = await (by_wrk if shutil.which("wrk") else by_own_load)(url, seconds)
    return found.with_cpu(cpu_s([pid]) - before)


@asynccontextmanager
async def _proxy(engine: Engine, binary: Path, kind: str) -> AsyncIterator[tuple[str, int]]:
    """(URL, pid) of a second main process, on a port of its own."""
    port, socket = free_port(), engine.state.sockets / f"log-{kind}.sock"
    (newest, *_) = sorted(engine.state.proxy.glob("proxy-main-*.cfg"), reverse=True)
    config = engine.state.proxy / f"bench-{kind}.cfg"
    config.write_text(config_of(newest.read_text(), kind, port=port, socket=str(socket)))
    process = await asyncio.create_subprocess_exec(
        *(str(binary), "-db", "-f", str(config)),
        cwd=engine.state.proxy,
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(receive(socket, lambda _lines: None))
            url = f"http://127.0.0.1:{port}"
            await until_answered(url)
            yield url, process.pid
            reader.cancel()
    finally:
        process.terminate()
        await process.wait()


def config_of(text: str, kind: str, *, port: int, socket: str) -> str:
    """The engine's configuration on ``port``, with another way to tell of requests.

    Only the first frontend's listener is kept; the others bind to free ports.
    """
    text = re.sub(r"bind fd@\d+", f"bind 127.0.0.1:{port}", text, count=1)
    text = re.sub(r"bind fd@\d+", lambda _: f"bind 127.0.0.1:{free_port()}", text)
    text = re.sub(r"  stats socket .*\n", "", text)
    ring = "\n".join(render_ring(socket)) + "\n"
    text = re.sub(r"^ring .*\n(?:  .*\n)*", "" if kind == "none" else ring, text, flags=re.M)
    lines = [line for line in text.splitlines() if not line.startswith(_OURS)]
    logging = [] if kind == "none" else render_logging(whole=kind == "all")
    heads = ("frontend web", "frontend services")
    told = [one for line in lines for one in (line, *(logging if line in heads else ()))]
    return "\n".join(told) + "\n"
