"""The arithmetic of PodDisruptionBudgets, and what the controller writes (semantics 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from nodrop.client.actions import Emit, Update
from nodrop.client.cache import Cache
from nodrop.controllers.disruption.budget import expectation
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.model.kinds import DEPLOYMENT, PODDISRUPTIONBUDGET, REPLICASET, Kind
from nodrop.model.meta import Obj, ObjectKey, controller_reference, format_time, key_of

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
KEY = ObjectKey(PODDISRUPTIONBUDGET, "default", "web")


@pytest.mark.parametrize(
    ("limit", "scale", "expected", "desired"),
    [
        # percentages round up, both of them
        ({"minAvailable": "50%"}, 7, 7, 4),
        ({"minAvailable": "1%"}, 7, 7, 1),
        ({"minAvailable": "100%"}, 7, 7, 7),
        ({"minAvailable": "0%"}, 7, 7, 0),
        ({"maxUnavailable": "50%"}, 7, 7, 3),  # 3.5 may be missing: 4
        ({"maxUnavailable": "1%"}, 7, 7, 6),
        ({"maxUnavailable": "30%"}, 10, 10, 7),
        # whole numbers
        ({"maxUnavailable": 1}, 3, 3, 2),
        ({"maxUnavailable": 9}, 3, 3, 0),  # never below 0
        ({"maxUnavailable": 0}, 3, 3, 3),
        ({"minAvailable": 2}, 99, 4, 2),  # 4 pods are there; their controllers don't matter
        ({}, 3, 0, 0),
    ],
)
def test_how_many_must_stay(limit: Obj, scale: int, expected: int, desired: int) -> None:
    found = expectation({"spec": limit}, 4, scale)
    assert (found.pods, found.healthy) == (expected, desired)


def owned(obj: Obj, owner: Obj | None) -> Obj:
    if owner is None:
        return obj
    references = [controller_reference(owner)]
    return {**obj, "metadata": {**obj["metadata"], "ownerReferences": references}}


def workload(kind: Kind, name: str, replicas: int, owner: Obj | None = None) -> Obj:
    metadata = {"name": name, "namespace": "default", "uid": f"uid-{name}"}
    base = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return owned({**base, "spec": {"replicas": replicas}}, owner)


def pod(
    name: str,
    owner: Obj | None = None,
    *,
    ready: bool = True,
    deleting: bool = False,
    app: str = "web",
    phase: str = "Running",
) -> Obj:
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": {"app": app},
    }
    if deleting:
        metadata["deletionTimestamp"] = format_time(NOW)
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": phase, "conditions": conditions}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": status}
    return owned(obj, owner)


def budget(limit: Obj, status: Obj | None = None) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default", "uid": "uid-pdb", "generation": 3},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **limit},
        "status": status or {},
    }


class Objects:
    """The cache's read side over a list."""

    def __init__(self, *objects: Obj) -> None:
        self.objects = {key_of(obj): obj for obj in objects}

    def get(self, key: ObjectKey) -> Obj | None:
        return self.objects.get(key)

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Obj]:
        return [obj for key, obj in self.objects.items() if key.kind == kind]


def decide(*objects: Obj, now: datetime = NOW) -> Any:
    controller = DisruptionController()
    snapshot = controller.read(cast(Cache, Objects(*objects)), KEY, now)
    assert snapshot is not None
    return controller.decide(snapshot)


def told(*objects: Obj, now: datetime = NOW) -> Obj:
    """The status that is written."""
    update = decide(*objects, now=now).actions[0]
    assert isinstance(update, Update)
    assert update.subresource == "status"
    status: Obj = update.obj["status"]
    return status


def reasons(*objects: Obj, now: datetime = NOW) -> list[str]:
    actions = decide(*objects, now=now).actions
    return [str(action.reason) for action in actions if isinstance(action, Emit)]


def numbers(status: Obj) -> tuple[int, int, int, int]:
    return (
        status["currentHealthy"],
        status["desiredHealthy"],
        status["disruptionsAllowed"],
        status["expectedPods"],
    )


WEB = workload(DEPLOYMENT, "web", 3)
OLD, NEW = workload(REPLICASET, "web-1", 2, WEB), workload(REPLICASET, "web-2", 3, WEB)


@pytest.mark.parametrize(
    ("limit", "pods", "expected"),
    [
        ({"minAvailable": 2}, ["a", "b", "c"], (3, 2, 1, 3)),
        ({"minAvailable": 3}, ["a", "b", "c"], (3, 3, 0, 3)),
        ({"minAvailable": 4}, ["a", "b", "c"], (3, 4, 0, 3)),  # never negative
        ({"minAvailable": 0}, [], (0, 0, 0, 0)),  # no pods expected: nothing may go
        ({"maxUnavailable": 1}, ["a", "b", "c"], (3, 2, 1, 3)),
        ({"maxUnavailable": 1}, ["a", "b"], (2, 2, 0, 3)),  # the controller wants three
        ({"maxUnavailable": "34%"}, ["a", "b", "c"], (3, 1, 2, 3)),  # 1.02 rounds up to 2
    ],
)
def test_the_status(limit: Obj, pods: list[str], expected: tuple[int, int, int, int]) -> None:
    objects = [pod(name, NEW) for name in pods]
    status = told(budget(limit), WEB, NEW, *objects)
    assert numbers(status) == expected
    assert status["observedGeneration"] == 3
    (condition,) = status["conditions"]
    allowed = expected[2] > 0
    assert condition == {
        "type": "DisruptionAllowed",
        "status": "True" if allowed else "False",
        "reason": "SufficientPods" if allowed else "InsufficientPods",
        "message": "",
        "observedGeneration": 3,
        "lastTransitionTime": format_time(NOW),
    }


