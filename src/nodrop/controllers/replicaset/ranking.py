"""Which pods to end first when a ReplicaSet shrinks; pure (semantics section 2)."""

from __future__ import annotations

from collections.abc import Iterable
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

    def compare(one: Obj, other: Obj) -> int:
        return _compare(one, other, now, min_ready_s)

    ordered = sorted(known, key=cmp_to_key(compare))
    return tuple(ordered[: max(0, count)])


# Private


def _compare(one: Obj, other: Obj, now: datetime, min_ready_s: int) -> int:
    """Negative if ``one`` goes before ``other``."""
    by_state = _sign(_state_rank(one, now, min_ready_s), _state_rank(other, now, min_ready_s))
    if by_state:
        return by_state
    since, since_other = ready_since(one), ready_since(other)
    if since and since_other and since != since_other:
        return _shorter_first(one, other, since, since_other, now=now)
    restarts = _sign((-_restarts(one),), (-_restarts(other),))
    if restarts:
        return restarts
    born, born_other = _created(one), _created(other)
    if born != born_other:
        return _shorter_first(one, other, born, born_other, now=now)
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


def _shorter_first(one: Obj, other: Obj, since: str, since_other: str, *, now: datetime) -> int:
    """The one with the shorter time first, by powers of two; the uid decides between equals.

    Buckets instead of exact times keep a scale-down from always hitting the newest pods.
    """
    buckets = _sign((_bucket(since, now),), (_bucket(since_other, now),))
    return buckets or _by_uid(one, other)


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


def _by_uid(one: Obj, other: Obj) -> int:
    return _sign((one["metadata"]["uid"],), (other["metadata"]["uid"],))


def _sign(left: tuple[int, ...] | tuple[str], right: tuple[int, ...] | tuple[str]) -> int:
    if left == right:
        return 0
    return -1 if left < right else 1  # type: ignore[operator]
