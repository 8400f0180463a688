"""The Progressing condition: every reason and message, and what the deadline counts from (1.12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from nodrop.controllers.deployment.progress import (
    Subject,
    look_again_after_s,
    with_new_set,
    with_pause,
    with_progress,
)
from nodrop.controllers.deployment.snapshot import deployment_view
from nodrop.model.meta import Obj
from tests.unit.controllers.deployment.objects import NOW, STAMP, ago, deployment

EARLY = ago(300)


def progressing(status: str, reason: str, message: str = "m", *, at: str = EARLY) -> Obj:
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": at,
        "lastUpdateTime": at,
    }


def counters(replicas: int, updated: int, ready: int, available: int) -> dict[str, int]:
    return {
        "observedGeneration": 1,
        "replicas": replicas,
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": available,
    }


BEFORE = counters(4, 1, 3, 3)
COMPLETE = counters(3, 3, 3, 3)
UNMOVED = BEFORE


def judged(
    now_counted: dict[str, int],
    current: Obj | None,
    *,
    before: dict[str, int] = BEFORE,
    new_set: str | None = "web-h2",
    later_s: float = 0,
    **spec: Any,
) -> Obj | None:
    view = deployment_view(deployment(status=dict(before), **spec))
    conditions = with_progress(
        view,
        [current] if current else [],
        now_counted,
        subject=Subject("web", new_set),
        now=NOW + timedelta(seconds=later_s),
    )
    return next((one for one in conditions if one["type"] == "Progressing"), None)


def summary(condition: Obj | None) -> tuple[str, str, str]:
    assert condition is not None
    return condition["status"], condition["reason"], condition["message"]


UPDATED = progressing("True", "ReplicaSetUpdated")


@pytest.mark.parametrize(
    "moved",
    [
        counters(5, 2, 3, 3),  # one more is updated
        counters(3, 1, 3, 3),  # one old less: 3 - 1 < 4 - 1
        counters(4, 1, 4, 3),  # one more is ready
        counters(4, 1, 3, 4),  # one more is available
    ],
)
def test_any_progress_refreshes_the_deadline(moved: dict[str, int]) -> None:
    """lastUpdateTime moves although status and reason are the same; the transition doesn't."""
    found = judged(moved, UPDATED)
    assert summary(found) == ("True", "ReplicaSetUpdated", 'ReplicaSet "web-h2" is progressing.')
    assert found is not None
    assert found["lastUpdateTime"] == STAMP
    assert found["lastTransitionTime"] == EARLY


@pytest.mark.parametrize(
    "counted",
    [
        UNMOVED,
        counters(5, 1, 3, 3),  # more old pods than before
        counters(4, 1, 2, 3),  # fewer are ready
        counters(4, 1, 3, 2),  # fewer are available
    ],
)
def test_standing_still_or_losing_pods_is_no_progress(counted: dict[str, int]) -> None:
    assert judged(counted, UPDATED) == UPDATED


def test_complete() -> None:
    found = judged(COMPLETE, UPDATED)
    assert summary(found) == (
        "True",
        "NewReplicaSetAvailable",
        'ReplicaSet "web-h2" has successfully progressed.',
    )
    assert found is not None
    assert (found["lastTransitionTime"], found["lastUpdateTime"]) == (EARLY, STAMP)


@pytest.mark.parametrize(
    ("counted", "generation"),
    [
        (counters(3, 3, 3, 2), 1),  # all must be available, not only the floor
        (counters(4, 3, 4, 4), 1),  # an old one is left
        (counters(3, 2, 3, 3), 1),
        (counters(3, 3, 3, 3), 2),  # the generation isn't observed
    ],
)
def test_what_is_not_complete(counted: dict[str, int], generation: int) -> None:
    found = judged(counted, UPDATED, before=counted, generation=generation)
    assert found == UPDATED


@pytest.mark.parametrize(
    ("age_s", "reason", "timed_out"),
    [
        (599, "ReplicaSetUpdated", False),
        (600, "ReplicaSetUpdated", False),  # strictly later
        (601, "ReplicaSetUpdated", True),
        (601, "NewReplicaSetCreated", True),
        (601, "FoundNewReplicaSet", True),
        (601, "DeploymentResumed", True),
        (601, "ReplicaSetCreateError", True),
        (99999, "NewReplicaSetAvailable", False),  # never from there
    ],
)
def test_the_deadline(age_s: int, reason: str, timed_out: bool) -> None:
    current = progressing("True", reason, at=ago(age_s))
    found = judged(UNMOVED, current)
    if timed_out:
        assert summary(found) == (
            "False",
            "ProgressDeadlineExceeded",
            'ReplicaSet "web-h2" has timed out progressing.',
        )
        assert found is not None
        assert found["lastTransitionTime"] == STAMP
    else:
        assert found == current


def test_the_deadline_counts_from_the_last_update_not_the_transition() -> None:
    current = {**progressing("True", "ReplicaSetUpdated", at=ago(5000)), "lastUpdateTime": ago(10)}
    assert judged(UNMOVED, current) == current


def test_progress_after_a_time_out_turns_it_back() -> None:
    current = progressing("False", "ProgressDeadlineExceeded")
    assert judged(UNMOVED, current) == current
    found = judged(counters(4, 2, 3, 3), current)
    assert found is not None
    assert (found["status"], found["reason"]) == ("True", "ReplicaSetUpdated")
    assert found["lastTransitionTime"] == STAMP
    assert judged(COMPLETE, current) is not None
    assert summary(judged(COMPLETE, current))[1] == "NewReplicaSetAvailable"


