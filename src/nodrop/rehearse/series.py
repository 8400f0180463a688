"""What was answered and lost over time, second by second, for pictures. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.summary import Histogram, milliseconds


@dataclass(slots=True)
class Second:
    """One second of the run, by the intended time of its requests."""

    answered: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    latency: Histogram = field(default_factory=Histogram)


@dataclass(slots=True)
class Series:
    """Seconds from ``start`` on (``loop.time()``). Versions are named by who adds records."""

    start: float
    seconds: dict[int, Second] = field(default_factory=dict)

    def add(self, record: Record, version: str) -> None:
        second = self.seconds.setdefault(int(record.intended - self.start), Second())
        if record.lost:
            second.lost += 1
        else:
            second.answered[version] += 1
        if not record.lost or record.outcome is Outcome.TIMEOUT:
            second.latency.add(record.latency_s)

    def rows(self) -> list[dict[str, Any]]:
        """For JSON: one row a second, gaps included."""
        last = max(self.seconds, default=-1)
        return [_row(at, self.seconds.get(at, Second())) for at in range(last + 1)]


def versions_of(rows: Iterable[dict[str, Any]]) -> list[str]:
    """All versions that ever answered, in order of appearance."""
    return list(dict.fromkeys(version for row in rows for version in row["answered"]))


def _row(at: int, second: Second) -> dict[str, Any]:
    return {
        "s": at,
        "answered": dict(second.answered),
        "lost": second.lost,
        "p50_ms": milliseconds(second.latency.percentile_s(50)),
        "p99_ms": milliseconds(second.latency.percentile_s(99)),
    }
