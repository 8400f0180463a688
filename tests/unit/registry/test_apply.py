"""Server-side apply: ownership, conflicts, removal, and what other writes do to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, DEPLOYMENT
from nodrop.model.meta import Obj
from nodrop.registry.interface import AGENT_WRITES, OWN_WRITES, WriteOptions, Written
from tests.unit.registry.test_verbs import config, refused, workload
from tests.unit.registry.world import World, key


def apply(
    world: World, obj: Obj, manager: str = "ann", *, force: bool = False, name: str = ""
) -> Written:
    kind = DEPLOYMENT if obj["kind"] == "Deployment" else CONFIGMAP
    at = key(kind, name or obj["metadata"]["name"])
    options = WriteOptions(field_manager=manager, force=force)
    return world.registry.patch(at, obj, "apply", options=options)


def data(**values: str) -> Obj:
    return {**config(), "data": values}


def managers(obj: Obj) -> Mapping[tuple[str, str], Any]:
    return {
        (entry["manager"], entry["operation"]): entry["fieldsV1"]
        for entry in obj["metadata"].get("managedFields", ())
    }


def test_an_apply_creates_and_owns_what_it_set(world: World) -> None:
    written = apply(world, workload())
    assert written.created
    owned = managers(written.obj)["ann", "Apply"]
    assert owned["f:spec"]["f:selector"] == {}  # atomic
    container = owned["f:spec"]["f:template"]["f:spec"]["f:containers"]['k:{"name":"app"}']
    assert container == {".": {}, "f:command": {}, "f:image": {}, "f:name": {}}
    assert "f:replicas" not in owned["f:spec"]  # a default has no owner
    assert "f:metadata" not in owned


def test_the_same_apply_again_changes_nothing(world: World) -> None:
    first = apply(world, workload()).obj
    world.clock.advance(5)
    again = apply(world, workload())
    assert not again.created
    assert again.obj == first


def test_what_is_left_out_goes_unless_another_owns_it(world: World) -> None:
    apply(world, data(a="1", b="2"))
    apply(world, data(b="2"), "bob")
    assert apply(world, data(c="3")).obj["data"] == {"b": "2", "c": "3"}
    assert apply(world, data(), "bob").obj["data"] == {"c": "3"}


def test_items_of_lists_go_with_their_owner(world: World) -> None:
    more = workload()
    side = {"name": "side", "image": "side:1", "command": ["side"]}
    more["spec"]["template"]["spec"]["containers"].append(side)
    apply(world, more)
    fewer = apply(world, workload()).obj
    assert [c["name"] for c in fewer["spec"]["template"]["spec"]["containers"]] == ["app"]


def test_another_value_is_a_conflict_and_force_takes_the_field(world: World) -> None:
    first = workload()
    first["spec"]["replicas"] = 2
    apply(world, first)
    other = {**workload(), "spec": {**workload()["spec"], "replicas": 3}}
    with refused(409, 'Apply failed with 1 conflict: conflict with "ann": .spec.replicas') as seen:
        apply(world, other, "bob")
    assert seen.value.details["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "ann"',
            "field": ".spec.replicas",
        }
    ]
    taken = apply(world, other, "bob", force=True).obj
    assert taken["spec"]["replicas"] == 3
    assert "f:replicas" not in managers(taken)["ann", "Apply"]["f:spec"]
    assert "f:replicas" in managers(taken)["bob", "Apply"]["f:spec"]


def test_several_conflicts_are_listed(world: World) -> None:
    apply(world, data(a="1", b="1"))
    text = 'Apply failed with 2 conflicts: conflicts with "ann":\n- .data.a\n- .data.b'
    with refused(409, text):
        apply(world, data(a="2", b="2"), "bob")


def test_the_same_value_is_shared(world: World) -> None:
    apply(world, data(a="1"))
    shared = apply(world, data(a="1"), "bob").obj
    assert managers(shared) == {
        ("ann", "Apply"): {"f:data": {"f:a": {}}},
        ("bob", "Apply"): {"f:data": {"f:a": {}}},
    }


def test_updates_take_fields_over_and_are_conflicts_later(world: World) -> None:
    apply(world, workload())
    options = WriteOptions(field_manager="scaler")
    at = key(DEPLOYMENT, "web")
    scale = {"spec": {"replicas": 5}}
    world.registry.patch(at, scale, "merge", subresource="scale", options=options)
    mine = {**workload(), "spec": {**workload()["spec"], "replicas": 2}}
    expected = (
        'conflict with "scaler" with subresource "scale" using apps/v1 at 2026-11-23T10:00:00Z: '
        ".spec.replicas"
    )
    with refused(409, expected):
        apply(world, mine)


def scale_to(
    world: World, spec: Obj, manager: str = "hpa", *, force: bool = False, dry_run: bool = False
) -> Obj:
    """Apply a Scale to ``web``; the Scale that was answered."""
    config = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "web"}}
    options = WriteOptions(field_manager=manager, force=force, dry_run=dry_run)
    at = key(DEPLOYMENT, "web")
    scale = {**config, "spec": spec}
    return world.registry.patch(at, scale, "apply", subresource="scale", options=options).obj


def sized(replicas: int) -> Obj:
    return {**workload(), "spec": {**workload()["spec"], "replicas": replicas}}


def replicas_owners(world: World) -> list[tuple[str, str, str, str]]:
    """Manager, operation, version and subresource of whoever owns the number of replicas."""
    entries = world.get(DEPLOYMENT, "web")["metadata"]["managedFields"]
    return [
        (one["manager"], one["operation"], one["apiVersion"], one.get("subresource", ""))
        for one in entries
        if "f:replicas" in one["fieldsV1"].get("f:spec", {})
    ]


def test_an_applied_scale_takes_the_replicas_and_nothing_else(world: World) -> None:
    apply(world, sized(2))
    with refused(409, 'conflict with "ann": .spec.replicas'):
        scale_to(world, {"replicas": 5})
    scale = scale_to(world, {"replicas": 5}, force=True)
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 5})
    assert replicas_owners(world) == [("hpa", "Apply", "apps/v1", "scale")]
    kept = managers(world.get(DEPLOYMENT, "web"))["ann", "Apply"]
    assert set(kept["f:spec"]) == {"f:selector", "f:template"}
    assert world.get(DEPLOYMENT, "web")["metadata"]["generation"] == 2


def test_the_same_scale_is_shared_and_another_is_a_conflict(world: World) -> None:
    apply(world, sized(2))
    scale_to(world, {"replicas": 2})
    assert {owner[0] for owner in replicas_owners(world)} == {"ann", "hpa"}
    with refused(409, 'conflict with "hpa" with subresource "scale": .spec.replicas'):
        apply(world, sized(3))


def test_the_same_scale_again_changes_nothing(world: World) -> None:
    apply(world, workload())
    first = scale_to(world, {"replicas": 3})  # nobody set them before: no conflict
    world.clock.advance(5)
    assert scale_to(world, {"replicas": 3}) == first
    assert replicas_owners(world) == [("hpa", "Apply", "apps/v1", "scale")]


def test_a_scale_written_by_an_update_is_a_conflict_of_an_applied_one(world: World) -> None:
    apply(world, sized(2))
    options = WriteOptions(field_manager="kubectl-scale")
    patch = {"spec": {"replicas": 4}}
    world.registry.patch(
        key(DEPLOYMENT, "web"), patch, "merge", subresource="scale", options=options
    )
    assert replicas_owners(world) == [("kubectl-scale", "Update", "apps/v1", "scale")]
    expected = (
        'conflict with "kubectl-scale" with subresource "scale" using autoscaling/v1 at '
        "2026-11-23T10:00:00Z: .spec.replicas"
    )
    with refused(409, expected):
        scale_to(world, {"replicas": 5})


def test_a_scale_is_applied_to_what_nobody_applied_and_to_nothing_else(world: World) -> None:
    with refused(404, 'deployments.apps "web" not found'):
        scale_to(world, {"replicas": 3})
    world.create(workload())
    with refused(409, 'conflict with "before-first-apply" using autoscaling/v1'):
        scale_to(world, {"replicas": 3})
    scale_to(world, {"replicas": 3}, force=True)
    assert replicas_owners(world) == [("hpa", "Apply", "apps/v1", "scale")]
    assert world.get(DEPLOYMENT, "web")["spec"]["replicas"] == 3


def test_a_dry_run_of_an_applied_scale_refuses_and_stores_nothing(world: World) -> None:
    stored = apply(world, workload()).obj
    assert scale_to(world, {"replicas": 3}, dry_run=True)["spec"] == {"replicas": 3}
    with refused(400, "cannot unmarshal number 1099511627776"):
        scale_to(world, {"replicas": 2**40}, dry_run=True)
    with refused(422, "must be greater than or equal to 0"):
        scale_to(world, {"replicas": -1}, dry_run=True)
    assert world.get(DEPLOYMENT, "web") == stored


def test_objects_that_nobody_applied_are_not_tracked(world: World) -> None:
    assert "managedFields" not in world.create(data(a="1"))["metadata"]
    assert (
        "managedFields" not in world.patch(CONFIGMAP, "settings", {"data": {"a": "2"}})["metadata"]
    )


def test_what_was_there_before_belongs_to_nobody_in_particular(world: World) -> None:
    world.create(data(a="1"))
    with refused(
        409, 'conflict with "before-first-apply" using v1 at 2026-11-23T10:00:00Z: .data.a'
    ):
        apply(world, data(a="2"))
    assert apply(world, data(a="1", b="2")).obj["data"] == {"a": "1", "b": "2"}


def test_a_removed_field_has_no_owner_and_an_empty_list_ends_tracking(world: World) -> None:
    apply(world, data(a="1", b="2"))
    left = world.patch(CONFIGMAP, "settings", {"data": {"a": None}})
    assert managers(left)["ann", "Apply"] == {"f:data": {"f:b": {}}}
    ended = world.patch(CONFIGMAP, "settings", {"metadata": {"managedFields": [{}]}})
    assert "managedFields" not in ended["metadata"]


def test_status_is_applied_by_its_subresource_only(world: World) -> None:
    created = apply(world, {**workload(), "status": {"replicas": 9}}).obj
    assert "status" not in created or created["status"].get("replicas") != 9
    condition = {"type": "Odd", "status": "True"}
    status = {**workload(), "status": {"conditions": [condition]}}
    at, options = key(DEPLOYMENT, "web"), WriteOptions(field_manager="probe")
    written = world.registry.patch(at, status, "apply", subresource="status", options=options).obj
    assert written["status"]["conditions"] == [condition]
    assert list(managers(written)["probe", "Apply"]) == ["f:status"]


def test_what_the_engine_writes_to_an_applied_object_is_its_own_by_name(world: World) -> None:
    """As a cluster's: by status, and without a word where nobody applied."""
    for options in (OWN_WRITES, AGENT_WRITES):
        apply(world, workload(), force=True)
        condition = {"type": "Odd", "status": "True", "reason": options.field_manager}
        status = {**world.get(DEPLOYMENT, "web"), "status": {"conditions": [condition]}}
        at = key(DEPLOYMENT, "web")
        written = world.registry.update(at, status, subresource="status", options=options).obj
        assert list(managers(written)[options.field_manager, "Update"]) == ["f:status"]
        entry = next(
            one
            for one in written["metadata"]["managedFields"]
            if one["manager"] == options.field_manager
        )
        assert entry["subresource"] == "status"


