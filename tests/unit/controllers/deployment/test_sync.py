"""One sync as a whole: its order, what it writes, what it tells (semantics 1.5 to 1.9)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.client.actions import NOTHING, Create, Delete, Emit, Update
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.deployment.revision import template_hash
from nodrop.controllers.deployment.snapshot import DESIRED_REPLICAS, MAX_REPLICAS, REVISION
from nodrop.controllers.interface import Outcome
from nodrop.model.errors import ApiError, already_exists, forbidden
from nodrop.model.kinds import REPLICASET
from nodrop.model.meta import Obj, annotations_of
from tests.unit.controllers.deployment.objects import (
    NOW,
    STAMP,
    condition,
    decide,
    deleted,
    deployment,
    messages,
    replicaset,
    sizes,
    snapshot,
    template,
    told,
)

#: Surge 3 and unavailable 2 of 10.
QUARTER: Obj = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}
RECREATE: Obj = {"type": "Recreate"}
SETTLED = (10, 13)


def ten(**more: Any) -> Obj:
    return deployment(**{"replicas": 10, "strategy": QUARTER, "template": template(2), **more})


def written(plan: Any, name: str) -> Obj:
    (found,) = (
        action.obj
        for action in plan.actions
        if isinstance(action, Update)
        and not action.subresource
        and action.obj["metadata"]["name"] == name
    )
    obj: Obj = found
    return obj


def test_a_first_sync_creates_the_set_with_all_its_pods() -> None:
    owner = ten(template=template(1))
    plan = decide(owner)
    name = f"web-{template_hash(template(1), 0)}"
    assert isinstance(plan.actions[0], Create)
    assert sizes(plan) == {name: 10}
    assert messages(plan) == [f"Scaled up replica set {name} from 0 to 10"]
    status = told(plan)
    progressing = condition(status, "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "NewReplicaSetCreated"
    assert progressing["message"] == f'Created new replica set "{name}"'
    available = condition(status, "Available")
    assert available is not None
    assert available["status"] == "False"
    assert plan.look_again_after_s == 601.0
    (update,) = (action for action in plan.actions if isinstance(action, Update))
    assert annotations_of(update.obj)[REVISION] == "1"


def test_a_new_template_starts_with_the_surge_at_once() -> None:
    owner = ten()
    plan = decide(owner, replicaset(owner, 1, 10, sized_for=SETTLED))
    (created,) = (action.obj for action in plan.actions if isinstance(action, Create))
    assert created["spec"]["replicas"] == 3
    assert annotations_of(created)[REVISION] == "2"


def test_one_action_a_sync_grow_before_shrink() -> None:
    """Old 8 of 10, all available, and room for new ones: only the new set changes."""
    owner = ten()
    old, new = (
        replicaset(owner, 1, 8, sized_for=SETTLED),
        replicaset(owner, 2, 3, sized_for=SETTLED),
    )
    plan = decide(owner, old, new)
    assert sizes(plan) == {"web-h2": 5}
    assert messages(plan) == ["Scaled up replica set web-h2 to 5 from 3"]
    assert annotations_of(written(plan, "web-h2"))[MAX_REPLICAS] == "13"


def test_then_it_shrinks() -> None:
    owner = ten()
    sets = [replicaset(owner, 1, 8, sized_for=SETTLED), replicaset(owner, 2, 5, sized_for=SETTLED)]
    plan = decide(owner, *sets)
    assert sizes(plan) == {"web-h1": 3}
    assert messages(plan) == ["Scaled down replica set web-h1 to 3 from 8"]


def test_a_roll_over_makes_both_earlier_sets_old() -> None:
    owner = ten(template=template(3))
    sets = [
        replicaset(owner, 1, 8, sized_for=SETTLED),
        replicaset(owner, 2, 5, available=0, sized_for=SETTLED),
    ]
    (created,) = (
        action.obj for action in decide(owner, *sets).actions if isinstance(action, Create)
    )
    assert created["spec"]["replicas"] == 0, "no surge is free yet"
    new = replicaset(owner, 3, 0, sized_for=SETTLED)
    plan = decide(owner, *sets, new)
    assert sizes(plan) == {"web-h2": 0}, "the crash-looping ones go at once"


def test_going_back_takes_the_old_set_up_again() -> None:
    owner = ten(template=template(1))
    sets = [replicaset(owner, 1, 0, sized_for=SETTLED), replicaset(owner, 2, 10, sized_for=SETTLED)]
    plan = decide(owner, *sets)
    assert not any(isinstance(action, Create) for action in plan.actions)
    back = written(plan, "web-h1")
    assert back["spec"]["replicas"] == 3
    assert annotations_of(back)[REVISION] == "3"
    assert annotations_of(back)["deployment.kubernetes.io/revision-history"] == "1"
    status = [a for a in plan.actions if isinstance(a, Update) and a.subresource == "status"]
    assert annotations_of(status[0].obj)[REVISION] == "3"


def test_scaling_a_stuck_rollout_shares_in_proportion_and_rolls_nothing() -> None:
    """Upstream's e2e figure: 8 + 5 stuck, 10 → 30 with surge 3 → 20 + 13."""
    owner = ten(replicas=30)
    sets = [
        replicaset(owner, 1, 8, sized_for=SETTLED),
        replicaset(owner, 2, 5, available=0, sized_for=SETTLED),
    ]
    plan = decide(owner, *sets)
    assert sizes(plan) == {"web-h1": 20, "web-h2": 13}
    for name in ("web-h1", "web-h2"):
        marks = annotations_of(written(plan, name))
        assert (marks[DESIRED_REPLICAS], marks[MAX_REPLICAS]) == ("30", "33")


