"""What ``nodrop top`` is told."""

from __future__ import annotations

import pytest

from nodrop.metrics.latency import WINDOW_S, Latency
from nodrop.metrics.top import quantiles_of


@pytest.mark.parametrize(
    ("samples", "known"),
    [(0, (False, False)), (4, (False, False)), (5, (True, False)), (20, (True, True))],
)
def test_quantiles_of_a_few_samples_are_not_told(samples: int, known: tuple[bool, bool]) -> None:
    """p99 of one or two requests would be the slower of them."""
    latency: Latency[str] = Latency()
    for _ in range(samples):
        latency.add("web", 0.004, 100.0)
    p50, p99 = quantiles_of(latency, ["web"], 101.0)
    assert (p50 is not None, p99 is not None) == known
    assert {p50, p99} <= {4.0, None}
    assert quantiles_of(latency, ["web"], 101.0 + WINDOW_S) == (None, None)
