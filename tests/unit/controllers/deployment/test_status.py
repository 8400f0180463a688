"""Counters, Available and ReplicaFailure (semantics 1.12)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.controllers.deployment.snapshot import deployment_view, set_view
from nodrop.controllers.deployment.status import (
    next_counters,
    render_status,
    with_availability,
    with_replica_failure,
)
from nodrop.model.meta import Obj
from tests.unit.controllers.deployment.objects import NOW, STAMP, ago, deployment, replicaset


def test_counters_sum_what_the_sets_report() -> None:
    owner = deployment(generation=7)
    old = set_view(replicaset(owner, 1, 2, replicas=3, available=2))
    new = set_view(replicaset(owner, 2, 3, available=1))
    assert next_counters(deployment_view(owner), [old, new], new) == {
        "observedGeneration": 7,
        "replicas": 6,
        "updatedReplicas": 3,
        "readyReplicas": 3,
        "availableReplicas": 3,
        "unavailableReplicas": 2,  # 2 + 3 that should be, less 3
    }


@pytest.mark.parametrize(
    ("size", "available", "unavailable"),
    [(3, 3, 0), (3, 1, 2), (3, 0, 3), (1, 3, 0)],  # never negative while it shrinks
)
def test_unavailable_counts_from_what_should_be(
    size: int, available: int, unavailable: int
) -> None:
    owner = deployment()
    one = set_view(replicaset(owner, 1, size, replicas=3, available=available))
    counted = next_counters(deployment_view(owner), [one], one)
    assert counted["unavailableReplicas"] == unavailable


def test_without_a_new_set_nothing_is_updated() -> None:
    owner = deployment()
    counted = next_counters(deployment_view(owner), [set_view(replicaset(owner, 1, 3))], None)
    assert counted["updatedReplicas"] == 0


def rolling(surge: int | str, unavailable: int | str) -> Obj:
    numbers = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": numbers}


QUARTER = rolling("25%", "25%")
RECREATE: Obj = {"type": "Recreate"}


@pytest.mark.parametrize(
    ("replicas", "strategy", "available", "enough"),
    [
        (1, QUARTER, 0, False),  # 25 % of 1 rounds down to 0: the one is needed
        (1, QUARTER, 1, True),
        (4, QUARTER, 3, True),
        (4, QUARTER, 2, False),
        (10, QUARTER, 8, True),
        (10, QUARTER, 7, False),
        (3, rolling(0, 5), 0, True),  # more than there are: all may be missing
        (3, RECREATE, 3, True),
        (3, RECREATE, 2, False),  # Recreate needs all
        (0, QUARTER, 0, True),
        (0, RECREATE, 0, True),
    ],
)
def test_available(replicas: int, strategy: Obj, available: int, enough: bool) -> None:
    view = deployment_view(deployment(replicas=replicas, strategy=strategy))
    (found,) = with_availability(view, [], available, NOW)
    expected = (
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        if enough
        else (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    )
    assert (found["status"], found["reason"], found["message"]) == expected
    assert found["lastTransitionTime"] == found["lastUpdateTime"] == STAMP


def test_available_untouched_while_it_says_the_same() -> None:
    view = deployment_view(deployment())
    before = with_availability(view, [], 3, NOW)
    aged = [{**before[0], "lastTransitionTime": ago(60), "lastUpdateTime": ago(60)}]
    assert with_availability(view, aged, 3, NOW) == aged
    (lost,) = with_availability(view, aged, 0, NOW)
    assert lost["lastTransitionTime"] == STAMP


def failure(reason: str, message: str) -> Obj:
    return {
        "type": "ReplicaFailure",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(30),
    }


def test_a_set_s_failure_is_copied_the_new_set_s_first() -> None:
    owner = deployment()
    old = set_view(replicaset(owner, 1, 3, conditions=[failure("FailedDelete", "old")]))
    new = set_view(replicaset(owner, 2, 3, conditions=[failure("FailedCreate", "new")]))
    (found,) = with_replica_failure([], [old, new], new, NOW)
    assert found == {**failure("FailedCreate", "new"), "lastUpdateTime": ago(30)}
    fine = set_view(replicaset(owner, 2, 3))
    (found,) = with_replica_failure([], [old, fine], fine, NOW)
    assert found["message"] == "old"


def test_it_goes_when_it_is_over() -> None:
    other: Obj = {"type": "Available", "status": "True"}
    one = set_view(replicaset(deployment(), 1, 3))
    assert with_replica_failure([failure("x", "y"), other], [one], one, NOW) == [other]


def test_zeros_are_left_out_and_foreign_fields_stay() -> None:
    before: Any = {"collisionCount": 2, "readyReplicas": 3, "conditions": [{"type": "Old"}]}
    counted = {"replicas": 3, "readyReplicas": 0, "availableReplicas": 0, "observedGeneration": 2}
    assert render_status(before, counted, []) == {
        "collisionCount": 2,
        "replicas": 3,
        "observedGeneration": 2,
    }