def test_entries_of_updates_are_bounded(world: World) -> None:
    apply(world, data(a="1"))
    for number in range(15):
        world.clock.advance(1)
        options = WriteOptions(field_manager=f"tool{number}")
        patch = {"data": {f"k{number}": "1"}}
        world.registry.patch(key(CONFIGMAP, "settings"), patch, "merge", options=options)
    found = managers(world.get(CONFIGMAP, "settings"))
    assert len(found) == 11
    assert "f:k0" in found["ancient-changes", "Update"]["f:data"]


@pytest.mark.parametrize(
    ("obj", "options", "code", "words"),
    [
        (data(a="1"), WriteOptions(), 422, "fieldManager: Required value"),
        (
            config() | {"metadata": {"name": "settings", "managedFields": [{"manager": "x"}]}},
            WriteOptions(field_manager="ann"),
            400,
            "managedFields must be nil",
        ),
        (data(a="1") | {"kind": "Secret"}, WriteOptions(field_manager="ann"), 400, "serves v1"),
    ],
)
def test_applies_that_are_refused(
    world: World, obj: Obj, options: WriteOptions, code: int, words: str
) -> None:
    with refused(code, words):
        world.registry.patch(key(CONFIGMAP, "settings"), obj, "apply", options=options)
    assert not world.exists(CONFIGMAP, "settings")


