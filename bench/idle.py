"""What nodrop costs while nothing happens: memory and CPU, with 3 pods and with 100."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from bench.engine import Engine, Usage, fresh_engine, pss_bytes, rss_bytes, say
from bench.figures import Figure, at_most
from bench.manifests import CONSTANT, constant, hello
from nodrop.cli.apply import apply_all
from nodrop.proxy.haproxy.binary import find_binary

_MB = 1_000_000
_SETTLE_S = 3.0
_MANY = 100


async def measure_three(*, quick: bool) -> list[Figure]:
    """Memory and CPU with examples/hello, three pods, a readiness probe a second each."""
    async with fresh_engine() as engine:
        await apply_all(engine.client, hello(3))
        await engine.until_available("hello", 3)
        used = await _used_percent(engine, 8.0 if quick else 30.0)
        return [
            *_memory("resident memory", engine, rss_bytes),
            *_memory("proportional memory", engine, pss_bytes),
            Figure("idle CPU, 3 pods", used["total"], "% of a core", at_most(1), _parts(used)),
        ]


async def measure_many(*, quick: bool) -> list[Figure]:
    """CPU with 100 light pods, each with a readiness probe a second."""
    binary = find_binary()
    async with fresh_engine() as engine:
        config = engine.state.root / "constant.cfg"
        config.write_text(CONSTANT)
        await apply_all(engine.client, constant(binary, config, replicas=_MANY))
        say(f"  starting {_MANY} pods")
        await engine.until_available("constant", _MANY)
        used = await _used_percent(engine, 8.0 if quick else 30.0)
        name = f"CPU, {_MANY} pods probed every second"
        return [
            Figure(name, used["total"], "% of a core", at_most(25), _parts(used)),
            *_memory(f"resident memory, {_MANY} pods", engine, rss_bytes, goal=False),
        ]


async def _used_percent(engine: Engine, seconds: float) -> dict[str, float]:
    await asyncio.sleep(_SETTLE_S)  # what a rollout leaves behind is not idling
    say(f"  measuring CPU for {seconds:g} s")
    before: Usage = engine.usage()
    await asyncio.sleep(seconds)
    return engine.usage().percent_since(before)


def _memory(
    name: str, engine: Engine, of: Callable[[Iterable[int]], int], *, goal: bool = True
) -> list[Figure]:
    parts = {part: of(pids) / _MB for part, pids in engine.pids().items()}
    bound = at_most(100) if goal else None
    return [Figure(name, sum(parts.values()), "MB", bound, _parts(parts))]


def _parts(parts: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.2g}" for name, value in parts.items() if name != "total")
