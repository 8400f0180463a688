"""Histograms and quantiles of durations."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodrop.metrics.catalog import DURATION_BUCKETS_S
from nodrop.metrics.latency import WINDOW_S, Durations, Latency


def test_a_bound_belongs_to_its_bucket() -> None:
    found = Durations()
    for took_s in (0.0, 0.001, 0.0011, 99.0):
        found.add(took_s, 0.0)
    cumulative = dict(found.cumulative())
    assert cumulative["0.001"] == 2
    assert cumulative["0.0025"] == 3
    assert cumulative["10.0"] == 3
    assert cumulative["+Inf"] == 4


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.floats(0, 100), max_size=50))
def test_buckets_grow_and_end_with_everything(durations: list[float]) -> None:
    found = Durations()
    for took_s in durations:
        found.add(took_s, 0.0)
    counts = [count for _, count in found.cumulative()]
    assert counts == sorted(counts)
    assert counts[-1] == len(durations)
    assert len(counts) == len(DURATION_BUCKETS_S) + 1


def test_quantiles_are_of_the_window_only() -> None:
    found = Durations()
    assert found.quantiles(0.5, 0.99, now_s=0) == [None, None]
    for number in range(100):
        found.add(number / 1000, 0.0)
    assert found.quantiles(0.5, 0.99, now_s=1) == [0.05, 0.099]
    found.add(1.0, WINDOW_S + 5)
    assert found.quantiles(0.5, now_s=WINDOW_S + 5) == [1.0]


def test_what_is_gone_is_forgotten() -> None:
    latency: Latency[str] = Latency()
    latency.add("a", 0.1, 0)
    latency.add("b", 0.1, 0)
    latency.keep({"b"})
    assert list(latency.by_key) == ["b"]
