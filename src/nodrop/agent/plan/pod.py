"""The status of a pod: phase, conditions, container statuses, and the patch to write. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

from nodrop.agent.plan.restart import restarts
from nodrop.agent.plan.spec import PodSpec, RestartPolicy
from nodrop.model.meta import Obj, format_time, is_deleting, parse_time

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]
TERMINAL: tuple[Phase, ...] = ("Succeeded", "Failed")
UNKNOWN_EXIT = "ContainerStatusUnknown"


@dataclass(frozen=True, slots=True)
class Waiting:
    reason: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Terminated:
    exit_code: int
    started_at: datetime | None
    finished_at: datetime | None
    container_id: str = ""
    known: bool = True
    message: str = ""

    @property
    def reason(self) -> str:
        if not self.known:
            return UNKNOWN_EXIT
        return "Completed" if self.exit_code == 0 else "Error"


State: TypeAlias = Waiting | Running | Terminated


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerView:
    """One container as the agent knows it now. ``over``: ended, and never started again.

    ``step``: an init container that ends before the next starts; ``sidecar``: one that stays.
    """

    name: str
    image: str
    state: State
    last: Terminated | None = None
    container_id: str = ""
    restart_count: int = 0
    started: bool = False
    ready: bool = False
    over: bool = False
    step: bool = False
    sidecar: bool = False
    has_process: bool = False  # true also while postStart runs

    @property
    def alive(self) -> bool:
        return self.has_process or isinstance(self.state, Running)

    @property
    def initialized(self) -> bool:
        """Whether the next container may start: a step has succeeded, a sidecar has started."""
        if self.step:
            return isinstance(self.state, Terminated) and self.state.exit_code == 0
        return self.started


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What status is made from, besides the stored pod itself.

    ``failure``: reason and message of a pod that was ended as a whole, as by its deadline.
    """

    containers: tuple[ContainerView, ...]
    init: tuple[ContainerView, ...] = ()
    failure: tuple[str, str] | None = None
    pod_ip: str
    host_ip: str
    now: datetime


def pod_phase(
    pod: Obj,
    containers: Sequence[ContainerView],
    policy: RestartPolicy,
    *,
    init: Sequence[ContainerView] = (),
    failed: bool = False,
) -> Phase:
    """The phase; a terminal one never changes.

    With restartPolicy Always too a deleted pod ends as Succeeded or Failed once its containers
    have ended; a crash-looping one stays Running. A terminal phase waits for the sidecars.
    """
    before: Phase = (pod.get("status") or {}).get("phase") or "Pending"
    if before in TERMINAL:
        return before
    alive = any(view.alive for view in (*init, *containers))
    if (failed or any(_failed_step(view) for view in init)) and not alive:
        return "Failed"
    ends = [view.state for view in containers if isinstance(view.state, Terminated)]
    if len(ends) == len(containers) and _nothing_restarts(pod, containers, policy):
        if alive:
            return "Running"
        return "Succeeded" if all(end.exit_code == 0 for end in ends) else "Failed"
    if all(_has_started(view) for view in containers):
        return "Running"
    # A container that waits again after it ran keeps the pod Running; others stay as they were.
    return before


def _failed_step(view: ContainerView) -> bool:
    ended = isinstance(view.state, Terminated) and view.state.exit_code != 0
    return view.step and view.over and ended


def _has_started(view: ContainerView) -> bool:
    return isinstance(view.state, Running | Terminated) or view.last is not None


def _nothing_restarts(pod: Obj, containers: Sequence[ContainerView], policy: RestartPolicy) -> bool:
    if is_deleting(pod):
        return True
    return all(
        view.over
        or (isinstance(view.state, Terminated) and not restarts(policy, view.state.exit_code))
        for view in containers
    )


def pod_status(pod: Obj, spec: PodSpec, observed: Observed) -> Obj:
    """The whole status that the agent wants stored; foreign conditions and fields are kept."""
    before: Obj = pod.get("status") or {}
    phase = pod_phase(
        pod,
        observed.containers,
        spec.restart_policy,
        init=observed.init,
        failed=observed.failure is not None,
    )
    status: Obj = {
        **before,
        "phase": phase,
        "startTime": before.get("startTime") or format_time(observed.now),
        "hostIP": observed.host_ip,
        "hostIPs": [{"ip": observed.host_ip}],
        "containerStatuses": [_container_status(view, phase) for view in observed.containers],
    }
    if observed.init:
        status["initContainerStatuses"] = [_container_status(v, phase) for v in observed.init]
    if observed.failure is not None and phase == "Failed":
        status["reason"], status["message"] = observed.failure
    if observed.pod_ip:
        status |= {"podIP": observed.pod_ip, "podIPs": [{"ip": observed.pod_ip}]}
    status["conditions"] = _conditions(before, spec, observed=observed, phase=phase)
    return status


def status_patch(before: Obj, wanted: Obj) -> Obj:
    """A merge patch of the top-level fields that differ; empty when nothing does."""
    changed: Obj = {key: value for key, value in wanted.items() if before.get(key) != value}
    changed |= {key: None for key in before if key not in wanted}
    return {"status": changed} if changed else {}


