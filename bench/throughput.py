"""Requests a second, p50 and p99 through nodrop's Ingress, beside other servers in the same run."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from statistics import median

from bench.engine import Engine, cpu_s, fresh_engine, rss_bytes, say, until_answered
from bench.figures import Figure, Goal, at_least, median_ratio
from bench.manifests import CONSTANT, constant
from bench.peers import PLAIN, SAME_PROMISES, Side, caddy, haproxy, have_wheels, traefik
from bench.wrk import Measured, by_own_load, by_wrk
from nodrop.cli.apply import apply_all
from nodrop.model.kinds import POD
from nodrop.proxy.haproxy.binary import find_binary

_BACKENDS = 2
_MB = 1_000_000
PLAIN_NAME, SAME_NAME = "plain static HAProxy", "static HAProxy that promises the same"
#: How many times as many requests a second nodrop should carry.
GOALS = {PLAIN_NAME: 0.95, SAME_NAME: 0.95, "Caddy": 2.0, "Traefik": 2.0}


async def measure(*, quick: bool) -> list[Figure]:
    """All in turns, round after round. Raises BenchFailed."""
    rounds, seconds = (3, 2.0) if quick else (7, 3.0)
    if shutil.which("wrk") is None:
        say("  wrk is not on PATH: nodrop's own load at a fixed rate compares CPU a request")
    async with pods_and_engine(_BACKENDS) as engine, AsyncExitStack() as peers:
        sides = [Side("nodrop", engine.url, engine.pids()["proxy"])]
        folder, addresses = engine.state.root, await addresses_of(engine)
        for name, rules in ((PLAIN_NAME, PLAIN), (SAME_NAME, SAME_PROMISES)):
            peer = haproxy(name, find_binary(), folder, addresses, rules)
            sides.append(await peers.enter_async_context(peer))
        if have_wheels():
            for run in (caddy, traefik):
                sides.append(await peers.enter_async_context(run(folder, addresses)))
        else:
            say("  Caddy and Traefik are not installed: not compared")
        found = await measure_in_turns(sides, rounds=rounds, seconds=seconds)
        return [*figures(found), *_memory(sides)]


@asynccontextmanager
async def pods_and_engine(replicas: int) -> AsyncIterator[Engine]:
    """An engine with light pods behind its Ingress."""
    async with fresh_engine() as engine:
        config = engine.state.root / "constant.cfg"
        config.write_text(CONSTANT)
        await apply_all(engine.client, constant(find_binary(), config, replicas=replicas))
        await engine.until_available("constant", replicas)
        await until_answered(engine.url)
        yield engine


async def addresses_of(engine: Engine) -> list[str]:
    pods = await engine.client.list(POD)
    return sorted(pod["status"]["podIP"] for pod in pods.items)


async def measure_in_turns(
    sides: Sequence[Side], *, rounds: int, seconds: float
) -> dict[str, list[Measured]]:
    """What each side did in each round, by name."""
    for side in sides:
        await run_once(side, seconds / 2)  # warm up: pools of connections, caches
    found: dict[str, list[Measured]] = {side.name: [] for side in sides}
    for number in range(rounds):
        turn = number % len(sides)  # whoever comes first or last gains nothing
        for side in [*sides[turn:], *sides[:turn]]:
            found[side.name].append(await run_once(side, seconds))
        rates = ", ".join(f"{name} {each[-1].rate:.0f}" for name, each in found.items())
        say(f"  round {number + 1}, requests/s: {rates}")
    return found


async def run_once(side: Side, seconds: float) -> Measured:
    before = cpu_s(side.pids)
    run = by_wrk if shutil.which("wrk") else by_own_load
    found = await run(side.url, seconds)
    return found.with_cpu(cpu_s(side.pids) - before)


def figures(found: dict[str, list[Measured]]) -> list[Figure]:
    """Ratios by pairs of one round, then what they are made of. The first side is nodrop."""
    (_, ours), *others = found.items()
    with_wrk = shutil.which("wrk") is not None
    made = []
    if with_wrk:
        made = [_rates(ours, theirs, name, at_least(GOALS[name])) for name, theirs in others]
    made += [
        _cpus(ours, theirs, name, None if with_wrk else at_least(GOALS[name]))
        for name, theirs in others
    ]
    return [*made, *_latencies(found)]


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


def _latencies(found: dict[str, list[Measured]]) -> list[Figure]:
    return [
        Figure(f"{percent} through {name}", median(getattr(m, field) for m in runs), "ms")
        for percent, field in (("p50", "p50_ms"), ("p99", "p99_ms"))
        for name, runs in found.items()
    ]


def _memory(sides: Sequence[Side]) -> list[Figure]:
    """After the load: what the servers themselves hold (for nodrop both proxies, no engine)."""
    return [
        Figure(f"resident memory of the proxy, {side.name}", rss_bytes(side.pids) / _MB, "MB")
        for side in sides
    ]
