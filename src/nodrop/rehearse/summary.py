"""Figures of many records: counts, what was lost and why, latency percentiles. Pure.

Latencies are kept in a histogram of logarithmic buckets (about 2 % wide), so that a run of any
length takes little memory and percentiles can be added up; the largest value is kept as it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from nodrop.rehearse.record import Outcome, Record

_SMALLEST_S = 1e-5
_GROWTH = math.log(1.02)


@dataclass(slots=True)
class Histogram:
    """Latencies in seconds."""

    count: int = 0
    largest_s: float = 0.0
    _buckets: Counter[int] = field(default_factory=Counter)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.largest_s = max(self.largest_s, seconds)
        self._buckets[_bucket(seconds)] += 1

    def merge(self, other: Histogram) -> None:
        self.count += other.count
        self.largest_s = max(self.largest_s, other.largest_s)
        self._buckets.update(other._buckets)

    def percentile_s(self, percent: float) -> float:
        """The latency that ``percent`` of the requests did not exceed (nearest rank).

        Off by at most a bucket's width (2 %) upwards; 0 when there are none.
        """
        rank = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(_upper_s(bucket), self.largest_s)
        return 0.0


def _bucket(seconds: float) -> int:
    return math.ceil(math.log(max(seconds, _SMALLEST_S) / _SMALLEST_S) / _GROWTH)


def _upper_s(bucket: int) -> float:
    return _SMALLEST_S * math.exp(bucket * _GROWTH)


@dataclass(slots=True)
class Tally:
    """What became of some requests. Latency counts answered requests and timed-out ones."""

    requests: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    latency: Histogram = field(default_factory=Histogram)

    def add(self, record: Record) -> None:
        self.requests += 1
        self.outcomes[record.outcome] += 1
        if not record.lost or record.outcome is Outcome.TIMEOUT:
            self.latency.add(record.latency_s)

    @property
    def lost(self) -> int:
        return self.requests - self.outcomes[Outcome.OK]

    def causes(self) -> dict[str, int]:
        """How many were lost by which cause, most first."""
        return {
            str(outcome): number
            for outcome, number in self.outcomes.most_common()
            if outcome is not Outcome.OK
        }

    def figures(self) -> dict[str, Any]:
        """For JSON: counts, milliseconds."""
        return {
            "requests": self.requests,
            "lost": self.lost,
            "causes": self.causes(),
            "p50_ms": milliseconds(self.latency.percentile_s(50)),
            "p99_ms": milliseconds(self.latency.percentile_s(99)),
            "max_ms": milliseconds(self.latency.largest_s),
        }


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


@dataclass(slots=True)
class Summary:
    """All records, and the same by version. Requests without an answer have version ``""``.

    ``behind`` tells how late requests left on open connections: the generator's own lag.
    """

    total: Tally = field(default_factory=Tally)
    by_version: dict[str, Tally] = field(default_factory=dict)
    behind: Histogram = field(default_factory=Histogram)
    fresh: int = 0
    by_method: Counter[str] = field(default_factory=Counter)
    slow: int = 0

    def add(self, record: Record) -> None:
        self.total.add(record)
        self.by_version.setdefault(record.version, Tally()).add(record)
        self.by_method[record.method] += 1
        self.fresh += record.fresh
        self.slow += record.asked_s > 0
        if record.sent and not record.fresh:
            self.behind.add(record.sent - record.intended)

    def add_all(self, records: Iterable[Record]) -> None:
        for record in records:
            self.add(record)

    def figures(self) -> dict[str, Any]:
        """For JSON: the total's figures, the mix, and the figures by version."""
        return {
            **self.total.figures(),
            "by_method": dict(self.by_method),
            "new_connections": self.fresh,
            "slow": self.slow,
            "behind_schedule_p99_ms": milliseconds(self.behind.percentile_s(99)),
            "by_version": {
                version or "none": tally.figures()
                for version, tally in sorted(self.by_version.items())
            },
        }
