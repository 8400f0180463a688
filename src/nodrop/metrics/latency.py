"""How long requests took, from log lines: histograms that last and a window for people; pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nodrop.metrics.catalog import DURATION_BUCKETS_S

K = TypeVar("K", bound=Hashable)

WINDOW_S = 60.0
_WINDOW_REQUESTS = 1_000


@dataclass(slots=True)
class Durations:
    """Counts by bucket, the last one without a bound; and the newest durations with their time."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(DURATION_BUCKETS_S) + 1))
    sum_s: float = 0.0
    newest: deque[tuple[float, float]] = field(
        default_factory=lambda: deque(maxlen=_WINDOW_REQUESTS)
    )

    def add(self, took_s: float, now_s: float) -> None:
        self.buckets[bisect_left(DURATION_BUCKETS_S, took_s)] += 1
        self.sum_s += took_s
        self.newest.append((now_s, took_s))

    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus has it: (upper bound, how many took no longer)."""
        found, total = [], 0
        bounds = (*(str(bound) for bound in DURATION_BUCKETS_S), "+Inf")
        for bound, count in zip(bounds, self.buckets, strict=True):
            total += count
            found.append((bound, float(total)))
        return found

    def count(self, now_s: float) -> int:
        """How many ended within the window."""
        return sum(now_s - at <= WINDOW_S for at, _took in self.newest)

    def quantiles(self, *shares: float, now_s: float) -> list[float | None]:
        """Quantiles of what ended within the window; None when nothing did."""
        recent = sorted(took for at, took in self.newest if now_s - at <= WINDOW_S)
        if not recent:
            return [None for _ in shares]
        return [recent[min(len(recent) - 1, int(share * len(recent)))] for share in shares]


@dataclass(slots=True)
class Latency(Generic[K]):
    """Durations by key."""

    by_key: dict[K, Durations] = field(default_factory=dict)

    def add(self, key: K, took_s: float, now_s: float) -> None:
        if key not in self.by_key:
            self.by_key[key] = Durations()
        self.by_key[key].add(took_s, now_s)

    def keep(self, keys: Collection[K]) -> None:
        """Forget whatever is not among ``keys``."""
        self.by_key = {key: found for key, found in self.by_key.items() if key in keys}