def test_a_pod_that_dies_after_completion_starts_no_clock() -> None:
    done = progressing("True", "NewReplicaSetAvailable", at=ago(9999))
    assert judged(counters(3, 3, 2, 2), done, before=COMPLETE) == done
    assert judged(counters(3, 3, 3, 3), done, before=counters(3, 3, 2, 2)) == done


def test_a_new_rollout_after_completion_makes_progress_again() -> None:
    done = progressing("True", "NewReplicaSetAvailable", at=ago(9999))
    found = judged(counters(4, 1, 3, 3), done, before=COMPLETE)
    assert found == done, "more pods alone are no progress"
    found = judged(counters(4, 1, 4, 4), done, before=counters(4, 1, 3, 3))
    assert summary(found)[1] == "ReplicaSetUpdated"


def test_without_a_new_set_messages_name_the_deployment() -> None:
    found = judged(COMPLETE, None, new_set=None)
    assert summary(found)[2] == 'Deployment "web" has successfully progressed.'
    found = judged(counters(4, 2, 3, 3), None, new_set=None)
    assert summary(found)[2] == 'Deployment "web" is progressing.'
    found = judged(UNMOVED, progressing("True", "x", at=ago(601)), new_set=None)
    assert summary(found)[2] == 'Deployment "web" has timed out progressing.'


@pytest.mark.parametrize("deadline", [None, 2147483647])
def test_without_a_deadline_there_is_no_condition(deadline: int | None) -> None:
    assert judged(counters(4, 2, 3, 3), UPDATED, progressDeadlineSeconds=deadline) is None
    view = deployment_view(deployment(progressDeadlineSeconds=deadline))
    assert with_new_set(view, [], "x", NOW, created=True) == []
    assert (
        with_pause(
            deployment_view(deployment(paused=True, progressDeadlineSeconds=deadline)), [], NOW
        )
        == []
    )


def test_the_new_set() -> None:
    view = deployment_view(deployment())
    (created,) = with_new_set(view, [], "web-h2", NOW, created=True)
    assert summary(created) == (
        "True",
        "NewReplicaSetCreated",
        'Created new replica set "web-h2"',
    )
    (found,) = with_new_set(view, [], "web-h2", NOW, created=False)
    assert summary(found) == ("True", "FoundNewReplicaSet", 'Found new replica set "web-h2"')
    assert with_new_set(view, [UPDATED], "web-h2", NOW, created=False) == [UPDATED]
    (again,) = with_new_set(view, [UPDATED], "web-h2", NOW, created=True)
    assert summary(again)[1] == "NewReplicaSetCreated"
    assert again["lastUpdateTime"] == STAMP


@pytest.mark.parametrize(
    ("paused", "reason", "expected"),
    [
        (True, "ReplicaSetUpdated", ("Unknown", "DeploymentPaused", "Deployment is paused")),
        (True, "NewReplicaSetAvailable", ("Unknown", "DeploymentPaused", "Deployment is paused")),
        (False, "DeploymentPaused", ("Unknown", "DeploymentResumed", "Deployment is resumed")),
        # nothing changes
        (True, "DeploymentPaused", None),
        (False, "DeploymentResumed", None),
        (False, "ReplicaSetUpdated", None),
        (True, "ProgressDeadlineExceeded", None),
        (False, "ProgressDeadlineExceeded", None),
    ],
)
def test_pause_and_resume(paused: bool, reason: str, expected: tuple[str, str, str] | None) -> None:
    current = progressing("True", reason)
    (found,) = with_pause(deployment_view(deployment(paused=paused)), [current], NOW)
    if expected is None:
        assert found == current
    else:
        assert summary(found) == expected
        assert found["lastUpdateTime"] == STAMP, "the clock starts again"


def test_a_deployment_made_paused_says_so() -> None:
    (found,) = with_pause(deployment_view(deployment(paused=True)), [], NOW)
    assert summary(found)[1] == "DeploymentPaused"
    assert with_pause(deployment_view(deployment()), [], NOW) == []


@pytest.mark.parametrize(
    ("reason", "age_s", "spec", "expected"),
    [
        ("ReplicaSetUpdated", 0, {}, 601.0),  # what remains, and a second
        ("ReplicaSetUpdated", 550, {}, 51.0),
        ("DeploymentResumed", 550, {}, 51.0),
        ("ReplicaSetUpdated", 5000, {}, 1.0),
        ("ProgressDeadlineExceeded", 0, {}, None),
        ("NewReplicaSetAvailable", 0, {}, None),
        ("DeploymentPaused", 0, {"paused": True}, None),
        ("ReplicaSetUpdated", 0, {"progressDeadlineSeconds": None}, None),
    ],
)
def test_when_the_deadline_is_looked_at(
    reason: str, age_s: int, spec: Obj, expected: float | None
) -> None:
    view = deployment_view(deployment(**spec))
    current = progressing("True", reason, at=ago(age_s))
    assert look_again_after_s(view, {**BEFORE, "conditions": [current]}, NOW) == expected


def test_a_complete_rollout_has_no_deadline_to_look_at() -> None:
    view = deployment_view(deployment())
    status: Obj = {**COMPLETE, "conditions": [UPDATED]}
    assert look_again_after_s(view, status, NOW) is None
    assert look_again_after_s(view, dict(COMPLETE), NOW) is None


def test_the_second_look_finds_the_time_out() -> None:
    """What look_again asks for is late enough."""
    view = deployment_view(deployment())
    current = progressing("True", "ReplicaSetUpdated", at=ago(0))
    after_s = look_again_after_s(view, {**BEFORE, "conditions": [current]}, NOW)
    assert after_s is not None
    assert summary(judged(UNMOVED, current, later_s=after_s))[1] == "ProgressDeadlineExceeded"
