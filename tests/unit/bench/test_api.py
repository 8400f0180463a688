"""What the API section makes of what its clients saw."""

from __future__ import annotations

import pytest

from bench.api import Sample, cpu_percent, figures
from bench.api_load import Phase, Seen, Wanted
from bench.engine import BenchFailed

WANTED = Wanted(pods=3, watchers=2, patches_per_s=200, seconds=1, listed_pods=5000, lists=3)
SAMPLES = [Sample(at, cpu) for at, cpu in ((0.0, 0.0), (1.0, 0.8), (2.0, 1.0), (3.0, 1.5))]


def phase(patch_ms: list[float], events: int = 0) -> Phase:
    return Phase(patch_ms, 1.0, 3.0, events)


def test_cpu_counts_only_while_the_phase_lasts() -> None:
    assert cpu_percent(SAMPLES, phase([1.0])) == pytest.approx(35)


def test_a_phase_without_samples_has_no_cpu() -> None:
    with pytest.raises(BenchFailed, match="too soon"):
        cpu_percent(SAMPLES[:1], phase([1.0]))


def test_each_goal_stands_beside_its_row() -> None:
    slow = phase([1.0] * 98 + [30.0, 40.0], events=200)
    seen = Seen(900, phase([9.0] * 100), slow, [100.0, 140.0, 400.0], [300.0], 3_000_000)
    found = {figure.name: figure for figure in figures(seen, WANTED, SAMPLES, 90_000_000)}
    alone = found["p99 of 200 PATCHes/s, no watcher"]
    watched = found["p99 of 200 PATCHes/s, 2 watchers"]
    listed = found["list of 5,000 pods"]
    assert (alone.value, alone.met) == (9.0, True)
    assert (watched.value, watched.met, watched.note) == (
        30.0,
        False,
        "p50 1.0 ms; 200 events came",
    )
    assert (listed.value, listed.met, listed.note) == (140.0, True, "3.0 MB")
