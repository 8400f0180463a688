"""What controllers ask of a pod: is it active, ready, available; pure."""

from __future__ import annotations

from datetime import datetime

from nodrop.model.conditions import get_condition
from nodrop.model.meta import Obj, due_after, is_deleting

#: Set by the ReplicaSet controller on pods without a readinessProbe: seconds without traffic
#: after Ready (S9). Kept on the pod so that raising minReadySeconds later takes no traffic away
#: from pods that already serve.
HOLD_ANNOTATION = "nodrop.dev/hold-traffic-seconds"


def phase_of(pod: Obj) -> str:
    return (pod.get("status") or {}).get("phase") or "Pending"


def is_terminal(pod: Obj) -> bool:
    """Succeeded or Failed: it will never run again."""
    return phase_of(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Counts as a replica: not ended and not being deleted."""
    return not is_terminal(pod) and not is_deleting(pod)


def ready_since(pod: Obj) -> str | None:
    """When the pod became Ready (a stored time), or None while it is not.

    A Ready condition without a time counts as ready from its creation.
    """
    condition = get_condition((pod.get("status") or {}).get("conditions"), "Ready")
    if condition is None or condition.get("status") != "True":
        return None
    since: str | None = condition.get("lastTransitionTime")
    return since or pod["metadata"].get("creationTimestamp")


def is_ready(pod: Obj) -> bool:
    return ready_since(pod) is not None


def due_at(pod: Obj, wait_s: int) -> datetime | None:
    """When the pod has surely been ready for ``wait_s`` seconds, or None while it is not ready."""
    since = ready_since(pod)
    return None if since is None else due_after(since, wait_s)


def is_available(pod: Obj, min_ready_s: int, now: datetime) -> bool:
    """Ready for at least ``min_ready_s`` seconds, the fraction that stored times lose included."""
    if min_ready_s <= 0:
        return is_ready(pod)
    due = due_at(pod, min_ready_s)
    return due is not None and due <= now


def has_readiness_probe(pod_spec: Obj) -> bool:
    """Whether any container of the pod is probed for readiness."""
    return any(container.get("readinessProbe") for container in pod_spec.get("containers") or ())
