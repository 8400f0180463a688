"""Which pods to end first when a ReplicaSet shrinks; pure (semantics section 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cmp_to_key

from nodrop.controllers.pods import is_available, phase_of, ready_since
from nodrop.model.meta import Obj, annotations_of, parse_time

_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASES = {"Pending": 0, "Unknown": 1, "Running": 2}


def victims(
    pods: Iterable[Obj], count: int, now: datetime, *, min_ready_s: int = 0
) -> tuple[Obj, ...]:
    """The ``count`` pods whose end costs least, the first to go first.

    Beyond upstream: a ready pod that isn't available yet goes before one that is. The Deployment
    counts on that when it shrinks a set by what is unavailable in it; upstream's powers of two
    would take available ones and break the floor (S5).
    """
    known = tuple(pods)
    if count >= len(known):
        return known

    ranked = [_traits(pod, now, min_ready_s) for pod in known]
    ranked.sort(key=cmp_to_key(_compare))
    return tuple(one.pod for one in ranked[: max(0, count)])


# Private


@dataclass(frozen=True, slots=True)
class _Traits:
    """What a pod is ranked by, read once: thousands of pods are compared many times each."""

    pod: Obj
    state: tuple[int, ...]
    ready: str
    ready_bucket: int
    restarts: int
    born: str
    born_bucket: int
    uid: str


def _traits(pod: Obj, now: datetime, min_ready_s: int) -> _Traits:
    ready, born = ready_since(pod) or "", _created(pod)
    return _Traits(
        pod=pod,
        state=_state_rank(pod, now, min_ready_s),
        ready=ready,
        ready_bucket=_bucket(ready, now),
        restarts=_restarts(pod),
        born=born,
        born_bucket=_bucket(born, now),
        uid=pod["metadata"]["uid"],
    )


def _compare(one: _Traits, other: _Traits) -> int:
    """Negative if ``one`` goes before ``other``.

    Of times the shorter goes first, by powers of two, and the uid decides between equals:
    buckets instead of exact times keep a scale-down from always hitting the newest pods.
    """
    if one.state != other.state:
        return -1 if one.state < other.state else 1
    if one.ready and other.ready and one.ready != other.ready:
        return _sign(one.ready_bucket, other.ready_bucket) or _by_uid(one, other)
    if one.restarts != other.restarts:
        return -1 if one.restarts > other.restarts else 1
    if one.born != other.born:
        return _sign(one.born_bucket, other.born_bucket) or _by_uid(one, other)
    return _by_uid(one, other)


def _state_rank(pod: Obj, now: datetime, min_ready_s: int) -> tuple[int, ...]:
    """Unscheduled, Pending, Unknown, unready, unavailable and cheap pods first."""
    return (
        1 if pod["spec"].get("nodeName") else 0,
        _PHASES.get(phase_of(pod), 2),
        1 if ready_since(pod) else 0,
        1 if is_available(pod, min_ready_s, now) else 0,
        _deletion_cost(pod),
    )


def _bucket(since: str, now: datetime) -> int:
    """floor(log2) of the nanoseconds since then, -1 for none: upstream's unit sets the bounds."""
    if not since:
        return -1
    elapsed = now - parse_time(since)
    micros = (elapsed.days * 86400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
    return (micros * 1000).bit_length() - 1 if micros > 0 else -1


def _deletion_cost(pod: Obj) -> int:
    try:
        return int(annotations_of(pod).get(_DELETION_COST, "0"))
    except ValueError:
        return 0


def _restarts(pod: Obj) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((entry.get("restartCount") or 0 for entry in statuses), default=0)


def _created(pod: Obj) -> str:
    created: str = pod["metadata"].get("creationTimestamp") or ""
    return created


def _by_uid(one: _Traits, other: _Traits) -> int:
    if one.uid == other.uid:
        return 0
    return -1 if one.uid < other.uid else 1


def _sign(left: int, right: int) -> int:
    return (left > right) - (left < right)