def test_force_without_apply_is_refused(world: World) -> None:
    world.create(data(a="1"))
    with refused(422, "force: Forbidden"):
        world.registry.patch(
            key(CONFIGMAP, "settings"), {}, "merge", options=WriteOptions(force=True)
        )


def test_a_list_without_its_keys_is_refused(world: World) -> None:
    broken = workload()
    broken["spec"]["template"]["spec"]["containers"].append({"image": "x"})
    with pytest.raises(ApiError, match="omits key field 'name'"):
        apply(world, broken)


def test_a_stale_revision_is_a_conflict(world: World) -> None:
    first = apply(world, data(a="1")).obj
    apply(world, data(a="2"))
    stale = data(a="3")
    stale["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"]
    with refused(409, "has been modified"):
        apply(world, stale)


def test_dry_runs_store_nothing(world: World) -> None:
    options = WriteOptions(field_manager="ann", dry_run=True)
    world.registry.patch(key(CONFIGMAP, "settings"), data(a="1"), "apply", options=options)
    assert not world.exists(CONFIGMAP, "settings")


def test_metadata_that_is_no_object_is_refused(world: World) -> None:
    with pytest.raises(ApiError, match="metadata: expected an object") as failure:
        apply(world, {**config(), "metadata": 5}, name="a")
    assert failure.value.code == 400
