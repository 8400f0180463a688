"""Phase, conditions and container statuses of a pod."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from nodrop.agent.plan.pod import (
    ContainerView,
    Observed,
    Running,
    State,
    Terminated,
    Waiting,
    pod_phase,
    pod_status,
    recorded_end,
    status_patch,
)
from nodrop.agent.plan.spec import PodSpec, RestartPolicy, read_pod
from nodrop.model.meta import Obj

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)
RUN = Running(NOON)
WAIT = Waiting("ContainerCreating")


def end(code: int) -> Terminated:
    return Terminated(code, NOON, NOON)


def view(state: State, *, last: Terminated | None = None, ready: bool = False) -> ContainerView:
    return ContainerView(name="app", image="app:v1", state=state, last=last, ready=ready)


def stored(phase: str = "Pending", *, deleting: bool = False) -> Obj:
    meta: Obj = {"name": "web", "uid": "u"}
    if deleting:
        meta["deletionTimestamp"] = "2026-11-23T12:00:30Z"
    return {"metadata": meta, "spec": {"containers": [{"name": "app"}]}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("policy", "states", "phase"),
    [
        ("Always", [WAIT], "Pending"),
        ("Always", [RUN, WAIT], "Pending"),
        ("Always", [RUN, RUN], "Running"),
        ("Always", [end(1)], "Running"),
        ("OnFailure", [end(1)], "Running"),
        ("OnFailure", [end(0)], "Succeeded"),
        ("OnFailure", [end(0), RUN], "Running"),
        ("Never", [end(0), end(0)], "Succeeded"),
        ("Never", [end(0), end(3)], "Failed"),
    ],
)
def test_phase(policy: RestartPolicy, states: list[State], phase: str) -> None:
    assert pod_phase(stored(), [view(state) for state in states], policy) == phase


def step(state: State, *, over: bool = False) -> ContainerView:
    return ContainerView(name="i", image="i", state=state, step=True, over=over)


def sidecar(state: State, *, started: bool = False) -> ContainerView:
    return ContainerView(name="s", image="s", state=state, sidecar=True, started=started)


@pytest.mark.parametrize(
    ("init", "states", "phase"),
    [
        ([step(RUN)], [WAIT], "Pending"),
        ([step(end(1))], [WAIT], "Pending"),
        ([step(end(1), over=True)], [WAIT], "Failed"),
        ([step(end(1), over=True), sidecar(RUN)], [WAIT], "Pending"),
        ([step(end(0), over=True)], [RUN], "Running"),
        ([sidecar(RUN)], [WAIT], "Pending"),
        ([sidecar(RUN)], [end(0)], "Running"),
        ([sidecar(end(143))], [end(0)], "Succeeded"),
        ([sidecar(end(0))], [end(1)], "Failed"),
    ],
)
def test_phase_with_init_containers(
    init: list[ContainerView], states: list[State], phase: str
) -> None:
    views = [view(state) for state in states]
    assert pod_phase(stored(), views, "Never", init=init) == phase


@pytest.mark.parametrize(
    ("init", "regular", "status_", "message"),
    [
        ([step(RUN), sidecar(WAIT)], WAIT, "False", "[i s]"),
        ([step(end(0), over=True), sidecar(RUN)], WAIT, "False", "[s]"),
        ([step(end(0), over=True), sidecar(RUN, started=True)], WAIT, "True", ""),
        ([step(end(0), over=True), sidecar(WAIT)], RUN, "True", ""),
    ],
)
def test_initialized(init: list[ContainerView], regular: State, status_: str, message: str) -> None:
    observed = Observed(
        containers=(view(regular),), init=tuple(init), pod_ip="", host_ip="127.0.0.1", now=NOON
    )
    made = pod_status(stored(), read_pod(stored()), observed)
    [found] = [c for c in made["conditions"] if c["type"] == "Initialized"]
    assert found["status"] == status_
    if message:
        assert found["message"] == f"containers with incomplete status: {message}"
        assert found["reason"] == "ContainersNotInitialized"


def test_a_pod_past_its_deadline() -> None:
    observed = Observed(
        containers=(view(end(143)),),
        pod_ip="127.9.0.2",
        host_ip="127.0.0.1",
        now=NOON,
        failure=("DeadlineExceeded", "too long"),
    )
    made = pod_status(stored("Running"), read_pod(stored()), observed)
    assert (made["phase"], made["reason"], made["message"]) == (
        "Failed",
        "DeadlineExceeded",
        "too long",
    )


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (143, "Failed")])
def test_a_deleted_pod_ends_even_with_restart_policy_always(code: int, phase: str) -> None:
    assert pod_phase(stored("Running", deleting=True), [view(end(code))], "Always") == phase


def test_a_crash_loop_stays_running() -> None:
    waiting = view(Waiting("CrashLoopBackOff"), last=end(1))
    assert pod_phase(stored("Running"), [waiting], "Always") == "Running"


def test_a_terminal_phase_never_changes() -> None:
    assert pod_phase(stored("Failed"), [view(RUN)], "Always") == "Failed"


def status(pod: Obj, *views: ContainerView, spec: PodSpec | None = None, late_s: int = 0) -> Obj:
    observed = Observed(
        containers=views,
        pod_ip="127.9.0.2",
        host_ip="127.0.0.1",
        now=NOON + timedelta(seconds=late_s),
    )
    return pod_status(pod, spec or read_pod(pod), observed)


def conditions(made: Obj) -> dict[str, str]:
    return {c["type"]: c["status"] for c in made["conditions"]}


def test_a_ready_pod() -> None:
    made = status(stored(), view(RUN, ready=True))
    assert conditions(made) == {
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
        "PodScheduled": "True",
    }
    assert made["podIPs"] == [{"ip": "127.9.0.2"}]
    assert made["startTime"] == "2026-11-23T12:00:00Z"


def test_unready_containers_are_named() -> None:
    [ready] = [c for c in status(stored(), view(RUN))["conditions"] if c["type"] == "Ready"]
    assert (ready["reason"], ready["message"]) == (
        "ContainersNotReady",
        "containers with unready status: [app]",
    )


def test_deletion_does_not_change_ready() -> None:
    made = status(stored("Running", deleting=True), view(RUN, ready=True))
    assert conditions(made)["Ready"] == "True"


@pytest.mark.parametrize(("code", "reason"), [(0, "PodCompleted"), (1, "PodFailed")])
def test_a_terminal_phase_is_not_ready(code: int, reason: str) -> None:
    made = status(stored("Running", deleting=True), view(end(code), ready=True))
    [ready] = [c for c in made["conditions"] if c["type"] == "Ready"]
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert made["containerStatuses"][0]["ready"] is False


def test_readiness_gates_and_foreign_conditions() -> None:
    pod = stored()
    spec = replace(read_pod(pod), readiness_gates=("example.org/lb",))
    made = status(pod, view(RUN, ready=True), spec=spec)
    assert conditions(made)["Ready"] == "False"
    assert conditions(made)["ContainersReady"] == "True"
    pod["status"]["conditions"] = [{"type": "example.org/lb", "status": "True"}]
    made = status(pod, view(RUN, ready=True), spec=spec)
    assert conditions(made)["Ready"] == "True"
    assert conditions(made)["example.org/lb"] == "True"


def test_transition_times_move_only_with_the_status() -> None:
    pod = stored()
    pod["status"] = status(pod, view(RUN))
    later = status(pod, view(RUN, ready=True), late_s=9)
    times = {c["type"]: c["lastTransitionTime"] for c in later["conditions"]}
    assert times["Ready"] == "2026-11-23T12:00:09Z"
    assert times["Initialized"] == "2026-11-23T12:00:00Z"


def test_only_what_differs_is_patched() -> None:
    before = status(stored(), view(RUN))
    assert status_patch(before, before) == {}
    patch = status_patch({**before, "reason": "x"}, {**before, "phase": "Failed"})
    assert patch == {"status": {"phase": "Failed", "reason": None}}


def test_an_end_is_read_back_as_it_was_written() -> None:
    ended = Terminated(137, NOON, NOON, "u_app_0", known=False, message="oh no")
    made = status(stored(), view(ended))
    assert made["containerStatuses"][0]["state"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert recorded_end(made["containerStatuses"][0], "state") == ended