# Conditions.


def _conditions(before: Obj, spec: PodSpec, *, observed: Observed, phase: Phase) -> list[Obj]:
    stored: list[Obj] = before.get("conditions") or []
    wanted = _wanted_conditions(stored, spec, observed=observed, phase=phase)
    known = {condition["type"]: condition for condition in stored}
    ours = [
        _merged(known.get(kind), {"type": kind, **fields}, observed.now)
        for kind, fields in wanted.items()
    ]
    foreign = [condition for condition in stored if condition["type"] not in wanted]
    return ours + foreign


def _merged(stored: Obj | None, wanted: Obj, now: datetime) -> Obj:
    """Keep the time of the last transition unless the status changes."""
    if stored is not None and stored["status"] == wanted["status"]:
        since = stored.get("lastTransitionTime") or format_time(now)
    else:
        since = format_time(now)
    return {**wanted, "lastTransitionTime": since}


def _wanted_conditions(
    stored: Sequence[Obj], spec: PodSpec, *, observed: Observed, phase: Phase
) -> Mapping[str, Obj]:
    sidecars = [view for view in observed.init if view.sidecar]
    ready_containers = _containers_ready((*sidecars, *observed.containers), phase)
    return {
        "PodReadyToStartContainers": {"status": "True" if observed.pod_ip else "False"},
        "Initialized": _initialized(observed, phase),
        "Ready": _ready(ready_containers, spec, stored),
        "ContainersReady": ready_containers,
        "PodScheduled": {"status": "True"},
    }


def _initialized(observed: Observed, phase: Phase) -> Obj:
    """True once all init containers are done, and for good once a regular one has started."""
    if phase == "Succeeded":
        return {"status": "True", "reason": "PodCompleted"} if observed.init else {"status": "True"}
    left = [view.name for view in observed.init if not view.initialized]
    if not left or any(_has_started(view) for view in observed.containers):
        return {"status": "True"}
    return {
        "status": "False",
        "reason": "ContainersNotInitialized",
        "message": f"containers with incomplete status: [{' '.join(left)}]",
    }


def _containers_ready(containers: Sequence[ContainerView], phase: Phase) -> Obj:
    if phase in TERMINAL:
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        return {"status": "False", "reason": reason}
    if unready := [view.name for view in containers if not view.ready]:
        return {
            "status": "False",
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    return {"status": "True"}


def _ready(containers_ready: Obj, spec: PodSpec, stored: Sequence[Obj]) -> Obj:
    if containers_ready["status"] != "True":
        return dict(containers_ready)
    true = {condition["type"] for condition in stored if condition["status"] == "True"}
    if missing := [gate for gate in spec.readiness_gates if gate not in true]:
        listed = ", ".join(f'"{gate}"' for gate in missing)
        return {
            "status": "False",
            "reason": "ReadinessGatesNotReady",
            "message": f"the status of pod readiness gate {listed} is not True",
        }
    return {"status": "True"}


# Container statuses.


def _container_status(view: ContainerView, phase: Phase) -> Obj:
    status: Obj = {
        "name": view.name,
        "image": view.image,
        "imageID": view.image,
        "ready": view.initialized if view.step else view.ready and phase not in TERMINAL,
        "started": view.started,
        "restartCount": view.restart_count,
        "state": state_object(view.state),
        "lastState": {} if view.last is None else state_object(view.last),
    }
    if view.container_id:
        status["containerID"] = f"nodrop://{view.container_id}"
    return status


def state_object(state: State) -> Obj:
    """A ``ContainerState`` of the API."""
    match state:
        case Waiting(reason, message):
            waiting = {"reason": reason}
            return {"waiting": waiting | ({"message": message} if message else {})}
        case Running(started_at):
            return {"running": {"startedAt": format_time(started_at)}}
        case Terminated():
            terminated: Obj = {"exitCode": state.exit_code, "reason": state.reason}
            if state.started_at is not None:
                terminated["startedAt"] = format_time(state.started_at)
            if state.finished_at is not None:
                terminated["finishedAt"] = format_time(state.finished_at)
            if state.message:
                terminated["message"] = state.message
            if state.container_id:
                terminated["containerID"] = f"nodrop://{state.container_id}"
            return {"terminated": terminated}
    assert_never(state)


def recorded_end(status: Obj, field: Literal["state", "lastState"]) -> Terminated | None:
    """The end of a container as its stored status has it, or None."""
    ended: Obj | None = (status.get(field) or {}).get("terminated")
    if ended is None:
        return None
    return Terminated(
        exit_code=int(ended.get("exitCode", 0)),
        started_at=_time(ended.get("startedAt")),
        finished_at=_time(ended.get("finishedAt")),
        container_id=(ended.get("containerID") or "").removeprefix("nodrop://"),
        known=ended.get("reason") != UNKNOWN_EXIT,
        message=ended.get("message") or "",
    )


def recorded_container(pod: Obj, name: str) -> Obj:
    """The stored status of one container; empty when there is none."""
    status: Obj = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for held in status.get(field) or ():
            if held["name"] == name:
                found: Obj = held
                return found
    return {}


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
