"""What a DELETE does to pods, to objects with finalizers and to namespaces."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from nodrop.client.actions import Propagation
from nodrop.model.kinds import CONFIGMAP, NAMESPACE, POD, Kind
from nodrop.model.meta import Obj
from nodrop.registry.deletion import is_released, plan_delete
from nodrop.registry.interface import DeleteOptions

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
RUNNING = {"phase": "Running", "startTime": "2026-11-23T09:00:00Z"}


def obj(kind: Kind, **fields: object) -> Obj:
    metadata = {"name": "x", "uid": "u", "resourceVersion": "5", "generation": 1}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **fields}


def pod(status: Obj, grace_s: int | None = 30) -> Obj:
    spec = {"nodeName": "localhost", "terminationGracePeriodSeconds": grace_s}
    return obj(POD, spec=spec, status=status)


@pytest.mark.parametrize(
    ("status", "own_s", "asked_s", "grace_s", "gone"),
    [
        (RUNNING, 30, None, 30, False),
        (RUNNING, 7, None, 7, False),
        (RUNNING, None, None, 30, False),
        (RUNNING, 30, 60, 60, False),  # a first delete may also lengthen
        (RUNNING, 30, 1, 1, False),  # kubectl delete --now
        (RUNNING, 30, 0, 0, True),  # --force
        (RUNNING, 30, -1, 1, False),
        (RUNNING, -5, None, 1, False),
        (RUNNING, 2**63 - 1, None, 2**31 - 1, False),  # no date would lie that far ahead
        (RUNNING, 30, 2**63 - 1, 2**31 - 1, False),
        ({"phase": "Pending"}, 30, None, 0, True),  # the agent has not begun
        ({**RUNNING, "phase": "Succeeded"}, 30, None, 0, True),
        ({**RUNNING, "phase": "Failed"}, 30, 60, 0, True),
    ],
)
def test_grace_period_of_a_pod(
    status: Obj, own_s: int | None, asked_s: int | None, grace_s: int, gone: bool
) -> None:
    """S15: what the pod says, 30 s if it says nothing; nothing is held for a pod not running."""
    plan = plan_delete(POD, pod(status, own_s), DeleteOptions(grace_period_s=asked_s), NOW)
    meta = plan.obj["metadata"]
    assert plan.remove == gone
    assert meta["deletionGracePeriodSeconds"] == grace_s
    due = (NOW + timedelta(seconds=grace_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert meta["deletionTimestamp"] == due
    assert meta["generation"] == 2


@pytest.mark.parametrize(
    ("asked_s", "later_s", "due", "grace_s", "gone"),
    [
        (5, 2, "10:00:05", 5, False),  # counted from the first delete
        (60, 2, "10:00:30", 30, False),  # never longer
        (30, 2, "10:00:30", 30, False),
        (None, 2, "10:00:30", 30, False),
        (1, 10, "10:00:10", 1, False),  # not in the past
        (0, 2, "10:00:02", 0, True),
    ],
)
def test_a_second_delete_only_shortens(
    asked_s: int | None, later_s: int, due: str, grace_s: int, gone: bool
) -> None:
    first = plan_delete(POD, pod(RUNNING), DeleteOptions(), NOW).obj
    later = NOW + timedelta(seconds=later_s)
    plan = plan_delete(POD, first, DeleteOptions(grace_period_s=asked_s), later)
    meta = plan.obj["metadata"]
    assert meta["deletionTimestamp"] == f"2026-11-23T{due}Z"
    assert (meta["deletionGracePeriodSeconds"], plan.remove) == (grace_s, gone)
    assert meta["generation"] == 2


@pytest.mark.parametrize(
    ("present", "propagation", "after", "gone"),
    [
        ([], "Background", None, True),
        ([], "Foreground", ["foregroundDeletion"], False),
        ([], "Orphan", ["orphan"], False),
        (["a.b/c"], "Background", ["a.b/c"], False),
        (["a.b/c"], "Foreground", ["a.b/c", "foregroundDeletion"], False),
        (["orphan"], "Foreground", ["foregroundDeletion"], False),
        (["orphan"], "Background", None, True),
    ],
)
def test_finalizers(
    present: list[str], propagation: Propagation, after: list[str] | None, gone: bool
) -> None:
    held = obj(CONFIGMAP)
    held["metadata"]["finalizers"] = present
    options = DeleteOptions(propagation=propagation)
    plan = plan_delete(CONFIGMAP, held, options, NOW)
    assert plan.obj["metadata"].get("finalizers") == after
    assert plan.remove == gone


def test_a_repeated_default_delete_keeps_foreground() -> None:
    first = plan_delete(CONFIGMAP, obj(CONFIGMAP), DeleteOptions(propagation="Foreground"), NOW)
    again = plan_delete(CONFIGMAP, first.obj, DeleteOptions(), NOW)
    assert again == first


def test_a_finalizer_holds_a_pod_past_its_grace_period() -> None:
    held = pod(RUNNING)
    held["metadata"]["finalizers"] = ["a.b/c"]
    plan = plan_delete(POD, held, DeleteOptions(grace_period_s=0), NOW)
    assert not plan.remove
    del plan.obj["metadata"]["finalizers"]
    assert is_released(POD, plan.obj)


def test_a_pod_within_its_grace_period_is_not_released() -> None:
    assert not is_released(POD, plan_delete(POD, pod(RUNNING), DeleteOptions(), NOW).obj)


def test_a_namespace_waits_for_its_contents() -> None:
    plan = plan_delete(
        NAMESPACE, obj(NAMESPACE, spec={"finalizers": ["kubernetes"]}), DeleteOptions(), NOW
    )
    assert not plan.remove
    assert plan.obj["status"]["phase"] == "Terminating"
    assert is_released(NAMESPACE, {**plan.obj, "spec": {}})
