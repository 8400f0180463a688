"""Requests a second and p99 through nodrop's Ingress, against a hand-written HAProxy beside it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.engine import Engine, cpu_s, free_port, fresh_engine, say, until_answered
from bench.figures import Figure, at_least, median_ratio
from bench.manifests import CONSTANT, constant
from bench.wrk import Measured, by_own_load, by_wrk
from nodrop.cli.apply import apply_all
from nodrop.model.kinds import POD
from nodrop.proxy.haproxy.binary import find_binary

_BACKENDS = 2


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared."""

    url: str
    pids: Sequence[int]


async def measure(*, quick: bool) -> list[Figure]:
    """Alternate between both, pair after pair. Raises BenchFailed."""
    pairs, seconds = (3, 2.0) if quick else (9, 4.0)
    if shutil.which("wrk") is None:
        say("  wrk is not on PATH: nodrop's own load at a fixed rate compares CPU a request")
    binary = find_binary()
    async with fresh_engine() as engine:
        config = engine.state.root / "constant.cfg"
        config.write_text(CONSTANT)
        await apply_all(engine.client, constant(binary, config, replicas=_BACKENDS))
        await engine.until_available("constant", _BACKENDS)
        await until_answered(engine.url)
        async with _static(engine, binary) as static:
            sides = (Side(engine.url, engine.pids()["proxy"]), static)
            return await _compare(sides, pairs=pairs, seconds=seconds)


async def _compare(sides: tuple[Side, Side], *, pairs: int, seconds: float) -> list[Figure]:
    for side in sides:
        await _run(side, seconds / 2)  # warm up: pools of connections, caches
    found: tuple[list[Measured], list[Measured]] = ([], [])
    for number in range(pairs):
        order = (0, 1) if number % 2 == 0 else (1, 0)  # whoever comes second gains nothing
        for which in order:
            found[which].append(await _run(sides[which], seconds))
        ours, theirs = found[0][-1], found[1][-1]
        say(f"  pair {number + 1}: {ours.rate:.0f} / {theirs.rate:.0f} requests/s")
    return _figures(*found)


def _figures(ours: Sequence[Measured], theirs: Sequence[Measured]) -> list[Figure]:
    pairs = f"median of {len(ours)} pairs"
    static = f"static {median(m.cpu_us for m in theirs):.1f} µs"
    figures = [
        Figure(
            "CPU of the proxy a request, static/nodrop",
            median_ratio([m.cpu_us for m in theirs], [m.cpu_us for m in ours]),
            "×",
            None if shutil.which("wrk") else at_least(0.95),
            f"{pairs}; nodrop {median(m.cpu_us for m in ours):.1f} µs, {static}",
        ),
        Figure("p99 through nodrop", median(m.p99_ms for m in ours), "ms"),
        Figure("p99 through static HAProxy", median(m.p99_ms for m in theirs), "ms"),
    ]
    if shutil.which("wrk") is None:
        return figures
    rates = [Figure("requests/s through nodrop", median(m.rate for m in ours), "/s")]
    rates += [Figure("requests/s through static HAProxy", median(m.rate for m in theirs), "/s")]
    ratio = median_ratio([m.rate for m in ours], [m.rate for m in theirs])
    return [
        Figure("requests/s, nodrop/static HAProxy", ratio, "×", at_least(0.95), pairs),
        *rates,
        *figures,
    ]


async def _run(side: Side, seconds: float) -> Measured:
    before = cpu_s(side.pids)
    run = by_wrk if shutil.which("wrk") else by_own_load
    found = await run(side.url, seconds)
    return found.with_cpu(cpu_s(side.pids) - before)


@asynccontextmanager
async def _static(engine: Engine, binary: Path) -> AsyncIterator[Side]:
    """The same program with the same backends and what a person would write by hand."""
    port = free_port()
    config = engine.state.root / "static.cfg"
    config.write_text(static_config(port, await _addresses(engine)))
    process = await asyncio.create_subprocess_exec(
        str(binary), "-db", "-f", str(config), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        await until_answered(url)
        yield Side(url, (process.pid,))
    finally:
        process.terminate()
        await process.wait()


def static_config(port: int, addresses: Sequence[str]) -> str:
    """One frontend, one backend."""
    servers = "".join(
        f"  server s{number} {address}:8080\n" for number, address in enumerate(addresses)
    )
    return f"""\
global
  maxconn 2000
defaults
  mode http
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
  timeout connect 5s
  timeout server 60s
frontend web
  bind 127.0.0.1:{port}
  default_backend app
backend app
  balance roundrobin
{servers}"""


async def _addresses(engine: Engine) -> list[str]:
    pods = await engine.client.list(POD)
    return sorted(pod["status"]["podIP"] for pod in pods.items)
