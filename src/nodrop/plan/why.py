"""Why a Deployment, a ReplicaSet or a pod is as it is: what the controllers see, in words; pure.

The answers come from the controllers' own ``read`` and ``decide`` over the present objects, so
they can't tell another story than what is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from nodrop.client.cache import Cache
from nodrop.controllers.deployment import revision
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.deployment.progress import TIMED_OUT
from nodrop.controllers.deployment.snapshot import (
    DeploymentView,
    SetView,
    deployment_view,
    set_view,
)
from nodrop.controllers.deployment.status import is_complete
from nodrop.controllers.endpointslice.holds import hold_of, hold_seconds, note_of
from nodrop.controllers.pods import due_at, is_active, is_available, is_ready
from nodrop.controllers.replicaset.controller import ReplicaSetController
from nodrop.model.conditions import get_condition
from nodrop.model.kinds import ENDPOINTSLICE, EVENT, POD, SERVICE
from nodrop.model.meta import Obj, ObjectKey, is_deleting, labels_of, parse_time, uid_of

_STATUS_ONLY = "the status has changed"
#: More pods than this aren't told one by one.
_MOST_PODS = 5


def why_deployment(cache: Cache, key: ObjectKey, now: datetime) -> list[str]:
    """What its controller would do now, or what it waits for. Empty: there is no such object."""
    controller = DeploymentController()
    snapshot = controller.read(cache, key, now)
    if snapshot is None:
        return []
    plan = controller.decide(snapshot)
    view = deployment_view(snapshot.deployment)
    new, old = revision.split(view, [set_view(one) for one in snapshot.sets])
    status = snapshot.deployment.get("status") or {}
    lines = _doing(plan.because)
    if is_deleting(snapshot.deployment):
        lines.append("it is being deleted: its pods end with it")
    elif view.paused:
        lines.append(
            "it is paused: sizes are kept, nothing rolls; go on with: nodrop rollout resume"
        )
    elif is_complete(view, status):
        lines.append(f"at rest: all {view.replicas} pods are up to date and available")
    elif new is not None:
        lines += _waiting(cache, view, new, old, now)
    return [*lines, *_troubles(snapshot.deployment), *_last_events(cache, snapshot.deployment, now)]


def why_replicaset(cache: Cache, key: ObjectKey, now: datetime) -> list[str]:
    """What its controller would do now, and which of its pods aren't available."""
    controller = ReplicaSetController()
    snapshot = controller.read(cache, key, now)
    if snapshot is None:
        return []
    view, plan = set_view(snapshot.replicaset), controller.decide(snapshot)
    active = [pod for pod in snapshot.pods if is_active(pod)]
    told = f"{len(active)} of {view.desired} pods exist, {view.available} are available"
    ending = len(snapshot.pods) - len(active)
    lines = [told + (f", {ending} are ending" if ending else ""), *_doing(plan.because)]
    lines += _unavailable(cache, active, _min_ready_s(snapshot.replicaset), now)
    troubles, events = _troubles(snapshot.replicaset), _last_events(cache, snapshot.replicaset, now)
    return [*lines, *troubles, *events]


def why_pod(cache: Cache, key: ObjectKey, now: datetime) -> list[str]:
    """Whether it is ready, available and in traffic, and what keeps it from that."""
    pod = cache.get(key)
    if pod is None:
        return []
    lines = [*_state(cache, pod, now), *_traffic(cache, pod, now)]
    return [*lines, *_last_events(cache, pod, now)]


def pod_trouble(cache: Cache, pod: Obj, min_ready_s: int, now: datetime) -> str:
    """In one line why a pod isn't available."""
    if is_deleting(pod):
        return "is ending"
    if is_ready(pod):
        due = due_at(pod, min_ready_s)
        left_s = max(0.0, (due - now).total_seconds()) if due else 0.0
        return (
            f"is ready, and counts as available in {left_s:.0f} s (minReadySeconds {min_ready_s})"
        )
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        if not container.get("ready") and (said := _container(container)):
            return said
    return _volume_failure(cache, pod) or _probe_failure(cache, pod) or "is not ready yet"


