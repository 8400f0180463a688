"""The invariants themselves: what they let pass, and what not."""

from __future__ import annotations

from datetime import datetime, timedelta
from signal import Signals

import pytest

from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort
from nodrop.sim import invariants
from nodrop.sim.facts import Bounds, Facts, PodFact, SetFact
from nodrop.sim.loop import START


def _pod(uid: str, *, ready_s: float | None = 0.0, **fields: object) -> PodFact:
    fact = PodFact(uid, uid, "set", probed=True)
    if ready_s is not None:
        fact.ready_s, fact.ready_at, fact.was_ready = ready_s, _at(ready_s), True
    for name, value in fields.items():
        setattr(fact, name, value)
    return fact


def _at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def _facts(*pods: PodFact, floor: int, ceiling: int, min_ready_s: int = 0) -> Facts:
    facts = Facts(pods={pod.uid: pod for pod in pods}, min_ready_s=min_ready_s)
    facts.sets["set"] = SetFact(
        "set", "web-1", 3, 50.0, _at(50), min_ready_s, min_ready_s, 0.0, 50.0, _at(50)
    )
    facts.bounds.append(Bounds(0.0, 3, floor, ceiling))
    return facts


def _table(*uids: str) -> RoutingTable:
    backends = frozenset(Backend(uid, uid, "127.9.0.1", 8080) for uid in uids)
    return RoutingTable(pools={ServicePort("default", "web", 80): backends})


@pytest.mark.parametrize(
    ("floor", "min_ready_s", "harmed_s", "broken"),
    [
        (2, 0, -1.0, True),  # one of two is deleted, two are promised
        (1, 0, -1.0, False),
        (2, 0, 55.0, False),  # another pod was lost after the decision
        (2, 60, -1.0, False),  # it did not count yet
    ],
)
def test_floor(floor: int, min_ready_s: int, harmed_s: float, broken: bool) -> None:
    """S4, S5."""
    gone = _pod("b", deleted_s=60.0)
    facts = _facts(_pod("a"), gone, floor=floor, ceiling=9, min_ready_s=min_ready_s)
    facts.harmed_s = harmed_s
    assert bool(invariants.floor_broken(facts, gone, 60.0, _at(60))) is broken


@pytest.mark.parametrize(("ceiling", "broken"), [(1, True), (2, False)])
def test_ceiling_counts_no_terminating_pod(ceiling: int, broken: bool) -> None:
    """S3."""
    new = _pod("c", ready_s=None)
    facts = _facts(_pod("a"), _pod("b", deleted_s=1.0), new, floor=0, ceiling=ceiling)
    assert bool(invariants.ceiling_broken(facts, new, 60.0)) is broken


@pytest.mark.parametrize(
    ("routed", "in_flight", "used_s", "early"),
    [
        (True, 0, 1.0, True),
        (True, 0, 30.0, False),  # the grace period is over
        (False, 2, 19.0, True),
        (False, 2, 20.0, False),  # the drain's share is used up
        (False, 0, 0.0, False),
    ],
)
def test_first_signal(routed: bool, in_flight: int, used_s: float, early: bool) -> None:
    """S12, S13."""
    pod = _pod("a", deleted_s=10.0, grace_s=30.0)
    found = invariants.early_signal(
        pod, Signals.SIGTERM, routed=routed, in_flight=in_flight, used_s=used_s
    )
    assert bool(found) is early


@pytest.mark.parametrize(
    ("used_s", "after_sigterm_s", "early"),
    [(30.0, 10.0, False), (29.0, 10.0, True), (30.0, 1.9, True), (40.0, None, False)],
)
def test_kill(used_s: float, after_sigterm_s: float | None, early: bool) -> None:
    """S15."""
    pod = _pod("a", deleted_s=10.0, grace_s=30.0)
    found = invariants.early_kill(pod, used_s=used_s, after_sigterm_s=after_sigterm_s)
    assert bool(found) is early


def test_the_end_may_take_the_grace_period_and_two_seconds() -> None:
    """S15, S20."""
    pod = _pod("a", deleted_s=10.0, grace_s=30.0)
    assert invariants.overdue(pod, 33.0) is None
    assert invariants.overdue(pod, 34.0) is not None


@pytest.mark.parametrize(
    ("min_available", "quiet_s", "broken"),
    [
        (1, 60.0, False),
        (2, 60.0, True),  # two were ready, one of them is evicted
        ("50%", 60.0, True),  # of three, rounded up: two
        ("33%", 60.0, False),
        (2, 0.5, False),  # another went a moment before: the status may not know of it yet
    ],
)
def test_evictions_keep_the_budget(min_available: int | str, quiet_s: float, broken: bool) -> None:
    gone = _pod("b", deleted_s=60.0)
    facts = _facts(_pod("a"), gone, _pod("c", ready_s=None), floor=0, ceiling=9)
    why = invariants.budget_broken(facts, gone, min_available, quiet_s)
    assert bool(why) is broken


def test_s5_a_ready_pod_keeps_its_traffic() -> None:
    kept, lost = _pod("a", routed=True), _pod("b", routed=True)
    facts = _facts(kept, lost, floor=0, ceiling=9)
    assert "without b" in str(invariants.lost_backend(facts, _table("a")))
    assert invariants.lost_backend(facts, _table("a", "b")) is None
    lost.deleted_s = 5.0
    assert invariants.lost_backend(facts, _table("a")) is None


@pytest.mark.parametrize(
    ("now_s", "wall_s", "wrong"),
    [
        (5.0, 5.0, True),
        (9.0, 9.0, False),
        (9.0, -51.0, False),  # set back by a minute: it ran long enough all the same
        (5.0, -55.0, True),  # set back, and it did not
        (5.0, 50.0, False),  # set forward: nobody can know better
    ],
)
def test_s9_a_hold_is_over_by_the_wall_or_by_the_loop(
    now_s: float, wall_s: float, wrong: bool
) -> None:
    pod = _pod("a", hold_s=8)
    facts = _facts(pod, floor=0, ceiling=9)
    why = invariants.wrong_backend(facts, _table("a"), "a", now_s=now_s, now=_at(wall_s))
    assert bool(why) is wrong
