"""What the demo shows: a live picture, a line where there is no terminal, and a final table."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nodrop.rehearse.lives import Phase
from nodrop.rehearse.record import Record
from nodrop.rehearse.summary import Histogram

_WINDOW_S = 1.0
_PHASES: tuple[Phase, ...] = ("starting", "ready", "terminating")
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Picture:
    """The demo at one moment. Rates are answers a second by version."""

    stage: str
    stage_s: float
    pods: Mapping[tuple[str, Phase], int]
    rates: Mapping[str, float]
    p99_s: float
    requests: int
    lost: int

    @property
    def versions(self) -> list[str]:
        return sorted({version for version, _ in self.pods} | set(self.rates))


@dataclass(slots=True)
class Window:
    """The records of the last second."""

    records: deque[Record] = field(default_factory=deque)

    def add(self, batch: Sequence[Record]) -> None:
        self.records.extend(batch)

    def rates(self, now: float) -> Counter[str]:
        self._forget(now)
        return Counter(record.version or "lost" for record in self.records)

    def p99_s(self, now: float) -> float:
        self._forget(now)
        histogram = Histogram()
        for record in self.records:
            histogram.add(record.latency_s)
        return histogram.percentile_s(99)

    def _forget(self, now: float) -> None:
        while self.records and self.records[0].done < now - _WINDOW_S:
            self.records.popleft()


def render_picture(picture: Picture) -> RenderableType:
    """The live display."""
    table = Table(box=None, pad_edge=False)
    for column in ("version", *_PHASES, "requests/s"):
        table.add_column(column, justify="left" if column == "version" else "right")
    for version in picture.versions:
        counts = [str(picture.pods.get((version, phase), 0) or "·") for phase in _PHASES]
        table.add_row(version, *counts, f"{picture.rates.get(version, 0):.0f}")
    return Group(
        Text(f"{picture.stage}  {picture.stage_s:.1f} s", style="bold"), table, _sums(picture)
    )


def plain_line(picture: Picture) -> str:
    """The same in one line."""
    pods = " ".join(
        f"{version}:{picture.pods[version, phase]} {phase}"
        for version in picture.versions
        for phase in _PHASES
        if picture.pods.get((version, phase))
    )
    rates = " ".join(f"{version}:{rate:.0f}/s" for version, rate in sorted(picture.rates.items()))
    sums = f"p99 {picture.p99_s * 1000:.1f} ms, {picture.requests} requests, {picture.lost} lost"
    return f"[{picture.stage}] pods {pods or 'none'} | {rates or 'no answers'} | {sums}"


def render_report(figures: Mapping[str, Any]) -> RenderableType:
    """The final table and the lines below it."""
    table = Table(title="Rollouts under load")
    for column in ("rollout", "requests", "lost", "seconds", "p99 ms", "pods ended"):
        first = column == "rollout"
        table.add_column(column, justify="left" if first else "right", no_wrap=True)
    for each in figures["rollouts"]:
        ended = f"{each['terminations_under_load']}/{each['terminations']}"
        seconds = "-" if each["seconds"] is None else f"{each['seconds']:.1f}"
        table.add_row(
            each["name"],
            str(each["requests"]),
            Text(str(each["lost"]), style="bold red" if each["lost"] else "green"),
            seconds,
            f"{each['p99_ms']:.1f}",
            ended,
        )
    return Group(table, *map(Text, summary_lines(figures)))


def summary_lines(figures: Mapping[str, Any]) -> list[str]:
    """What the table doesn't hold: totals, ready→traffic, memory, verdict."""
    traffic, memory = figures["ready_to_traffic_ms"], figures["memory_bytes"]
    load = figures["load"]
    parts = ", ".join(f"{name} {memory[name] / _MIB:.0f}" for name in ("engine", "keeper", "proxy"))
    return [
        f"requests: {figures['requests']} ({load['by_method'].get('POST', 0)} POSTs, "
        f"{load['new_connections']} on new connections, {load['slow']} slow), "
        f"lost: {figures['lost']}",
        f"ready → first answer: p50 {traffic['p50']:.1f} ms, max {traffic['max']:.1f} ms "
        f"({traffic['pods']} pods; a request every {1000 / figures['rate']:.1f} ms)",
        f"memory: {memory['total'] / _MIB:.0f} MiB ({parts})",
        f"verdict: {figures['verdict']}: {'; '.join(figures['because'])}",
    ]


def _sums(picture: Picture) -> Text:
    text = Text(f"p99 {picture.p99_s * 1000:.1f} ms   {picture.requests} requests   ")
    text.append(f"{picture.lost} lost", style="bold red" if picture.lost else "green")
    return text
