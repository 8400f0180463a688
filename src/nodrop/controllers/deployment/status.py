"""A Deployment's status: counters, Available and ReplicaFailure; pure (semantics 1.12)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nodrop.controllers.deployment.snapshot import DeploymentView, SetView
from nodrop.model.conditions import get_condition, remove_condition, set_condition
from nodrop.model.meta import Obj, format_time

_COUNTERS = (
    "replicas",
    "updatedReplicas",
    "readyReplicas",
    "availableReplicas",
    "unavailableReplicas",
)


def next_counters(
    view: DeploymentView, sets: Sequence[SetView], new: SetView | None
) -> dict[str, int]:
    """The numbers. ``unavailable`` counts from what the sets should have."""
    available = sum(one.available for one in sets)
    return {
        "observedGeneration": view.obj["metadata"].get("generation") or 0,
        "replicas": sum(one.replicas for one in sets),
        "updatedReplicas": new.replicas if new else 0,
        "readyReplicas": sum(one.ready for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(one.desired for one in sets) - available),
    }


def is_complete(view: DeploymentView, status: Obj) -> bool:
    """Everything is updated and available and nothing old is left; all, not the floor."""
    observed = status.get("observedGeneration") or 0
    return observed >= (view.obj["metadata"].get("generation") or 0) and all(
        (status.get(counter) or 0) == view.replicas
        for counter in ("updatedReplicas", "replicas", "availableReplicas")
    )


def with_availability(
    view: DeploymentView, conditions: Sequence[Obj], available: int, now: datetime
) -> list[Obj]:
    """The conditions with Available: does the floor hold?"""
    enough = available >= view.min_available
    condition = {
        "type": "Available",
        "status": "True" if enough else "False",
        "reason": "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        "message": "Deployment has minimum availability."
        if enough
        else "Deployment does not have minimum availability.",
    }
    return set_condition(conditions, condition, format_time(now), with_update_time=True)


def with_replica_failure(
    conditions: Sequence[Obj], sets: Sequence[SetView], new: SetView | None, now: datetime
) -> list[Obj]:
    """The conditions with a set's ReplicaFailure, the new set's first; removed when over."""
    new_first = ([new] if new else []) + [one for one in sets if one is not new]
    for one in new_first:
        failure = get_condition((one.obj.get("status") or {}).get("conditions"), "ReplicaFailure")
        if failure is not None:
            copied = {key: failure.get(key, "") for key in ("type", "status", "reason", "message")}
            since = failure.get("lastTransitionTime") or format_time(now)
            return set_condition(conditions, copied, since, with_update_time=True)
    return remove_condition(conditions, "ReplicaFailure")


def render_status(before: Obj, counters: dict[str, int], conditions: Sequence[Obj]) -> Obj:
    """The status object; counters that are 0 are left out, as upstream leaves them out."""
    status: Obj = {
        key: value
        for key, value in before.items()
        if key not in _COUNTERS and key not in ("observedGeneration", "conditions")
    }
    status.update({key: value for key, value in counters.items() if value})
    if conditions:
        status["conditions"] = list(conditions)
    return status