# Private: deployments


def _doing(because: Iterable[str]) -> list[str]:
    return [f"next: {why}" for why in because if why != _STATUS_ONLY]


def _waiting(
    cache: Cache, view: DeploymentView, new: SetView, old: Sequence[SetView], now: datetime
) -> Iterator[str]:
    """What the rolling arithmetic waits for, with its numbers."""
    pods = [pod for pod in cache.controlled_by(POD, new.uid) if is_active(pod)]
    missing = new.desired - new.sure_available
    if missing > 0:
        yield f"waiting: {missing} of {new.desired} new pods are not available:"
        yield from _unavailable(cache, pods, view.min_ready_s, now)
    yield from _old_may_go(view, new, old)
    if new.desired < view.replicas and not view.recreate:
        exist = sum(one.footprint for one in (*old, new))
        if exist >= view.max_pods:
            yield (
                f"no new pod may start: {exist} pods exist, and {view.replicas} + maxSurge "
                f"{view.surge} are allowed"
            )
    yield from _deadline(view, now)


def _old_may_go(view: DeploymentView, new: SetView, old: Sequence[SetView]) -> Iterator[str]:
    left = sum(one.desired for one in old)
    if not left:
        return
    if view.recreate:
        yield f"{left} old pods have to be gone first (Recreate)"
        return
    available = sum(one.sure_available for one in (*old, new))
    if available <= view.min_available:
        yield (
            f"no old pod may go: {available} are available, and {view.replicas} − maxUnavailable "
            f"{view.unavailable} = {view.min_available} have to stay"
        )


def _deadline(view: DeploymentView, now: datetime) -> Iterator[str]:
    condition = get_condition((view.obj.get("status") or {}).get("conditions"), "Progressing")
    if view.deadline_s is None or condition is None:
        return
    if condition.get("reason") == TIMED_OUT:
        yield f"its deadline of {view.deadline_s} s without progress is over; it goes on waiting"
        return
    moved = condition.get("lastUpdateTime") or condition.get("lastTransitionTime")
    left_s = view.deadline_s - (now - parse_time(moved)).total_seconds() if moved else 0.0
    if left_s > 0:
        minutes, seconds = divmod(round(left_s), 60)
        yield f"deadline in {minutes} m {seconds} s without progress (progressDeadlineSeconds)"


def _troubles(obj: Obj) -> Iterator[str]:
    """Conditions that say what is wrong."""
    for condition in (obj.get("status") or {}).get("conditions") or ():
        bad = "True" if condition["type"] == "ReplicaFailure" else "False"
        if condition["status"] == bad:
            reason, message = condition.get("reason", ""), condition.get("message", "")
            yield f"{condition['type']} is {condition['status']}: {reason}: {message}"


def _last_events(cache: Cache, obj: Obj, now: datetime) -> Iterator[str]:
    """The last thing that was done, and the last that went wrong."""
    for kind, label in (("Normal", "last done"), ("Warning", "last trouble")):
        events = [e for e in _events(cache, obj) if e.get("type") == kind]
        if events:
            last = max(events, key=lambda event: event.get("lastTimestamp") or "")
            ago_s = (now - parse_time(last["lastTimestamp"])).total_seconds()
            yield f"{label}, {max(0.0, ago_s):.0f} s ago: {last['message']}"


def _events(cache: Cache, obj: Obj) -> list[Obj]:
    uid = uid_of(obj)
    return [e for e in cache.list(EVENT) if (e.get("involvedObject") or {}).get("uid") == uid]


# Private: pods


def _min_ready_s(replicaset: Obj) -> int:
    return int(replicaset["spec"].get("minReadySeconds") or 0)


def _unavailable(
    cache: Cache, pods: Sequence[Obj], min_ready_s: int, now: datetime
) -> Iterator[str]:
    waiting = [pod for pod in pods if not is_available(pod, min_ready_s, now)]
    for pod in waiting[:_MOST_PODS]:
        name = pod["metadata"]["name"]
        yield f"  pod {name} {pod_trouble(cache, pod, min_ready_s, now)}"
        if held := _held(cache, pod, now):
            yield f"  pod {name} {held}"
    if len(waiting) > _MOST_PODS:
        yield f"  and {len(waiting) - _MOST_PODS} more"


