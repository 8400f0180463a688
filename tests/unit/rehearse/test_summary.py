"""Figures: counts by cause and version, and percentiles within a bucket of the exact ones."""

from __future__ import annotations

import math
import random

import pytest

from nodrop.rehearse.record import Outcome, Record, decode_batch, encode_batch
from nodrop.rehearse.summary import Histogram, Summary


def record(
    number: int = 0,
    *,
    outcome: Outcome = Outcome.OK,
    latency_s: float = 0.01,
    version: str = "v1",
    asked_s: float = 0.0,
    fresh: bool = False,
) -> Record:
    return Record(
        number,
        100.0,
        100.001,
        100.0 + latency_s,
        outcome,
        200,
        "GET",
        version,
        "p-1",
        fresh,
        asked_s,
    )


@pytest.mark.parametrize("percent", [50, 90, 99, 99.9, 100])
def test_percentiles_are_within_a_bucket(percent: float) -> None:
    chance = random.Random(5)
    values = [chance.lognormvariate(-5, 1) for _ in range(10_000)]
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    exact = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
    assert exact <= histogram.percentile_s(percent) * 1.000001 <= exact * 1.021


def test_an_empty_histogram_and_merging() -> None:
    first, second = Histogram(), Histogram()
    assert first.percentile_s(99) == 0
    first.add(0.001)
    second.add(2.0)
    first.merge(second)
    assert (first.count, first.largest_s) == (2, 2.0)
    assert first.percentile_s(100) == 2.0


def test_losses_are_counted_by_cause_and_version() -> None:
    summary = Summary()
    summary.add_all(record(n) for n in range(5))
    summary.add_all(record(n, outcome=Outcome.RESET, version="") for n in range(3))
    summary.add(record(outcome=Outcome.STATUS_5XX, version="v2"))
    assert (summary.total.requests, summary.total.lost) == (9, 4)
    assert summary.total.causes() == {"reset": 3, "status-5xx": 1}
    figures = summary.figures()
    assert {name: each["lost"] for name, each in figures["by_version"].items()} == {
        "none": 3,
        "v1": 0,
        "v2": 1,
    }


def test_time_that_was_asked_for_is_no_latency_and_lost_requests_have_none() -> None:
    summary = Summary()
    summary.add(record(latency_s=0.31, asked_s=0.3))
    summary.add(record(latency_s=9, outcome=Outcome.RESET))
    assert summary.total.latency.largest_s == pytest.approx(0.01)
    summary.add(record(latency_s=5, outcome=Outcome.TIMEOUT))
    assert summary.total.latency.largest_s == 5


def test_batches_survive_the_pipe() -> None:
    batch = [record(1), record(2, outcome=Outcome.HALF_ANSWER, fresh=True, asked_s=0.5)]
    line = encode_batch(batch)
    assert line.count(b"\n") == 1
    assert decode_batch(line) == batch
