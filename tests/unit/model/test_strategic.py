"""Strategic merge patches, as kubectl sends them, and the patch that apply computes."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, POD, SERVICE
from nodrop.model.meta import Obj
from nodrop.model.patch import strategic_merge, three_way_patch


def pod(*containers: Any, **spec: Any) -> Obj:
    return {"spec": {"containers": list(containers), **spec}}


A, B, SIDE = {"name": "a", "image": "a:1"}, {"name": "b", "image": "b:1"}, {"name": "side"}
ORDER = "$setElementOrder/containers"


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"spec": {"containers": [{"name": "b", "image": "b:2"}]}}, pod(A, B | {"image": "b:2"})),
        ({"spec": {"containers": [SIDE]}}, pod(A, B, SIDE)),
        ({"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}, pod(B)),
        ({"spec": {"containers": [{"name": "q", "$patch": "delete"}]}}, pod(A, B)),
        ({"spec": {"containers": [{"$patch": "replace"}, SIDE]}}, pod(SIDE)),
        ({"spec": {"containers": [{"$patch": "replace"}]}}, pod()),
        (
            {"spec": {"containers": [{"name": "a", "$patch": "replace", "image": "x"}]}},
            pod(),
        ),
        ({"spec": {"$patch": "replace", "containers": [SIDE]}}, pod(SIDE)),
        ({"spec": {"$patch": "delete"}}, {"spec": {}}),
        ({"spec": {"$patch": "merge", "nodeName": "n"}}, pod(A, B, nodeName="n")),
        ({"spec": None}, {}),
        ({"spec": {"containers": None}}, {"spec": {}}),
        ({"spec": {ORDER: [{"name": "b"}, {"name": "a"}]}}, pod(B, A)),
        (
            {"spec": {"containers": [SIDE], ORDER: [SIDE, {"name": "a"}, {"name": "b"}]}},
            pod(SIDE, A, B),
        ),
        ({"spec": {"containers": [SIDE], ORDER: [SIDE]}}, pod(A, B, SIDE)),
        (
            {"spec": {"containers": [{"name": "b", "image": "b:2"}], ORDER: [{"name": "b"}]}},
            pod(A, B | {"image": "b:2"}),
        ),
    ],
)
def test_containers_are_merged_by_name(patch: Obj, expected: Obj) -> None:
    assert strategic_merge(pod(A, B), patch, POD) == expected


def test_finalizers_are_a_set() -> None:
    obj = {"metadata": {"finalizers": ["a", "b"]}}
    patch = {"metadata": {"finalizers": ["b", "c"], "$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge(obj, patch, POD) == {"metadata": {"finalizers": ["b", "c"]}}


def test_lists_without_a_merge_key_are_replaced() -> None:
    obj = pod(A | {"command": ["x", "y"]}, tolerations=[{"key": "k"}])
    patch = pod({"name": "a", "command": ["z"]}, tolerations=[{"key": "l"}])
    expected = pod(A | {"command": ["z"]}, tolerations=[{"key": "l"}])
    assert strategic_merge(obj, patch, POD) == expected


def test_retain_keys_makes_room_for_the_other_strategy() -> None:
    old = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}}
    merged = strategic_merge(old, patch, DEPLOYMENT)
    assert merged == {"spec": {"strategy": {"type": "Recreate"}}}
    without = {"spec": {"strategy": {"type": "Recreate"}}}
    kept = strategic_merge(old, without, DEPLOYMENT)["spec"]["strategy"]
    assert kept == {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}


def test_what_is_new_loses_its_nulls_and_directives() -> None:
    patch = {
        "metadata": {"labels": {"a": "b", "c": None}},
        "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}},
    }
    expected = {"metadata": {"labels": {"a": "b"}}, "spec": {"strategy": {"type": "Recreate"}}}
    assert strategic_merge({}, patch, DEPLOYMENT) == expected


@pytest.mark.parametrize(
    ("patch", "text"),
    [
        ([], "must be an object"),
        ({"spec": {"$patch": "spoil"}}, "Unknown patch type 'spoil' found in a map"),
        ({"spec": {"containers": [{"image": "x"}]}}, "does not contain declared merge key: name"),
        (
            {"spec": {"containers": [{"name": "a", "$patch": "spoil"}]}},
            "Unknown patch type 'spoil' found in a list",
        ),
        ({"spec": {"containers": ["x"]}}, "must hold objects"),
        ({"spec": {"$retainKeys": "x"}}, "must be a list"),
        ({"spec": {"$setElementOrder/containers": 5}}, "must be a list"),
        ({"spec": {"$deleteFromPrimitiveList/containers": 5}}, "must be a list"),
        ({"spec": {"$retainKeys": ["a"], "nodeName": "n"}}, "nodeName not in it"),
    ],
)
def test_a_patch_that_makes_no_sense_is_400(patch: Any, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        strategic_merge(pod(A), patch, POD)
    assert caught.value.code == 400
    assert text in caught.value.message


def deployment(*containers: Any, **spec: Any) -> Obj:
    return {"spec": {"template": {"spec": {"containers": list(containers)}}, **spec}}


def inner(patch: Obj) -> Obj:
    found: Obj = patch["spec"]["template"]["spec"]
    return found


def test_apply_sends_only_what_changed() -> None:
    old = deployment(A, B, replicas=2)
    live = deployment(A | {"imagePullPolicy": "Always"}, B, replicas=2, paused=False)
    new = deployment(A | {"image": "a:2"}, B, replicas=2)
    patch = three_way_patch(old, new, live, DEPLOYMENT)
    assert patch.keys() == {"spec"}
    assert patch["spec"].keys() == {"template"}
    assert inner(patch) == {
        "containers": [{"name": "a", "image": "a:2"}],
        ORDER: [{"name": "a"}, {"name": "b"}],
    }


def test_apply_removes_what_the_last_manifest_had_and_keeps_what_others_added() -> None:
    old, live = deployment(A, B, replicas=2), deployment(A, B, SIDE, replicas=5, paused=True)
    patch = three_way_patch(old, deployment(A), live, DEPLOYMENT)
    assert patch["spec"]["replicas"] is None
    assert inner(patch)["containers"] == [{"name": "b", "$patch": "delete"}]
    applied = strategic_merge(live, patch, DEPLOYMENT)
    assert applied == deployment(A, SIDE, paused=True)


def test_apply_can_change_the_strategy() -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    old = deployment(A, strategy={"rollingUpdate": {"maxSurge": 1}})
    live = deployment(A, strategy=rolling)
    new = deployment(A, strategy={"type": "Recreate"})
    patch = three_way_patch(old, new, live, DEPLOYMENT)
    assert patch["spec"] == {"strategy": {"type": "Recreate", "$retainKeys": ["type"]}}
    assert strategic_merge(live, patch, DEPLOYMENT) == new


def test_apply_can_change_what_a_volume_is() -> None:
    live = pod(A, volumes=[{"name": "v", "emptyDir": {}}])
    new = pod(A, volumes=[{"name": "v", "configMap": {"name": "c"}}])
    patch = three_way_patch(pod(A, volumes=[{"name": "v"}]), new, live, POD)
    assert strategic_merge(live, patch, POD) == new


def test_apply_tells_ports_apart_that_share_their_number() -> None:
    tcp, udp = {"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}
    live, new = {"spec": {"ports": [tcp]}}, {"spec": {"ports": [tcp, udp]}}
    patch = three_way_patch(live, new, live, SERVICE)
    assert strategic_merge(live, patch, SERVICE) == new


def test_apply_reorders() -> None:
    patch = three_way_patch(pod(A, B), pod(B, A), pod(A, B), POD)
    assert patch == {"spec": {ORDER: [{"name": "b"}, {"name": "a"}]}}


def test_applying_the_same_again_does_nothing() -> None:
    live = deployment(A | {"imagePullPolicy": "Always"}, replicas=2)
    assert three_way_patch(deployment(A), deployment(A), live, DEPLOYMENT) == {}