def _state(cache: Cache, pod: Obj, now: datetime) -> Iterator[str]:
    if is_deleting(pod):
        due = parse_time(pod["metadata"]["deletionTimestamp"])
        left_s = max(0.0, (due - now).total_seconds())
        yield (
            "it is ending: requests in flight, then preStop, then SIGTERM; what still runs in "
            f"{left_s:.0f} s gets SIGKILL"
        )
    elif is_ready(pod):
        yield "it is ready"
    else:
        yield f"it {pod_trouble(cache, pod, 0, now)}"


def _traffic(cache: Cache, pod: Obj, now: datetime) -> Iterator[str]:
    if held := _held(cache, pod, now):
        yield f"it {held}"
        return
    services = [one["metadata"]["name"] for one in _services(cache, pod)]
    if not services:
        yield "no Service selects it, so it gets no traffic"
    elif _in_traffic(cache, pod):
        yield f"it gets traffic of service {', '.join(services)}"
    else:
        yield f"it gets no traffic of service {', '.join(services)}: it is not a ready endpoint"


def _held(cache: Cache, pod: Obj, now: datetime) -> str:
    """What keeps the pod from traffic by S9, or nothing."""
    note = note_of(cache.list(ENDPOINTSLICE, pod["metadata"]["namespace"]), pod)
    hold = hold_of(pod, note, now)
    if hold is None or hold.due is None:
        return ""
    return (
        f"is held back from traffic for {hold.left_s(now):.0f} s more: it has no readinessProbe, "
        f"so only minReadySeconds = {hold_seconds(pod)} tells when it can serve (S9; Kubernetes "
        "itself would send traffic at once)"
    )


def _services(cache: Cache, pod: Obj) -> list[Obj]:
    labels = labels_of(pod).items()
    return [
        service
        for service in cache.list(SERVICE, pod["metadata"]["namespace"])
        if (selector := service["spec"].get("selector")) and selector.items() <= labels
    ]


def _in_traffic(cache: Cache, pod: Obj) -> bool:
    uid = uid_of(pod)
    return any(
        (endpoint.get("targetRef") or {}).get("uid") == uid
        and (endpoint.get("conditions") or {}).get("ready")
        for piece in cache.list(ENDPOINTSLICE, pod["metadata"]["namespace"])
        for endpoint in piece.get("endpoints") or ()
    )


def _container(status: Obj) -> str:
    """What a container's state says is wrong, or nothing."""
    state, name = status.get("state") or {}, status["name"]
    last = (status.get("lastState") or {}).get("terminated") or state.get("terminated")
    if last is not None:
        restarts = status.get("restartCount") or 0
        return f"container {name} ended with exit code {last.get('exitCode')}, restarts: {restarts}"
    waiting = state.get("waiting") or {}
    if waiting.get("message"):
        return f"container {name}: {waiting.get('reason')}: {waiting['message']}"
    return ""


def _volume_failure(cache: Cache, pod: Obj) -> str:
    """What keeps containers from being made; over once one has been."""
    states = [
        one.get("state") or {} for one in (pod.get("status") or {}).get("containerStatuses", ())
    ]
    if not all("waiting" in state for state in states):
        return ""
    reasons = ("FailedMount", "Unsupported")
    failing = [event for event in _events(cache, pod) if event.get("reason") in reasons]
    if not failing:
        return ""
    last = max(failing, key=lambda event: event.get("lastTimestamp") or "")
    return f"has no volume: {last['message']}"


def _probe_failure(cache: Cache, pod: Obj) -> str:
    failing = [event for event in _events(cache, pod) if event.get("reason") == "Unhealthy"]
    if not failing:
        return ""
    last = max(failing, key=lambda event: event.get("lastTimestamp") or "")
    return f"is not ready: {last['message']} ({last.get('count') or 1} times)"
