"""Which old sets may go (semantics 1.11), and the server-side rollback (1.10)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.client.actions import Emit, Update
from nodrop.controllers.deployment.history import plan_cleanup
from nodrop.controllers.deployment.rollback import asked_revision, plan_rollback
from nodrop.controllers.deployment.snapshot import REVISION, deployment_view, set_view
from nodrop.model.meta import Obj, annotations_of
from tests.unit.controllers.deployment.objects import (
    decide,
    deleted,
    deployment,
    replicaset,
    template,
)

ROLLBACK = "deprecated.deployment.rollback.to"


def cleaned(limit: int | None, *old: Obj) -> list[str]:
    view = deployment_view(deployment(revisionHistoryLimit=limit))
    return [one.name for one in plan_cleanup(view, [set_view(obj) for obj in old])]


def empty(version: int, **more: Any) -> Obj:
    return replicaset(deployment(), version, 0, **more)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (10, []),
        (3, []),
        (2, ["web-h1"]),
        (1, ["web-h1", "web-h2"]),
        (0, ["web-h1", "web-h2", "web-h3"]),  # no undo
        (2147483647, []),  # keep all
        (None, []),
    ],
)
def test_the_oldest_revisions_beyond_the_limit_go(limit: int | None, expected: list[str]) -> None:
    assert cleaned(limit, empty(3), empty(1), empty(2)) == expected


def test_the_revision_counts_not_the_age() -> None:
    """Set 1 was taken up again and is revision 4 now."""
    assert cleaned(1, empty(1, revision=4), empty(2)) == ["web-h2"]


@pytest.mark.parametrize(
    "kept",
    [
        replicaset(deployment(), 1, 1),  # should have a pod
        empty(1, replicas=1),  # still has one
        empty(1, observed=False),  # hasn't seen its size yet
    ],
    ids=["desired", "replicas", "unobserved"],
)
def test_one_in_use_is_skipped_not_substituted(kept: Obj) -> None:
    """Of 1 to 4 with limit 2 the excess is 1 and 2; 3 doesn't go in place of 1."""
    assert cleaned(2, kept, empty(2), empty(3), empty(4)) == ["web-h2"]


def test_one_that_is_being_deleted_counts_for_nothing() -> None:
    assert cleaned(2, empty(1, deleting=True), empty(2), empty(3)) == []


DONE: Obj = {"observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3}


@pytest.mark.parametrize(
    ("status", "spec", "expected"),
    [
        (DONE, {}, ["web-h1"]),
        ({**DONE, "availableReplicas": 2}, {}, []),  # not complete
        ({**DONE, "observedGeneration": 0}, {}, []),
        ({}, {"paused": True}, ["web-h1"]),  # paused: in any state
    ],
)
def test_when_history_is_cleaned_up(status: Obj, spec: Obj, expected: list[str]) -> None:
    """The stored status decides, not the one that this sync writes."""
    owner = deployment(status=status, revisionHistoryLimit=0, template=template(2), **spec)
    sets = [replicaset(owner, 1, 0), replicaset(owner, 2, 3, sized_for=(3, 4))]
    assert deleted(decide(owner, *sets)) == expected


def test_a_paused_deployment_with_a_rollback_asked_keeps_its_history() -> None:
    owner = deployment(
        revisionHistoryLimit=0, paused=True, template=template(2), annotations={ROLLBACK: "1"}
    )
    sets = [replicaset(owner, 1, 0), replicaset(owner, 2, 3, sized_for=(3, 4))]
    assert deleted(decide(owner, *sets)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3", 3), ("0", 0), ("-1", -1), ("", None), ("three", None), ("1.5", None), ("٣", None)],
)
def test_which_revision_is_asked_for(text: str, expected: int | None) -> None:
    assert asked_revision(deployment_view(deployment(annotations={ROLLBACK: text}))) == expected


def rolled_back(asked: int, *versions: int, present: int) -> tuple[Obj, str, str]:
    """The deployment as it is written, and the Event's type and message."""
    marks = {ROLLBACK: str(asked), "team": "a", REVISION: "9"}
    owner = deployment(annotations=marks, template=template(present))
    sets = [replicaset(owner, one, 3, annotations={"team": f"of {one}"}) for one in versions]
    update, event = plan_rollback(deployment_view(owner), [set_view(one) for one in sets], asked)
    assert isinstance(update, Update)
    assert isinstance(event, Emit)
    assert update.subresource is None
    assert ROLLBACK not in annotations_of(update.obj), "nobody asks any more"
    return update.obj, event.type, f"{event.reason}: {event.message}"


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (2, 2), (0, 2)])
def test_a_rollback_takes_that_revision_s_template_and_annotations(
    asked: int, expected: int
) -> None:
    obj, kind, said = rolled_back(asked, 1, 2, 3, present=3)
    assert obj["spec"]["template"] == template(expected), "without the hash label"
    assert annotations_of(obj) == {"team": f"of {expected}", REVISION: "9"}
    assert kind == "Normal"
    assert said == f'DeploymentRollback: Rolled back deployment "web" to revision {expected}'


@pytest.mark.parametrize(
    ("asked", "versions", "why"),
    [
        (7, (1, 2), "Unable to find the revision to rollback to."),
        (-1, (1, 2), "Unable to find the revision to rollback to."),
        (0, (1,), "Unable to find last revision."),
        (0, (), "Unable to find last revision."),
    ],
)
def test_a_rollback_that_leads_nowhere(asked: int, versions: tuple[int, ...], why: str) -> None:
    obj, kind, said = rolled_back(asked, *versions, present=2)
    assert obj["spec"]["template"] == template(2)
    assert kind == "Warning"
    assert said == f"DeploymentRollbackRevisionNotFound: {why}"


def test_a_rollback_to_the_present_template_changes_nothing() -> None:
    obj, kind, said = rolled_back(2, 1, 2, present=2)
    assert obj["spec"]["template"] == template(2)
    assert annotations_of(obj)["team"] == "a"
    assert kind == "Warning"
    assert said.startswith("DeploymentRollbackTemplateUnchanged: The rollback revision contains")


def test_a_rollback_is_the_only_thing_a_sync_does() -> None:
    owner = deployment(annotations={ROLLBACK: "1"}, template=template(2), replicas=5)
    sets = [replicaset(owner, 1, 0), replicaset(owner, 2, 3, sized_for=(3, 4))]
    plan = decide(owner, *sets)
    assert [type(action) for action in plan.actions] == [Update, Emit]


def test_paused_no_rollback_happens() -> None:
    owner = deployment(annotations={ROLLBACK: "1"}, template=template(2), paused=True)
    plan = decide(owner, replicaset(owner, 1, 0), replicaset(owner, 2, 3, sized_for=(3, 4)))
    assert all(getattr(action, "subresource", "status") == "status" for action in plan.actions)
