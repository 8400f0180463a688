"""The Progressing condition: complete, making progress, or out of time; pure (semantics 1.12)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from nodrop.controllers.deployment.snapshot import DeploymentView
from nodrop.controllers.deployment.status import is_complete
from nodrop.model.conditions import (
    get_condition,
    refresh_condition,
    remove_condition,
    set_condition,
)
from nodrop.model.meta import Obj, format_time, parse_time, seconds_until

NEW_CREATED = "NewReplicaSetCreated"
NEW_FOUND = "FoundNewReplicaSet"
UPDATED = "ReplicaSetUpdated"
COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED = "DeploymentPaused"
RESUMED = "DeploymentResumed"
CREATE_ERROR = "ReplicaSetCreateError"


@dataclass(frozen=True, slots=True)
class Subject:
    """What a message talks about: the new set, or the deployment while there is none."""

    deployment: str
    new_set: str | None

    def __str__(self) -> str:
        if self.new_set:
            return f'ReplicaSet "{self.new_set}"'
        return f'Deployment "{self.deployment}"'


def progressing(status: str, reason: str, message: str) -> Obj:
    return {"type": "Progressing", "status": status, "reason": reason, "message": message}


def with_pause(view: DeploymentView, conditions: Sequence[Obj], now: datetime) -> list[Obj]:
    """The conditions after a pause or a resume; a resume restarts the clock.

    A deadline that was exceeded stays visible.
    """
    current = get_condition(conditions, "Progressing")
    reason = current.get("reason") if current else None
    if view.deadline_s is None or reason == TIMED_OUT:
        return list(conditions)
    if view.paused and reason != PAUSED:
        wanted = progressing("Unknown", PAUSED, "Deployment is paused")
    elif not view.paused and reason == PAUSED:
        wanted = progressing("Unknown", RESUMED, "Deployment is resumed")
    else:
        return list(conditions)
    return set_condition(conditions, wanted, format_time(now), with_update_time=True)


def with_new_set(
    view: DeploymentView, conditions: Sequence[Obj], name: str, now: datetime, *, created: bool
) -> list[Obj]:
    """The conditions once the new set was created, or found where no condition existed yet."""
    if view.deadline_s is None:
        return list(conditions)
    if created:
        wanted = progressing("True", NEW_CREATED, f'Created new replica set "{name}"')
    elif get_condition(conditions, "Progressing") is None:
        wanted = progressing("True", NEW_FOUND, f'Found new replica set "{name}"')
    else:
        return list(conditions)
    return set_condition(conditions, wanted, format_time(now), with_update_time=True)


def with_error(
    view: DeploymentView, conditions: Sequence[Obj], error: Obj, now: datetime
) -> list[Obj]:
    """The conditions after the new set could not be created."""
    if view.deadline_s is None:
        return list(conditions)
    return set_condition(conditions, error, format_time(now), with_update_time=True)


def with_progress(
    view: DeploymentView,
    conditions: Sequence[Obj],
    counters: dict[str, int],
    *,
    subject: Subject,
    now: datetime,
) -> list[Obj]:
    """The conditions with Progressing as the counters tell; ``conditions`` are the present ones.

    Progress refreshes lastUpdateTime, from which the deadline counts. A rollout that was complete
    stays complete when a pod dies later: the clock doesn't start again.
    """
    if view.deadline_s is None:
        return remove_condition(conditions, "Progressing")
    current = get_condition(conditions, "Progressing")
    reason = current.get("reason") if current else None
    if reason == COMPLETE and counters["replicas"] == counters["updatedReplicas"]:
        return list(conditions)
    stamp = format_time(now)
    if is_complete(view, counters):
        wanted = progressing("True", COMPLETE, f"{subject} has successfully progressed.")
        return set_condition(conditions, wanted, stamp, with_update_time=True)
    if _moved(view.obj.get("status") or {}, counters):
        wanted = progressing("True", UPDATED, f"{subject} is progressing.")
        return refresh_condition(conditions, wanted, stamp)
    if _timed_out(view, current, now):
        wanted = progressing("False", TIMED_OUT, f"{subject} has timed out progressing.")
        return set_condition(conditions, wanted, stamp, with_update_time=True)
    return list(conditions)


def look_again_after_s(view: DeploymentView, status: Obj, now: datetime) -> float | None:
    """When the deadline has to be checked: one second after it, because times are whole seconds."""
    current = get_condition(status.get("conditions"), "Progressing")
    if view.deadline_s is None or view.paused or current is None:
        return None
    if current.get("reason") == TIMED_OUT or is_complete(view, status):
        return None
    if current.get("reason") == COMPLETE:
        return None
    return seconds_until(_deadline(view.deadline_s, current), now) + 1.0


# Private


def _moved(before: Obj, counters: dict[str, int]) -> bool:
    """More updated, ready or available pods than before, or fewer old ones."""

    def was(counter: str) -> int:
        return before.get(counter) or 0

    old_before = was("replicas") - was("updatedReplicas")
    return (
        counters["updatedReplicas"] > was("updatedReplicas")
        or counters["replicas"] - counters["updatedReplicas"] < old_before
        or counters["readyReplicas"] > was("readyReplicas")
        or counters["availableReplicas"] > was("availableReplicas")
    )


def _timed_out(view: DeploymentView, current: Obj | None, now: datetime) -> bool:
    if view.deadline_s is None or current is None or current.get("reason") == COMPLETE:
        return False
    if current.get("reason") == TIMED_OUT:
        return True
    return _deadline(view.deadline_s, current) < now


def _deadline(deadline_s: int, condition: Obj) -> datetime:
    since = condition.get("lastUpdateTime") or condition["lastTransitionTime"]
    return parse_time(since) + timedelta(seconds=deadline_s)
