"""The arithmetic of the grace period."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from nodrop.agent.plan.spec import Container, Exec, PodSpec, Probe, Sleep
from nodrop.agent.plan.termination import (
    DrainPlan,
    budget_of,
    drain_share_s,
    forced_budget,
    left_of,
    longest_grace_s,
    longest_sleep_s,
    plan_drain,
)
from nodrop.model.drain import DrainWishes

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seen_s", "begins_s"),
    [
        (0.4, 0.4),  # seen at once: that is when it was asked
        (7.0, 1.0),  # seen late, after a restart: at the latest a second after the stored one
        (-3.0, -3.0),  # a clock that was set back doesn't lengthen it
    ],
)
def test_the_grace_period_begins_with_the_delete_request(seen_s: float, begins_s: float) -> None:
    pod = {
        "metadata": {
            "deletionTimestamp": "2026-11-23T12:00:30Z",
            "deletionGracePeriodSeconds": 30,
        }
    }
    budget = budget_of(pod, NOON + timedelta(seconds=seen_s))
    assert budget.requested_at == NOON + timedelta(seconds=begins_s)
    assert budget.ends_at == budget.requested_at + timedelta(seconds=30)


def test_what_is_left_is_never_negative() -> None:
    assert forced_budget(NOON).left_s(NOON + timedelta(seconds=9)) == 0


@pytest.mark.parametrize(
    ("grace_s", "sleep_s", "share_s"),
    [(30, 0, 20), (30, 15, 10), (10, 10, 0), (3, 9, 0), (0, 0, 0)],
)
def test_s20_drain_and_a_known_sleep_fit_into_the_grace_period(
    grace_s: float, sleep_s: float, share_s: float
) -> None:
    """S20: nothing extends the grace period, so the drain leaves room for what is known."""
    assert drain_share_s(grace_s, sleep_s) == pytest.approx(share_s)
    assert share_s + min(sleep_s, grace_s) <= grace_s


def test_hooks_run_side_by_side_so_the_longest_counts() -> None:
    spec = PodSpec(
        containers=(
            Container(name="a", pre_stop=Sleep(5)),
            Container(name="b", pre_stop=Sleep(9)),
            Container(name="c", pre_stop=Exec(("x",))),
        )
    )
    assert longest_sleep_s(spec) == 9


@pytest.mark.parametrize(
    ("ends_in_s", "left_s"),
    [
        (12.0, 12.0),
        (-5.0, 0.0),  # over, or the clock was set forward: the least time after SIGTERM is left
        (3612.0, 30.0),  # the clock was set back by an hour: no longer than any grace period
    ],
)
def test_a_noted_end_is_bounded_whatever_the_clock_did(ends_in_s: float, left_s: float) -> None:
    assert left_of(NOON + timedelta(seconds=ends_in_s), NOON, most_s=30) == left_s


def test_a_probe_may_grant_more_than_the_pod() -> None:
    probe = Probe(handler=Exec(("check",)), grace_s=90)
    assert longest_grace_s(Container(name="a", liveness=probe), 30) == 90
    assert longest_grace_s(Container(name="a", readiness=probe), 30) == 30


@pytest.mark.parametrize(
    ("grace_s", "sleep_s", "wishes", "plan"),
    [
        (30, 0, DrainWishes(), DrainPlan(20, 5, 20, 8)),
        (30, 15, DrainWishes(), DrainPlan(10, 2.5, 25, 4)),
        (3, 0, DrainWishes(), DrainPlan(2, 0.5, 2, 0.8)),
        (90, 0, DrainWishes(), DrainPlan(60, 5, 60, 10)),
        (30, 0, DrainWishes(2, 10), DrainPlan(2, 0.5, 10, 10)),
        (30, 0, DrainWishes(0, 0), DrainPlan(0, 0, 0, 10)),
        (5, 0, DrainWishes(20, 20), DrainPlan(5, 1.25, 5, 0)),  # kubectl delete --grace-period=5
        (0, 9, DrainWishes(), DrainPlan(0, 0, 0, 0)),
    ],
)
def test_requests_and_streams_have_budgets_of_their_own(
    grace_s: float, sleep_s: float, wishes: DrainWishes, plan: DrainPlan
) -> None:
    found = plan_drain(grace_s, sleep_s, wishes)
    for name in ("requests_s", "answers_s", "streams_s", "spread_s"):
        assert getattr(found, name) == pytest.approx(getattr(plan, name)), name
    assert found.streams_s + found.spread_s <= grace_s