def test_a_new_template_waits_for_scaling() -> None:
    owner = ten(replicas=12, template=template(3))
    plan = decide(owner, replicaset(owner, 2, 10, sized_for=SETTLED))
    assert sizes(plan) == {"web-h2": 12}


def test_annotations_are_renewed_even_where_sizes_stay() -> None:
    owner = ten(template=template(1))
    plan = decide(owner, replicaset(owner, 1, 10, sized_for=(9, 12)))
    assert sizes(plan) == {"web-h1": 10}
    assert annotations_of(written(plan, "web-h1"))[DESIRED_REPLICAS] == "10"
    assert messages(plan) == []


def test_paused_nothing_rolls_and_scaling_works() -> None:
    owner = ten(paused=True)
    plan = decide(owner, replicaset(owner, 1, 10, sized_for=SETTLED))
    assert not any(isinstance(action, Create) for action in plan.actions)
    assert all(size == 10 for size in sizes(plan).values())
    progressing = condition(told(plan), "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "DeploymentPaused"
    assert plan.look_again_after_s is None, "no deadline ticks"
    scaled = ten(paused=True, replicas=4)
    assert sizes(decide(scaled, replicaset(scaled, 1, 10, sized_for=SETTLED))) == {"web-h1": 4}


def test_a_deployment_made_paused_has_no_set() -> None:
    plan = decide(ten(paused=True))
    assert sizes(plan) == {}


def test_while_it_is_deleted_only_the_status_is_told() -> None:
    owner = ten(deleting=True, replicas=3)
    sets = [replicaset(owner, 1, 8, sized_for=SETTLED), replicaset(owner, 2, 5, sized_for=SETTLED)]
    plan = decide(owner, *sets, orphans=(unowned(replicaset(owner, 4, 1)),))
    assert sizes(plan) == {}
    assert told(plan)["replicas"] == 13
    assert condition(told(plan), "Progressing") is None


def unowned(obj: Obj) -> Obj:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
    return {**obj, "metadata": metadata}


def test_adoption_and_release_come_first() -> None:
    owner = ten()
    orphan = unowned(replicaset(owner, 4, 1))
    stray = replicaset(owner, 1, 10)
    stray["metadata"] = {**stray["metadata"], "labels": {"app": "other"}}
    plan = decide(owner, stray, orphans=(orphan,))
    adopted, released = plan.actions
    assert isinstance(adopted, Update)
    assert adopted.obj["metadata"]["ownerReferences"][0]["uid"] == "uid-web"
    assert isinstance(released, Update)
    assert "ownerReferences" not in released.obj["metadata"]


def test_an_empty_selector_stops_everything() -> None:
    plan = decide(deployment(selector={}))
    (event,) = plan.actions
    assert isinstance(event, Emit)
    assert (event.type, event.reason) == ("Warning", "SelectingAll")


def test_observed_generation_is_that_of_the_spec_acted_on() -> None:
    owner = ten(generation=42, template=template(1))
    assert (
        told(decide(owner, replicaset(owner, 1, 10, sized_for=SETTLED)))["observedGeneration"] == 42
    )


def test_a_rollout_that_is_over_is_at_rest() -> None:
    owner = ten(template=template(1), annotations={REVISION: "1"})
    one = replicaset(owner, 1, 10, sized_for=SETTLED)
    done = {**owner, "status": told(decide(owner, one))}
    assert decide(done, one) == NOTHING


@pytest.mark.parametrize("by_whom", ["another's", "an old set of ours"])
def test_a_taken_name_counts_a_collision(by_whom: str) -> None:
    owner = ten(template=template(1), status={"collisionCount": 4})
    name = f"web-{template_hash(template(1), 4)}"
    if by_whom == "another's":
        plan = decide(owner, taken=frozenset({name}))
    else:
        mine = replicaset(owner, 2, 10, sized_for=SETTLED)
        mine["metadata"] = {**mine["metadata"], "name": name}
        plan = decide(owner, mine)
    assert sizes(plan) == {}
    status = told(plan)
    assert status["collisionCount"] == 5
    again = decide({**owner, "status": status})
    assert list(sizes(again)) == [f"web-{template_hash(template(1), 5)}"]


class TestRecreate:
    """Everything old goes before anything new comes (1.8)."""

    def test_old_sets_go_to_nothing_at_once(self) -> None:
        owner = ten(strategy=RECREATE)
        assert sizes(decide(owner, replicaset(owner, 1, 10, sized_for=(10, 10)))) == {"web-h1": 0}

    @pytest.mark.parametrize(
        ("phase", "deleting", "waits"),
        [
            ("Running", True, True),  # terminating pods block
            ("Pending", False, True),
            ("Unknown", False, True),
            ("Succeeded", True, False),
            ("Failed", False, False),
        ],
    )
    def test_pods_that_may_still_run_block(self, phase: str, deleting: bool, waits: bool) -> None:
        owner = ten(strategy=RECREATE)
        old = replicaset(owner, 1, 0, sized_for=(10, 10))
        reference = {"kind": "ReplicaSet", "uid": old["metadata"]["uid"], "controller": True}
        metadata: Obj = {"name": "p", "ownerReferences": [reference]}
        if deleting:
            metadata["deletionTimestamp"] = STAMP
        pod = {"metadata": metadata, "status": {"phase": phase}}
        plan = decide(owner, old, pods=(pod,))
        created = [action.obj for action in plan.actions if isinstance(action, Create)]
        assert bool(created) is not waits
        if created:
            assert created[0]["spec"]["replicas"] == 10, "at full size"

    def test_pods_that_the_old_set_still_reports_block(self) -> None:
        owner = ten(strategy=RECREATE)
        plan = decide(owner, replicaset(owner, 1, 0, replicas=1, sized_for=(10, 10)))
        assert sizes(plan) == {}

    def test_scaled_after_a_switch_in_mid_rollout_it_does_not_stand_still(self) -> None:
        """Two active sets whose annotations are behind: upstream's scale path does nothing."""
        owner = ten(strategy=RECREATE, replicas=20)
        sets = [
            replicaset(owner, 1, 8, sized_for=SETTLED),
            replicaset(owner, 2, 5, sized_for=SETTLED),
        ]
        assert sizes(decide(owner, *sets)) == {"web-h1": 0}


def created_outcome(owner: Obj, error: ApiError) -> Any:
    before = snapshot(owner)
    create = DeploymentController().decide(before).actions[0]
    assert isinstance(create, Create)
    return DeploymentController().follow_up(before, Outcome(create, error)), create.obj


REFUSED = ApiError(403, "Forbidden", "replicasets are full")


def test_a_set_that_is_refused_is_told_as_event_and_condition() -> None:
    (event, update), obj = created_outcome(ten(), REFUSED)
    message = f'Failed to create new replica set "{obj["metadata"]["name"]}": replicasets are full'
    assert (event.type, event.reason, event.message) == (
        "Warning",
        "ReplicaSetCreateError",
        message,
    )
    assert update.subresource == "status"
    (progressing,) = update.obj["status"]["conditions"]
    assert progressing == {
        "type": "Progressing",
        "status": "False",
        "reason": "ReplicaSetCreateError",
        "message": message,
        "lastTransitionTime": STAMP,
        "lastUpdateTime": STAMP,
    }


def test_told_once_as_a_condition() -> None:
    owner = ten()
    (_, update), _ = created_outcome(owner, REFUSED)
    (event,), _ = created_outcome({**owner, "status": update.obj["status"]}, REFUSED)
    assert isinstance(event, Emit)


def test_without_a_deadline_it_is_an_event_only() -> None:
    (event,), _ = created_outcome(ten(progressDeadlineSeconds=None), REFUSED)
    assert isinstance(event, Emit)


@pytest.mark.parametrize("why", ["the name is taken", "the namespace is ending"])
def test_refusals_that_are_no_news(why: str) -> None:
    error = already_exists(REPLICASET, "x")
    if why == "the namespace is ending":
        error = forbidden(REPLICASET, "x", "it ends")
        error.details["causes"] = [{"reason": "NamespaceTerminating"}]
    actions, _ = created_outcome(ten(), error)
    assert actions == ()


def test_other_outcomes_need_nothing() -> None:
    owner = ten()
    update = Update(owner, "status")
    controller = DeploymentController()
    assert controller.follow_up(snapshot(owner), Outcome(update, REFUSED)) == ()
    assert controller.follow_up(snapshot(owner), Outcome(Create(owner), owner)) == ()


def test_a_time_out_neither_stops_nor_rolls_back() -> None:
    """Stuck at 8 and 5 for longer than the deadline; once pods come up it goes on."""
    owner = ten(annotations={REVISION: "2"})
    old, new = (
        replicaset(owner, 1, 8, sized_for=SETTLED),
        replicaset(owner, 2, 5, available=0, sized_for=SETTLED),
    )
    stuck = told(decide(owner, old, new))
    for one in stuck["conditions"]:
        one["lastUpdateTime"] = "2026-11-23T09:00:00Z"
    plan = decide({**owner, "status": stuck}, old, new)
    progressing = condition(told(plan), "Progressing")
    assert progressing is not None
    assert progressing["reason"] == "ProgressDeadlineExceeded"
    assert sizes(plan) == {}
    late = {**owner, "status": told(plan)}
    assert decide(late, old, new, now=NOW) == NOTHING
    plan = decide(late, old, replicaset(owner, 2, 5, sized_for=SETTLED))
    assert sizes(plan) == {"web-h1": 3}
    progressing = condition(told(plan), "Progressing")
    assert progressing is not None
    assert (progressing["status"], progressing["reason"]) == ("True", "ReplicaSetUpdated")


def test_nothing_is_deleted_in_mid_rollout() -> None:
    owner = ten(revisionHistoryLimit=0)
    sets = [replicaset(owner, 1, 0, sized_for=SETTLED), replicaset(owner, 2, 5, sized_for=SETTLED)]
    plan = decide(owner, *sets)
    assert deleted(plan) == []
    assert not any(isinstance(action, Delete) for action in plan.actions)
