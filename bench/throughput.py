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
from bench.figures import Figure, Goal, at_least, median_ratio
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


@dataclass(frozen=True, slots=True)
class Rules:
    """What a hand-written configuration has beyond addresses and time-outs."""

    defaults: tuple[str, ...] = ()
    frontend: tuple[str, ...] = ()
    server: str = ""


PLAIN = Rules()
#: What nodrop promises, written by hand for one backend: no forged X-Forwarded headers, and a safe
#: request that a pod drops goes to another, and connections that a pod may be about to close are
#: not used again. Only routing at run time is not in it.
SAME_PROMISES = Rules(
    defaults=(
        "option idle-close-on-response",
        "option redispatch 1",
        "retries 5",
        "retry-on conn-failure empty-response",
    ),
    frontend=(
        "http-request del-header x-forwarded- -m beg",
        "http-request del-header forwarded",
        "http-request set-header X-Forwarded-For %[src]",
        "http-request set-header X-Forwarded-Proto http",
        "http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE }",
    ),
    server=" pool-purge-delay 100ms",
)


async def measure(*, quick: bool) -> list[Figure]:
    """Alternate between both, pair after pair. Raises BenchFailed."""
    pairs, seconds = (3, 2.0) if quick else (7, 3.0)
    if shutil.which("wrk") is None:
        say("  wrk is not on PATH: nodrop's own load at a fixed rate compares CPU a request")
    binary = find_binary()
    async with fresh_engine() as engine:
        config = engine.state.root / "constant.cfg"
        config.write_text(CONSTANT)
        await apply_all(engine.client, constant(binary, config, replicas=_BACKENDS))
        await engine.until_available("constant", _BACKENDS)
        await until_answered(engine.url)
        async with (
            _static(engine, binary, PLAIN) as plain,
            _static(engine, binary, SAME_PROMISES) as same,
        ):
            nodrop = Side(engine.url, engine.pids()["proxy"])
            return await _compare((nodrop, plain, same), rounds=pairs, seconds=seconds)


async def _compare(sides: Sequence[Side], *, rounds: int, seconds: float) -> list[Figure]:
    for side in sides:
        await _run(side, seconds / 2)  # warm up: pools of connections, caches
    found: list[list[Measured]] = [[] for _ in sides]
    for number in range(rounds):
        turn = number % len(sides)  # whoever comes first or last gains nothing
        for which in [*range(turn, len(sides)), *range(turn)]:
            found[which].append(await _run(sides[which], seconds))
        rates = " / ".join(f"{each[-1].rate:.0f}" for each in found)
        say(f"  round {number + 1} (nodrop / plain / same promises): {rates} requests/s")
    return figures(*found)


def figures(
    ours: Sequence[Measured], plain: Sequence[Measured], same: Sequence[Measured]
) -> list[Figure]:
    """Ratios by pairs of one round, then what they are made of."""
    with_wrk = shutil.which("wrk") is not None
    found = []
    if with_wrk:
        found += [
            _rates(ours, plain, "plain static HAProxy", at_least(0.95)),
            _rates(ours, same, "static HAProxy that promises the same", at_least(0.95)),
        ]
    goal = None if with_wrk else at_least(0.95)
    return [
        *found,
        _cpus(ours, plain, "plain static", goal),
        _cpus(ours, same, "static, same promises", None),
        Figure("p99 through nodrop", median(m.p99_ms for m in ours), "ms"),
        Figure("p99 through plain static HAProxy", median(m.p99_ms for m in plain), "ms"),
    ]


def _rates(
    ours: Sequence[Measured], theirs: Sequence[Measured], peer: str, goal: Goal | None
) -> Figure:
    ratio = median_ratio([m.rate for m in ours], [m.rate for m in theirs])
    rates = [f"{median(m.rate for m in side):,.0f}/s" for side in (ours, theirs)]
    note = f"{len(ours)} pairs; {' against '.join(rates)}"
    return Figure(f"requests/s, nodrop / {peer}", ratio, "×", goal, note)


def _cpus(
    ours: Sequence[Measured], theirs: Sequence[Measured], peer: str, goal: Goal | None
) -> Figure:
    ratio = median_ratio([m.cpu_us for m in theirs], [m.cpu_us for m in ours])
    costs = [f"{median(m.cpu_us for m in side):.1f} µs" for side in (ours, theirs)]
    note = " against ".join(costs)
    return Figure(f"proxy's CPU a request, {peer} / nodrop", ratio, "×", goal, note)


async def _run(side: Side, seconds: float) -> Measured:
    before = cpu_s(side.pids)
    run = by_wrk if shutil.which("wrk") else by_own_load
    found = await run(side.url, seconds)
    return found.with_cpu(cpu_s(side.pids) - before)


@asynccontextmanager
async def _static(engine: Engine, binary: Path, rules: Rules) -> AsyncIterator[Side]:
    """The same program with the same backends and what a person would write by hand."""
    port = free_port()
    config = engine.state.root / f"static-{port}.cfg"
    config.write_text(static_config(port, await _addresses(engine), rules))
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


def static_config(port: int, addresses: Sequence[str], rules: Rules) -> str:
    """One frontend, one backend, and ``rules``."""
    servers = "".join(
        f"  server s{number} {address}:8080{rules.server}\n"
        for number, address in enumerate(addresses)
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
{_lines(rules.defaults)}frontend web
  bind 127.0.0.1:{port}
{_lines(rules.frontend)}  default_backend app
backend app
  balance roundrobin
{servers}"""


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"  {line}\n" for line in lines)


async def _addresses(engine: Engine) -> list[str]:
    pods = await engine.client.list(POD)
    return sorted(pod["status"]["podIP"] for pod in pods.items)
