"""S8-S11: who is ready in a Service's slices, and how few writes that takes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from nodrop.client.actions import Create, Delete, Update
from nodrop.controllers.endpointslice.controller import EndpointSliceController, Snapshot
from nodrop.controllers.endpointslice.holds import HOLDS_ANNOTATION, notes_in
from nodrop.controllers.pods import HOLD_ANNOTATION
from nodrop.model.meta import Obj, format_time

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default", "uid": "svc"},
    "spec": {
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
    },
}


def pod(
    number: int,
    *,
    ready_for_s: float | None = 60,
    hold_s: int = 0,
    probe: bool = False,
    deleting: bool = False,
    port: int = 8080,
) -> Obj:
    container: Obj = {"name": "web", "ports": [{"name": "http", "containerPort": port}]}
    if probe:
        container["readinessProbe"] = {"tcpSocket": {"port": "http"}}
    metadata: Obj = {"name": f"web-{number}", "namespace": "default", "uid": f"uid-{number}"}
    if hold_s:
        metadata["annotations"] = {HOLD_ANNOTATION: str(hold_s)}
    if deleting:
        metadata["deletionTimestamp"] = format_time(NOW)
    conditions = []
    if ready_for_s is not None:
        since = format_time(NOW - timedelta(seconds=ready_for_s))
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "nodeName": "localhost"},
        "status": {
            "phase": "Running",
            "podIP": f"127.1.0.{number}",
            "conditions": conditions,
        },
    }


def stored(action: Any, name: str) -> Obj:
    metadata = {**action.obj["metadata"], "name": name, "uid": name, "resourceVersion": "1"}
    return {**action.obj, "metadata": metadata}


def snapshot(*pods: Obj, slices: tuple[Obj, ...] = (), endpoints: Obj | None = None) -> Snapshot:
    return Snapshot(SERVICE, pods, slices, endpoints, NOW)


def written(*pods: Obj) -> tuple[tuple[Obj, ...], Obj]:
    actions = EndpointSliceController().decide(snapshot(*pods)).actions
    made = [stored(action, f"made-{at}") for at, action in enumerate(actions)]
    return tuple(made[:-1]), made[-1]


@pytest.mark.parametrize(
    ("one", "hold_unprobed", "expected"),
    [
        (pod(1), True, (True, True, False)),  # S8 ready: traffic
        (pod(1, ready_for_s=None), True, (False, False, False)),  # S8 not ready: none
        (pod(1, deleting=True), True, (False, True, True)),  # told to go: last resort only
        (pod(1, hold_s=90), True, (False, False, False)),  # S9 held for minReadySeconds
        (pod(1, hold_s=60), True, (False, False, False)),  # stored times lose up to a second
        (pod(1, hold_s=90, ready_for_s=-9), True, (False, False, False)),  # the clock was set back
        (pod(1, hold_s=59), True, (True, True, False)),  # S10 surely over: traffic
        (pod(1, hold_s=90, probe=True), True, (True, True, False)),  # S11 a probe: at once
        (pod(1, hold_s=90), False, (True, True, False)),  # upstream's way: at once
    ],
)
def test_s8_s9_s10_s11_conditions(
    one: Obj, hold_unprobed: bool, expected: tuple[bool, bool, bool]
) -> None:
    plan = EndpointSliceController(hold_unprobed=hold_unprobed).decide(snapshot(one))
    first = plan.actions[0]
    assert isinstance(first, Create)
    conditions = first.obj["endpoints"][0]["conditions"]
    found = (conditions["ready"], conditions["serving"], conditions["terminating"])
    assert found == expected


def test_s9_a_held_pod_is_looked_at_again_when_its_time_is_over() -> None:
    plan = EndpointSliceController().decide(snapshot(pod(1, hold_s=90), pod(2)))
    assert plan.look_again_after_s == 31.0


def test_deciding_on_its_own_result_is_empty() -> None:
    slices, endpoints = written(pod(1), pod(2, deleting=True))
    again = EndpointSliceController().decide(
        snapshot(pod(1), pod(2, deleting=True), slices=slices, endpoints=endpoints)
    )
    assert again.actions == ()


def test_one_pod_s_change_is_one_update_of_its_slice() -> None:
    slices, endpoints = written(*[pod(at) for at in range(1, 121)])
    assert [len(one["endpoints"]) for one in slices] == [100, 20]
    pods = [pod(at) for at in range(1, 120)] + [pod(120, deleting=True)]
    plan = EndpointSliceController().decide(snapshot(*pods, slices=slices, endpoints=endpoints))
    kinds = [action.obj["kind"] for action in plan.actions if isinstance(action, Update)]
    assert kinds == ["EndpointSlice", "Endpoints"]
    assert len(plan.actions) == 2


def test_pods_whose_named_port_differs_get_slices_of_their_own() -> None:
    slices, _ = written(pod(1, port=8080), pod(2, port=9090))
    assert sorted(one["ports"][0]["port"] for one in slices) == [8080, 9090]


def test_a_service_without_pods_has_one_empty_slice() -> None:
    slices, endpoints = written()
    assert [one["endpoints"] for one in slices] == [[]]
    assert "subsets" not in endpoints


def test_a_service_that_is_gone_takes_its_slices_with_it() -> None:
    slices, endpoints = written(pod(1))
    plan = EndpointSliceController().decide(Snapshot(None, (), slices, endpoints, NOW))
    assert all(isinstance(action, Delete) for action in plan.actions)
    assert len(plan.actions) == 2


def test_s9_a_hold_that_is_over_stays_over_when_the_clock_is_set_back() -> None:
    """Seed 31747: the pod has traffic; the clock says that it runs for 3 s, or -50 s."""
    (stored_slice,), endpoints = written(pod(1, hold_s=8, ready_for_s=10))
    assert stored_slice["endpoints"][0]["conditions"]["ready"]
    since = pod(1, ready_for_s=10)["status"]["conditions"][0]["lastTransitionTime"]
    for back_s in (7, 60):
        now = NOW - timedelta(seconds=back_s)
        one = pod(1, hold_s=8, ready_for_s=10)
        assert one["status"]["conditions"][0]["lastTransitionTime"] == since
        plan = EndpointSliceController().decide(
            Snapshot(SERVICE, (one,), (stored_slice,), endpoints, now)
        )
        assert plan.actions == ()
        assert plan.look_again_after_s is None


def test_s9_a_restarted_container_is_held_again() -> None:
    (stored_slice,), endpoints = written(pod(1, hold_s=8, ready_for_s=10))
    again = pod(1, hold_s=8, ready_for_s=1)
    plan = EndpointSliceController().decide(
        snapshot(again, slices=(stored_slice,), endpoints=endpoints)
    )
    update = plan.actions[0]
    assert isinstance(update, Update)
    assert not update.obj["endpoints"][0]["conditions"]["ready"]
    assert plan.look_again_after_s == 8.0


def test_s9_a_hold_moved_away_by_the_clock_is_one_hold_long_from_now() -> None:
    one = pod(1, hold_s=8, ready_for_s=-3600)
    (stored_slice,), endpoints = written(one)
    assert not stored_slice["endpoints"][0]["conditions"]["ready"]
    controller = EndpointSliceController()
    for later_s, left_s in ((0, 9.0), (5, 4.0)):
        now = NOW + timedelta(seconds=later_s)
        plan = controller.decide(Snapshot(SERVICE, (one,), (stored_slice,), endpoints, now))
        assert plan.actions == ()
        assert plan.look_again_after_s == left_s
    now = NOW + timedelta(seconds=9)
    plan = controller.decide(Snapshot(SERVICE, (one,), (stored_slice,), endpoints, now))
    update = plan.actions[0]
    assert isinstance(update, Update)
    assert update.obj["endpoints"][0]["conditions"]["ready"]


def test_notes_of_holds_that_nobody_can_read_are_forgotten() -> None:
    broken = {"metadata": {"annotations": {HOLDS_ANNOTATION: "[1"}}}
    other = {"metadata": {"annotations": {HOLDS_ANNOTATION: '{"uid-1": "x/over"}'}}}
    assert notes_in([broken, other]) == {"uid-1": "x/over"}
    half = {"metadata": {"annotations": {HOLDS_ANNOTATION: '{"uid-1": 3}'}}}
    assert notes_in([half]) == {}
