"""A ReplicaSet's status from its pods; pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from nodrop.controllers.pods import due_at, is_available, is_ready
from nodrop.model.conditions import remove_condition, set_condition
from nodrop.model.meta import Obj, format_time, labels_of, seconds_until

_COUNTERS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


def next_status(replicaset: Obj, pods: Sequence[Obj], now: datetime) -> Obj:
    """The status that ``pods``, the active ones that stay, amount to; without ReplicaFailure."""
    spec, before = replicaset["spec"], replicaset.get("status") or {}
    wanted = ((spec["template"].get("metadata") or {}).get("labels") or {}).items()
    min_ready_s = spec.get("minReadySeconds") or 0
    ready = [pod for pod in pods if is_ready(pod)]
    counters = {
        "observedGeneration": replicaset["metadata"].get("generation") or 0,
        "fullyLabeledReplicas": sum(wanted <= labels_of(pod).items() for pod in pods),
        "readyReplicas": len(ready),
        "availableReplicas": sum(is_available(pod, min_ready_s, now) for pod in ready)
        if min_ready_s
        else len(ready),
    }
    kept = {key: value for key, value in before.items() if key not in _COUNTERS}
    status: Obj = {**kept, "replicas": len(pods), **{k: v for k, v in counters.items() if v}}
    return with_conditions(status, remove_condition(before.get("conditions"), "ReplicaFailure"))


def with_failure(status: Obj, *, reason: str, message: str, now: datetime) -> Obj:
    """The status with ReplicaFailure True."""
    condition = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": message}
    return with_conditions(
        status, set_condition(status.get("conditions"), condition, format_time(now))
    )


def with_conditions(status: Obj, conditions: list[Obj]) -> Obj:
    bare = {key: value for key, value in status.items() if key != "conditions"}
    return {**bare, "conditions": conditions} if conditions else bare


def next_available_in_s(replicaset: Obj, pods: Sequence[Obj], now: datetime) -> float | None:
    """Seconds until the next ready pod becomes available, or None if none is on its way."""
    min_ready_s = replicaset["spec"].get("minReadySeconds") or 0
    if min_ready_s <= 0:
        return None
    dues = [due for pod in pods if (due := due_at(pod, min_ready_s)) and due > now]
    return seconds_until(min(dues), now) if dues else None
