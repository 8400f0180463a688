"""How long a pod that has become ready waits for its first request, under a dense load."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.dense import DenseLoad, Heard
from bench.engine import Engine, fresh_engine, say, until_answered
from bench.figures import Figure, at_most, percentile
from bench.manifests import service
from nodrop.cli.apply import apply_all
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj
from nodrop.rehearse.lives import is_ready

_APP = Path(__file__).with_name("ready_app.py")
_RATE = 3000.0


@dataclass(frozen=True, slots=True)
class Shape:
    """``surge`` new pods at a time beside ``replicas`` old ones."""

    how: str
    replicas: int
    surge: int
    rollouts: int

    @property
    def gap_ms(self) -> float:
        """How far apart the requests are that each pod gets when all are ready: round robin."""
        return 1000 / _RATE * (self.replicas + self.surge)


@dataclass(frozen=True, slots=True)
class Came:
    """The first moments of one pod, in seconds of the machine's monotonic clock."""

    probe_answered: float
    ready_seen: float
    acknowledged: float
    first_request: float


async def measure(*, quick: bool) -> list[Figure]:
    """Roll out again and again. Raises BenchFailed when a request is lost.

    One pod at a time, as the examples do; and three, which come to be ready at the same moment.
    """
    shapes = (
        Shape("one at a time", 2, 1, 4 if quick else 27),
        Shape("three at once", 3, 3, 3 if quick else 18),
    )
    return [figure for shape in shapes for figure in _figures(*await _measure(shape), shape)]


async def _measure(shape: Shape) -> tuple[list[Came], Heard]:
    ready_seen: dict[str, float] = {}

    def observe(event: WatchEvent, _before: Obj | None) -> None:
        if is_ready(event.obj):
            ready_seen.setdefault(event.obj["metadata"]["name"], time.monotonic())

    async with fresh_engine() as engine:
        cache = Cache(engine.client, (POD,))
        cache.subscribe(observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(cache.run())
            await cache.synced()
            await _deploy(engine, 0, shape)
            await until_answered(engine.url)
            old = set(ready_seen)
            load = DenseLoad(engine.url, _RATE)
            load.start()
            try:
                for number in range(1, shape.rollouts + 1):
                    await _deploy(engine, number, shape)
                    say(f"  rollout {number} of {shape.rollouts}, {shape.how}")
            finally:
                heard = await asyncio.to_thread(load.stop)
            watching.cancel()
        acknowledged = acknowledgements((engine.state.root / "engine.log").read_text())
    new = ready_seen.keys() - old
    return [_came(name, ready_seen, acknowledged, heard) for name in sorted(new)], heard


async def _deploy(engine: Engine, number: int, shape: Shape) -> None:
    command = (sys.executable, "-S", "-E", str(_APP))
    strategy = {"maxSurge": shape.surge, "maxUnavailable": 0}
    objects = service(
        "ready", command, replicas=shape.replicas, version=f"v{number}", strategy=strategy
    )
    await apply_all(engine.client, objects)
    await engine.until_available("ready", shape.replicas)


def acknowledgements(log: str) -> dict[str, float]:
    """Pod → when the engine noted that the proxy routes to it, by the monotonic clock."""
    offset_s = time.time() - time.monotonic()
    found: dict[str, float] = {}
    for line in log.splitlines():
        entry = json.loads(line) if line.startswith("{") else {}
        if str(entry.get("message", "")).startswith("routing: "):
            at = datetime.fromisoformat(entry["time"]).timestamp() - offset_s
            for change in entry["message"].removeprefix("routing: ").split("; "):
                _, came, backend = change.partition(" + ")
                if came:
                    found.setdefault(backend.split(" ")[0], at)
    return found


def _came(
    name: str, ready_seen: dict[str, float], acknowledged: dict[str, float], heard: Heard
) -> Came:
    said = heard.answers[name]
    return Came(
        float(said["x-ready-at"]), ready_seen[name], acknowledged[name], float(said["x-first-at"])
    )


def _figures(pods: list[Came], heard: Heard, shape: Shape) -> list[Figure]:
    seen = [1000 * max(0.0, pod.first_request - pod.ready_seen) for pod in pods]
    own = [1000 * (pod.first_request - pod.probe_answered) for pod in pods]
    told = [1000 * (pod.acknowledged - pod.probe_answered) for pod in pods]
    note = f"{len(pods)} pods; a request to each every {shape.gap_ms:.2g} ms at most"
    pace = f"the load's own gaps: p99 {percentile(heard.gaps_ms, 99):.2g} ms"
    rows = (
        (
            "probe answered → acknowledged by the proxy",
            told,
            None,
            "",
            "as the engine's log has it",
        ),
        ("probe answered → first request", own, at_most(10), note, pace),
        ("Ready seen → first request", seen, at_most(10), "", "0: it was there before"),
    )
    figures = []
    for name, values, goal, about_p50, about_p99 in rows:
        what = f"{shape.how}: {name}"
        figures.append(Figure(f"{what}, p50", percentile(values, 50), "ms", None, about_p50))
        figures.append(Figure(f"{what}, p99", percentile(values, 99), "ms", goal, about_p99))
    return figures
