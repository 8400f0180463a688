"""The arithmetic of a PodDisruptionBudget; pure (semantics 4.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nodrop.model.disruption import is_healthy, with_allowance, with_condition
from nodrop.model.intstr import resolve
from nodrop.model.meta import Obj, format_time, is_deleting, parse_time

#: An evicted pod whose deletion isn't seen within this time counts again.
DELETION_TIMEOUT = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Scale:
    """How many pods a controller should have; several ReplicaSets share their Deployment's."""

    uid: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Scales:
    """The controllers of a budget's pods. ``unmanaged`` pods have none, ``unknown`` one that is
    no Deployment or ReplicaSet here."""

    known: frozenset[Scale] = frozenset()
    unmanaged: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        return sum(scale.replicas for scale in self.known)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many pods there should be, and how many of them must stay healthy."""

    pods: int
    healthy: int


@dataclass(frozen=True, slots=True)
class Disrupted:
    """Evicted pods that are still there, by name, when to look again, and whose time is up."""

    pods: Mapping[str, str]
    due: datetime | None
    overdue: tuple[str, ...] = ()


def counts_by_scale(budget: Obj) -> bool:
    """Whether the controllers' sizes matter: for all but a whole number in minAvailable."""
    spec = budget.get("spec") or {}
    return spec.get("maxUnavailable") is not None or isinstance(spec.get("minAvailable"), str)


def expectation(budget: Obj, pods: int, scale: int) -> Expectation:
    """Percentages are of what the controllers should have, and both round up.

    Examples with a scale of 7: minAvailable 50 % → 4 stay; maxUnavailable 50 % → 4 may be
    missing, 3 stay; maxUnavailable 9 → none must stay. minAvailable 5 → 5, whatever the scale.
    """
    spec = budget.get("spec") or {}
    if (most_missing := spec.get("maxUnavailable")) is not None:
        return Expectation(scale, max(0, scale - resolve(most_missing, scale, "up")))
    least = spec.get("minAvailable")
    if least is None:
        return Expectation(0, 0)
    if isinstance(least, str):
        return Expectation(scale, resolve(least, scale, "up"))
    return Expectation(pods, least)


def still_disrupted(budget: Obj, pods: Sequence[Obj], now: datetime) -> Disrupted:
    """Evictions whose deletion hasn't been seen: it is once the pod is gone or ending."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    waiting: dict[str, str] = {}
    overdue: list[str] = []
    dues: list[datetime] = []
    for pod in pods:
        name = pod["metadata"]["name"]
        if name not in noted or is_deleting(pod):
            continue
        due = parse_time(noted[name]) + DELETION_TIMEOUT
        if due < now:
            overdue.append(name)
        else:
            waiting[name] = noted[name]
            dues.append(due)
    return Disrupted(waiting, min(dues, default=None), tuple(overdue))


def count_healthy(pods: Sequence[Obj], disrupted: Mapping[str, str]) -> int:
    """Ready pods that nobody is ending."""
    return sum(
        is_healthy(pod) and not is_deleting(pod) and pod["metadata"]["name"] not in disrupted
        for pod in pods
    )


def next_status(
    budget: Obj, expected: Expectation, healthy: int, disrupted: Disrupted, now: datetime
) -> Obj:
    """The status. While no pod is expected nothing may go: the first ones may be on their way."""
    allowed = max(0, healthy - expected.healthy) if expected.pods > 0 else 0
    before = budget.get("status") or {}
    status: Obj = {
        "currentHealthy": healthy,
        "desiredHealthy": expected.healthy,
        "disruptionsAllowed": allowed,
        "expectedPods": expected.pods,
        "observedGeneration": budget["metadata"].get("generation", 0),
    }
    if disrupted.pods:
        status["disruptedPods"] = dict(disrupted.pods)
    if "conditions" in before:
        status["conditions"] = before["conditions"]
    return with_allowance(status, format_time(now))


def failed_status(budget: Obj, why: str, now: datetime) -> Obj:
    """The safe side when the expected number can't be known: nothing may go."""
    status = {**(budget.get("status") or {}), "disruptionsAllowed": 0}
    return with_condition(
        status, allowed=False, reason="SyncFailed", message=why, now=format_time(now)
    )
