"""How many pods a ReplicaSet makes or ends, its status, and how failures are told (section 2)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from nodrop.client.actions import NOTHING, Create, Delete, Emit, Plan, Update
from nodrop.controllers.interface import Outcome
from nodrop.controllers.pods import HOLD_ANNOTATION
from nodrop.controllers.replicaset.controller import ReplicaSetController, Snapshot
from nodrop.model.errors import ApiError, conflict, forbidden
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, ObjectKey, controller_reference, format_time

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
STAMP = format_time(NOW)


def replicaset(replicas: int = 3, *, status: Obj | None = None, **more: Any) -> Obj:
    metadata = {"name": "web-h1", "namespace": "default", "uid": "uid-rs", "generation": 4}
    if more.pop("deleting", False):
        metadata["deletionTimestamp"] = STAMP
    container = {"name": "web", "image": "web:1", **more.pop("container", {})}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web", "v": "1"}, "annotations": {"team": "a"}},
                "spec": {"containers": [container]},
            },
            **more,
        },
        "status": status or {},
    }


def pod(
    name: str,
    *,
    ready_for_s: float | None = 100,
    phase: str = "Running",
    deleting: bool = False,
    labels: dict[str, str] | None = None,
    owned: bool = True,
) -> Obj:
    conditions = []
    if ready_for_s is not None:
        since = format_time(NOW - timedelta(seconds=ready_for_s))
        conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
    metadata: Obj = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "labels": labels or {"app": "web", "v": "1"},
        "creationTimestamp": "2026-11-23T09:00:00Z",
    }
    if owned:
        metadata["ownerReferences"] = [controller_reference(replicaset())]
    if deleting:
        metadata["deletionTimestamp"] = STAMP
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": "localhost"},
        "status": {"phase": phase, "conditions": conditions},
    }


def pods(count: int, **facts: Any) -> list[Obj]:
    return [pod(f"p{number:03}", **facts) for number in range(count)]


def decide(owner: Obj, *owned: Obj, orphans: tuple[Obj, ...] = ()) -> Plan:
    return ReplicaSetController().decide(Snapshot(owner, owned, orphans, NOW))


def count(plan: Plan) -> tuple[int, int]:
    """How many pods are created and deleted."""
    return (
        sum(isinstance(action, Create) for action in plan.actions),
        sum(isinstance(action, Delete) for action in plan.actions),
    )


def told(plan: Plan) -> Obj:
    last = plan.actions[-1]
    assert isinstance(last, Update)
    assert last.subresource == "status"
    status: Obj = last.obj["status"]
    return status


@pytest.mark.parametrize(
    ("replicas", "owned", "expected"),
    [
        (3, [], (3, 0)),
        (3, pods(3), (0, 0)),
        (3, pods(5), (0, 2)),
        (0, pods(2), (0, 2)),
        (3, [*pods(2), pod("x", deleting=True)], (1, 0)),  # replaced at once
        (3, [*pods(2), pod("x", phase="Failed")], (1, 0)),
        (3, [*pods(2), pod("x", phase="Succeeded")], (1, 0)),
        (3, pods(3, phase="Pending", ready_for_s=None), (0, 0)),
        (501, [], (500, 0)),  # at most so many in one sync
        (0, pods(501), (0, 500)),
    ],
)
def test_the_difference_is_made_up(
    replicas: int, owned: list[Obj], expected: tuple[int, int]
) -> None:
    assert count(decide(replicaset(replicas), *owned)) == expected


def test_an_ending_set_makes_and_ends_nothing() -> None:
    assert count(decide(replicaset(3, deleting=True))) == (0, 0)
    assert count(decide(replicaset(3, deleting=True), *pods(5))) == (0, 0)


def test_a_new_pod() -> None:
    create = decide(replicaset(1)).actions[0]
    assert isinstance(create, Create)
    metadata = create.obj["metadata"]
    assert metadata["generateName"] == "web-h1-"
    assert metadata["labels"] == {"app": "web", "v": "1"}
    assert metadata["annotations"] == {"team": "a"}
    (reference,) = metadata["ownerReferences"]
    assert reference["controller"] is True
    assert reference["blockOwnerDeletion"] is True


@pytest.mark.parametrize(
    ("min_ready_s", "container", "held"),
    [
        (0, {}, None),
        (5, {}, "5"),
        (5, {"readinessProbe": {"httpGet": {"port": 80}}}, None),
    ],
)
def test_s9_pods_without_a_probe_are_held(
    min_ready_s: int, container: Obj, held: str | None
) -> None:
    create = decide(replicaset(1, minReadySeconds=min_ready_s, container=container)).actions[0]
    assert isinstance(create, Create)
    assert create.obj["metadata"]["annotations"].get(HOLD_ANNOTATION) == held


def test_the_status_counts_active_pods_only() -> None:
    owned = [
        pod("a"),
        pod("b", ready_for_s=None),
        pod("c", labels={"app": "web"}),  # lacks one of the template's labels
        pod("d", deleting=True),
        pod("e", phase="Failed"),
    ]
    assert told(decide(replicaset(3), *owned)) == {
        "replicas": 3,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
        "observedGeneration": 4,
    }


def test_pods_just_told_to_go_are_not_counted() -> None:
    assert told(decide(replicaset(1), *pods(3)))["availableReplicas"] == 1


def test_nothing_to_do_is_nothing() -> None:
    status = told(decide(replicaset(3), *pods(3)))
    assert decide(replicaset(3, status=status), *pods(3)) == NOTHING


@pytest.mark.parametrize(
    ("ready_for_s", "available", "again_s"),
    [
        (None, 0, None),
        (0, 0, 11.0),  # stored times are cut to whole seconds: one more is waited
        (4, 0, 7.0),
        (10, 0, 1.0),
        (11, 1, None),
    ],
)
def test_availability_is_looked_at_again_in_time(
    ready_for_s: float | None, available: int, again_s: float | None
) -> None:
    """S10, S11."""
    plan = decide(replicaset(1, minReadySeconds=10), pod("a", ready_for_s=ready_for_s))
    assert told(plan).get("availableReplicas", 0) == available
    assert plan.look_again_after_s == again_s


def test_adoption_and_release_come_first() -> None:
    orphan = pod("orphan", owned=False)
    stray = pod("stray", labels={"app": "other"})
    adopted, released = decide(replicaset(3), stray, orphans=(orphan,)).actions
    assert isinstance(adopted, Update)
    assert adopted.obj["metadata"]["ownerReferences"] == [controller_reference(replicaset())]
    assert isinstance(released, Update)
    assert "ownerReferences" not in released.obj["metadata"]


@pytest.mark.parametrize(
    ("owner", "orphan"),
    [
        (replicaset(0), pod("o", owned=False, labels={"app": "other"})),
        (replicaset(0), pod("o", owned=False, deleting=True)),
        (replicaset(0, deleting=True), pod("o", owned=False)),
    ],
    ids=["other labels", "ending pod", "ending set"],
)
def test_what_is_not_adopted(owner: Obj, orphan: Obj) -> None:
    plan = decide(owner, orphans=(orphan,))
    assert [type(action) for action in plan.actions] == [Update]
    assert told(plan)["replicas"] == 0


def outcome(action: Any, result: Any, *owned: Obj, owner: Obj | None = None) -> tuple[Any, ...]:
    snapshot = Snapshot(owner or replicaset(), owned, (), NOW)
    return ReplicaSetController().follow_up(snapshot, Outcome(action, result))


CREATE = Create(pod("new"))
DELETE = Delete(ObjectKey(POD, "default", "p1"))
FULL = ApiError(403, "Forbidden", "no room")


def test_success_is_told_by_name() -> None:
    (event,) = outcome(CREATE, pod("web-h1-abcde"))
    assert (event.type, event.reason) == ("Normal", "SuccessfulCreate")
    assert event.message == "Created pod: web-h1-abcde"


def test_deletions_are_told_too() -> None:
    (event,) = outcome(DELETE, None)
    assert (event.reason, event.message) == ("SuccessfulDelete", "Deleted pod: p1")
    event, update = outcome(DELETE, FULL, *pods(5))
    assert (event.reason, event.message) == ("FailedDelete", "Error deleting: no room")
    assert update.obj["status"]["conditions"][0]["reason"] == "FailedDelete"


def test_a_failed_create_is_an_event_and_a_condition() -> None:
    event, update = outcome(CREATE, FULL, *pods(2))
    assert (event.type, event.reason) == ("Warning", "FailedCreate")
    assert event.message == "Error creating: no room"
    assert update.subresource == "status"
    assert update.obj["status"]["conditions"] == [
        {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": "no room",
            "lastTransitionTime": STAMP,
        }
    ]
    assert update.obj["status"]["replicas"] == 2


def test_it_is_told_once_as_a_condition_and_goes_with_success() -> None:
    _, update = outcome(CREATE, FULL, *pods(2))
    failing = replicaset(status=update.obj["status"])
    (event,) = outcome(CREATE, FULL, *pods(2), owner=failing)
    assert isinstance(event, Emit)
    assert "conditions" not in told(decide(failing, *pods(3)))


def test_the_condition_goes_only_after_the_creates() -> None:
    """The loop stops at the first failure, so a status that claims success isn't written."""
    _, update = outcome(CREATE, FULL, *pods(2))
    actions = decide(replicaset(status=update.obj["status"]), *pods(2)).actions
    assert [type(action) for action in actions] == [Create, Update]


@pytest.mark.parametrize("why", ["conflict", "the namespace is ending"])
def test_refusals_that_are_no_news(why: str) -> None:
    error = conflict(POD, "p")
    if why == "the namespace is ending":
        error = forbidden(POD, "p", "it ends")
        error.details["causes"] = [{"reason": "NamespaceTerminating"}]
    assert outcome(CREATE, error) == ()