def test_in_mid_rollout_both_sets_count_as_their_deployment() -> None:
    pods = [pod("a", OLD), pod("b", OLD), pod("c", NEW)]
    status = told(budget({"maxUnavailable": 1}), WEB, OLD, NEW, *pods)
    assert numbers(status) == (3, 2, 1, 3)


def test_a_set_without_a_deployment_counts_itself() -> None:
    alone = workload(REPLICASET, "alone", 5)
    status = told(budget({"maxUnavailable": "20%"}), alone, pod("a", alone))
    assert numbers(status) == (1, 4, 0, 5)


def test_several_controllers_add_up() -> None:
    alone = workload(REPLICASET, "alone", 5)
    objects = [WEB, NEW, alone, pod("a", NEW), pod("b", alone)]
    assert told(budget({"minAvailable": "50%"}), *objects)["expectedPods"] == 8


@pytest.mark.parametrize(
    "other",
    [
        pod("x", NEW, ready=False),
        pod("x", NEW, deleting=True),
        pod("x", NEW, app="other"),
    ],
    ids=["unready", "ending", "not selected"],
)
def test_who_is_not_healthy(other: Obj) -> None:
    status = told(budget({"maxUnavailable": 1}), WEB, NEW, pod("a", NEW), other)
    assert status["currentHealthy"] == 1


def test_unmanaged_pods_count_for_whole_numbers_only() -> None:
    assert numbers(told(budget({"minAvailable": 1}), pod("a"), pod("b"))) == (2, 1, 1, 2)
    objects = [budget({"minAvailable": "50%"}), pod("a"), pod("b")]
    assert numbers(told(*objects)) == (2, 0, 0, 0)
    assert reasons(*objects) == ["UnmanagedPods"]


def test_a_controller_that_is_not_found_lets_nothing_go() -> None:
    before = {"currentHealthy": 3, "desiredHealthy": 1, "disruptionsAllowed": 2, "expectedPods": 3}
    objects = [budget({"maxUnavailable": 2}, before), pod("a", OLD)]
    status = told(*objects)
    assert numbers(status) == (3, 1, 0, 3)
    (condition,) = status["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "SyncFailed")
    assert condition["message"] == 'found no controllers for pod "a"'
    assert reasons(*objects) == ["CalculateExpectedPodCountFailed"]


def test_no_pods_are_told_once() -> None:
    assert reasons(budget({"minAvailable": 1})) == ["NoPods"]
    again = budget({"minAvailable": 1}, told(budget({"minAvailable": 1})))
    assert decide(again).actions == ()


def test_the_conditions_time_moves_only_with_its_status() -> None:
    limit = {"minAvailable": 1}
    first = told(budget(limit), pod("a"), pod("b"))
    later = NOW + timedelta(seconds=60)
    second = told(budget(limit, first), pod("a"), pod("b"), pod("c"), now=later)
    assert second["conditions"] == first["conditions"]
    third = told(budget(limit, second), pod("a"), now=later)
    assert third["conditions"][0]["lastTransitionTime"] == format_time(later)


class TestDisruptedPods:
    """Evictions whose deletion hasn't been seen yet."""

    def after_eviction(self, *pods: Obj, seconds: float) -> Any:
        before = {"disruptedPods": {"a": format_time(NOW)}, "observedGeneration": 3}
        return decide(
            budget({"minAvailable": 1}, before), *pods, now=NOW + timedelta(seconds=seconds)
        )

    def test_an_evicted_pod_does_not_count_although_it_looks_healthy(self) -> None:
        plan = self.after_eviction(pod("a"), pod("b"), seconds=30)
        status = plan.actions[0].obj["status"]
        assert numbers(status) == (1, 1, 0, 2)
        assert status["disruptedPods"] == {"a": format_time(NOW)}
        assert plan.look_again_after_s == 91.0

    def test_it_is_looked_at_again_when_nothing_is_to_be_written(self) -> None:
        first = self.after_eviction(pod("a"), pod("b"), seconds=30).actions[0].obj
        plan = decide(first, pod("a"), pod("b"), now=NOW + timedelta(seconds=60))
        assert plan.actions == ()
        assert plan.look_again_after_s == 61.0

    def test_it_is_forgotten_once_it_is_ending_or_gone(self) -> None:
        for pods in ([pod("a", deleting=True), pod("b")], [pod("b")]):
            status = self.after_eviction(*pods, seconds=30).actions[0].obj["status"]
            assert "disruptedPods" not in status

    def test_a_pod_that_lives_on_counts_again_after_two_minutes(self) -> None:
        plan = self.after_eviction(pod("a"), pod("b"), seconds=121)
        update, event = plan.actions
        assert numbers(update.obj["status"]) == (2, 1, 1, 2)
        assert "disruptedPods" not in update.obj["status"]
        assert (event.reason, event.regarding["metadata"]["name"]) == ("NotDeleted", "a")
        assert event.message == "Pod was expected by PDB default/web to be deleted but it wasn't"
