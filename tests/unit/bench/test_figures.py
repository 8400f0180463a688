"""Figures, their goals, and the report that is made of them."""

import pytest

from bench.__main__ import report
from bench.figures import Figure, Goal, at_least, at_most, median_ratio, percentile, row_of


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (at_least(0.95), 0.95, True),
        (at_least(0.95), 0.949, False),
        (at_most(20), 20, True),
        (at_most(20), 20.01, False),
    ],
)
def test_a_goal_is_met_up_to_its_bound(goal: Goal, value: float, met: bool) -> None:
    assert Figure("any", value, "ms", goal).met is met


def test_a_figure_without_a_goal_is_neither_met_nor_missed() -> None:
    figure = Figure("any", 3, "ms")
    assert figure.met is None
    assert row_of(figure) == ("any", "3 ms", "", "", "")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.7754, "0.775 ×"), (99.6, "99.6 ×"), (123.4, "123 ×"), (23441.2, "23,441 ×")],
)
def test_values_are_rounded_to_what_can_be_read(value: float, text: str) -> None:
    assert row_of(Figure("any", value, "×"))[1] == text


def test_a_missed_goal_stands_out_in_the_table() -> None:
    assert row_of(Figure("p99", 30, "ms", at_most(20), "why"))[2:] == ("≤ 20 ms", "NO", "why")


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_percentiles_are_by_nearest_rank(percent: float, value: int) -> None:
    assert percentile(range(100, 0, -1), percent) == value


def test_a_percentile_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="percentile of nothing"):
        percentile([], 50)


def test_the_ratio_is_taken_within_pairs() -> None:
    """A machine that is twice as fast in the second pair changes no ratio."""
    assert median_ratio([90, 180, 10], [100, 200, 100]) == pytest.approx(0.9)


def test_pairs_must_be_complete() -> None:
    with pytest.raises(ValueError, match="shorter"):
        median_ratio([1, 2], [1])


def test_the_report_names_what_could_not_be_measured() -> None:
    found = report({"idle": [Figure("memory", 90, "MB", at_most(100))]}, {"start": "no answer"})
    assert found["figures"] == [
        {
            "section": "idle",
            "name": "memory",
            "value": 90,
            "unit": "MB",
            "goal": "≤ 100",
            "met": True,
            "note": "",
        }
    ]
    assert found["failed"] == {"start": "no answer"}
