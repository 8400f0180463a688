"""The new set: which it is, its hash, name, revision and annotations (semantics 1.6)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.controllers.deployment.revision import new_set, renewed, split, template_hash
from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    deployment_view,
    set_view,
)
from nodrop.model.meta import Obj, annotations_of
from tests.unit.controllers.deployment.objects import deployment, replicaset, template

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def chosen(owner: Obj, *sets: Obj) -> tuple[str | None, list[str]]:
    new, old = split(deployment_view(owner), [set_view(one) for one in sets])
    return new.name if new else None, [one.name for one in old]


def test_the_new_set_has_the_deployment_s_template_the_old_ones_go_by_age() -> None:
    owner = deployment(template=template(2))
    sets = [replicaset(owner, version, 1) for version in (3, 2, 1)]
    assert chosen(owner, *sets) == ("web-h2", ["web-h1", "web-h3"])
    assert chosen(deployment(template=template(9)), *sets)[0] is None


def test_of_equal_templates_the_oldest_is_the_new_set() -> None:
    owner = deployment(template=template(1))
    twin = replicaset(owner, 1, 3)
    twin["metadata"] = {
        **twin["metadata"],
        "name": "web-twin",
        "uid": "uid-twin",
        "creationTimestamp": "2026-11-23T09:30:00Z",
    }
    assert chosen(owner, twin, replicaset(owner, 1, 3)) == ("web-h1", ["web-twin"])


@pytest.mark.parametrize(
    ("same", "changed"),
    [
        (True, template(1, creationTimestamp=None)),
        (True, template(1, annotations=None)),
        (False, template(2)),
        (False, template(1, annotations={"restartedAt": "now"})),
        (False, template(1, labels={"app": "web", "tier": "front"})),
    ],
)
def test_what_makes_templates_equal(same: bool, changed: Obj) -> None:
    owner = deployment(template=changed)
    assert (chosen(owner, replicaset(owner, 1, 1))[0] == "web-h1") is same
    assert (template_hash(changed, 0) == template_hash(template(1), 0)) is same


def test_the_hash_has_the_alphabet_of_names_and_turns_on_collisions() -> None:
    found = {template_hash(template(version), 0) for version in range(50)}
    assert len(found) == 50
    assert set("".join(found)) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert template_hash(template(1), 0) == template_hash(template(1), 0)
    assert len({template_hash(template(1), collisions) for collisions in range(20)}) == 20


def test_a_created_set() -> None:
    marks = {
        "team": "a",
        "kubernetes.io/change-cause": "because",
        LAST_APPLIED: "{}",
        REVISION: "7",
        REVISION_HISTORY: "1,2",
        DESIRED_REPLICAS: "99",
        MAX_REPLICAS: "99",
        "deprecated.deployment.rollback.to": "0",
    }
    owner = deployment(
        annotations=marks,
        template=template(3),
        replicas=10,
        minReadySeconds=5,
        selector={
            "matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "app", "operator": "Exists"}],
        },
    )
    old = [set_view(replicaset(owner, version, 1, revision=version + 3)) for version in (1, 2)]
    obj = new_set(deployment_view(owner), old, 3)
    digest = template_hash(template(3), 0)
    labels = {"app": "web", "pod-template-hash": digest}
    assert obj["metadata"]["name"] == f"web-{digest}"
    assert obj["metadata"]["labels"] == labels
    assert obj["metadata"]["annotations"] == {
        "team": "a",
        "kubernetes.io/change-cause": "because",
        REVISION: "6",  # the highest is 5
        DESIRED_REPLICAS: "10",
        MAX_REPLICAS: "13",
    }
    (owner_reference,) = obj["metadata"]["ownerReferences"]
    assert owner_reference["controller"] is True
    assert owner_reference["uid"] == "uid-web"
    assert obj["spec"]["replicas"] == 3
    assert obj["spec"]["minReadySeconds"] == 5
    assert obj["spec"]["template"]["metadata"]["labels"] == labels
    assert obj["spec"]["selector"]["matchLabels"] == labels
    assert (
        obj["spec"]["selector"]["matchExpressions"] == owner["spec"]["selector"]["matchExpressions"]
    )


def test_a_collision_changes_the_name() -> None:
    plain, collided = deployment(), deployment(status={"collisionCount": 1})
    names = [new_set(deployment_view(one), [], 1)["metadata"]["name"] for one in (plain, collided)]
    assert names[0] != names[1]


def taken_up(
    revision: int | None, old: tuple[int, ...], history: str = "", **marks: str
) -> dict[str, str]:
    """The annotations of the new set, now ``revision``, beside old ones of other revisions."""
    owner = deployment(template=template(1), annotations=marks or None)
    noted = {REVISION_HISTORY: history} if history else {}
    new = replicaset(owner, 1, 3, revision=revision, annotations=noted)
    if revision is None:
        del new["metadata"]["annotations"][REVISION]
    others = [set_view(replicaset(owner, number + 10, 1, revision=number)) for number in old]
    return annotations_of(renewed(deployment_view(owner), set_view(new), others))


@pytest.mark.parametrize(
    ("revision", "old", "history", "expected"),
    [
        (3, (1, 2), "", {REVISION: "3"}),  # it is the highest already
        (1, (2,), "", {REVISION: "3", REVISION_HISTORY: "1"}),
        (3, (2, 4), "1", {REVISION: "5", REVISION_HISTORY: "1,3"}),
        (None, (2,), "", {REVISION: "3"}),  # it had no number to remember
        (5, (), "", {REVISION: "5"}),
    ],
)
def test_a_set_that_is_taken_up_again_is_renumbered(
    revision: int | None, old: tuple[int, ...], history: str, expected: dict[str, str]
) -> None:
    assert taken_up(revision, old, history) == expected


def test_its_history_keeps_to_2000_characters_the_oldest_go() -> None:
    long = ",".join(str(number) for number in range(1000, 1400))  # 400 · 5 - 1 = 1999
    assert len(long) == 1999
    found = taken_up(7, (8,), long)[REVISION_HISTORY]
    assert len(found) <= 2000
    assert found == ",".join([*long.split(",")[1:], "7"])
    exact = ",".join(["1"] * 999)  # 1997: two more characters are room enough
    assert taken_up(7, (8,), exact)[REVISION_HISTORY] == f"{exact},7"


def test_the_deployment_s_annotations_are_copied_but_for_its_own() -> None:
    found = taken_up(3, (), **{"team": "b", LAST_APPLIED: "{}", DESIRED_REPLICAS: "9"})
    assert found == {REVISION: "3", "team": "b"}


def test_min_ready_seconds_is_copied_later_too() -> None:
    owner = deployment(template=template(1))
    one = set_view(replicaset(owner, 1, 3))
    raised: Any = deployment(template=template(1), minReadySeconds=9)
    assert renewed(deployment_view(raised), one, [])["spec"]["minReadySeconds"] == 9
    assert renewed(deployment_view(owner), one, []) == one.obj
