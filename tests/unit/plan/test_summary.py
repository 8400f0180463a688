"""Levels, waves and durations from pods and their times."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodrop.plan.spans import Fate
from nodrop.plan.summary import (
    bounds,
    level_at,
    level_of,
    longest_below,
    moments_of,
    stuck_of,
    summarize,
    waves_of,
)
from tests.unit.plan.support import course, deployment, new, old


def test_one_by_one() -> None:
    summary = summarize(course())
    assert (summary.least, summary.floor, summary.desired) == (2, 2, 2)
    assert (summary.most, summary.most_at_s, summary.ceiling) == (3, 0.1, 3)
    assert summary.most_processes == 4  # a still ends while d starts
    assert summary.reduced_s == 0
    assert (summary.complete_s, summary.duration_s) == (10.5, 11.0)


def test_fewer_for_a_while() -> None:
    pods = (old("a", 0.1, 1), old("b", 5.1, 6), new("c", 0.2, 5.0), new("d", 5.2, 10.0))
    summary = summarize(course(*pods, surge=0, unavailable=1))
    assert (summary.least, summary.least_at_s, summary.floor) == (1, 0.1, 1)
    assert summary.reduced_s == pytest.approx(4.9)
    assert summary.most == 2


def test_ready_is_not_available_before_min_ready_seconds() -> None:
    pods = (old("a", 3.5, 4), new("b", 0, 1.0))
    assert summarize(course(*pods, replicas=1, minReadySeconds=2)).least == 1
    assert summarize(course(*pods, replicas=1, minReadySeconds=3)).least == 0


@pytest.mark.parametrize(
    ("intervals", "level"),
    [
        ([], [(0.0, 0)]),
        ([(0, None)], [(0.0, 1)]),
        ([(1, 2), (2, None)], [(0.0, 0), (1, 1), (2, 1)]),  # no gap where one follows another
        ([(-3, 4), (1, 2)], [(0.0, 1), (1, 2), (2, 1), (4, 0)]),
    ],
)
def test_level_of(
    intervals: list[tuple[float, float | None]], level: list[tuple[float, int]]
) -> None:
    assert level_of(intervals) == level


def test_level_at() -> None:
    level = [(0.0, 2), (1.0, 3), (4.0, 1)]
    assert [level_at(level, at_s) for at_s in (0, 0.9, 1, 3.9, 4, 9)] == [2, 2, 3, 3, 1, 1]


@pytest.mark.parametrize(
    ("level", "longest_s"),
    [
        ([(0.0, 2)], 0),
        ([(0.0, 2), (1.0, 1), (4.0, 2)], 3),
        ([(0.0, 1), (1.0, 2), (2.0, 1), (2.5, 0), (5.0, 2)], 3),  # two steps below are one stretch
        ([(0.0, 2), (6.0, 1)], 4),  # to the end of the run
    ],
)
def test_longest_below(level: list[tuple[float, int]], longest_s: float) -> None:
    assert longest_below(level, 2, ended_s=10) == longest_s


@pytest.mark.parametrize(
    ("before", "spec", "expected"),
    [
        (4, {"replicas": 4, "surge": 1, "unavailable": 0}, (4, 5)),
        (10, {"replicas": 10, "surge": "25%", "unavailable": "25%"}, (8, 13)),  # up, and down
        (4, {"replicas": 2, "surge": 1, "unavailable": 1}, (1, 5)),  # scaled down meanwhile
        (2, {"replicas": 4, "surge": 1, "unavailable": 0}, (2, 5)),
        (3, {"replicas": 3, "strategy": {"type": "Recreate"}}, (0, 3)),
    ],
)
def test_bounds(before: int, spec: dict[str, object], expected: tuple[int, int]) -> None:
    assert bounds(course(before=deployment(before), **spec)) == expected


def test_moments_gather_what_happens_together() -> None:
    pods = (new("a", 1.0, 5.0), new("b", 1.1, 5.2), new("c", 3.0, None))
    told = [(m.at_s, m.what, m.pods) for m in moments_of(course(*pods))]
    assert told == [
        (1.0, "starts", ("a", "b")),
        (3.0, "starts", ("c",)),
        (5.0, "ready", ("a", "b")),
    ]


def test_waves_begin_where_pods_start() -> None:
    waves = waves_of(course())
    assert [(wave.number, wave.at_s) for wave in waves] == [(1, 0.1), (2, 5.2)]
    assert [wave.count("leaves", "old") for wave in waves] == [1, 1]
    assert [wave.count("gone", "old") for wave in waves] == [0, 2]


def test_nothing_happens_no_wave() -> None:
    assert waves_of(course(old("a"))) == ()


def test_stuck() -> None:
    stands = course(old("a"), old("b"), new("c", 0.1, None))
    stands = replace(stands, fate=Fate(deadline_s=600.5, message="too late"), ended_s=601)
    stuck = stuck_of(stands)
    assert (stuck.old, stuck.new, stuck.available, stuck.deadline_s) == (2, 1, 2, 600.5)
