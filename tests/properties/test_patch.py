"""Laws of patches, for any object of a kind and any other."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.model.definitions import Schema, resolved, schema_of
from nodrop.model.fieldsets import fields_in, from_fields_v1, to_fields_v1
from nodrop.model.kinds import DEPLOYMENT, POD, SERVICE
from nodrop.model.meta import Obj
from nodrop.model.patch import json_patch, merge_patch, strategic_merge, three_way_patch
from nodrop.model.ssa import Manager, applied, known_owners, write_owners
from nodrop.model.trees import same

_SCALARS = st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"])
_NAMES = st.sampled_from(["a", "b", "c", "d/e", "f~g"])
JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(_NAMES, JSON, max_size=4)
_WITH_NULLS = st.dictionaries(
    _NAMES, JSON | st.none() | st.dictionaries(_NAMES, JSON | st.none(), max_size=3), max_size=4
)
_INTERESTING = {
    "metadata": ("labels", "finalizers", "ownerReferences"),
    "spec": None,
    "DeploymentSpec": ("replicas", "strategy", "template", "minReadySeconds"),
    "ServiceSpec": ("ports", "selector", "type"),
    "PodSpec": ("containers", "volumes", "tolerations", "hostAliases", "nodeSelector"),
    "Container": ("name", "image", "ports", "env", "command", "volumeMounts", "resources"),
    "Volume": ("name", "emptyDir", "secret", "configMap"),
}


def _of(schema: Schema, depth: int = 7) -> st.SearchStrategy[Any]:
    """Values that fit a schema, with few names and small numbers so that they collide."""
    typed = resolved(schema)
    inner = typed.schema
    if inner.format == "int-or-string":
        return st.integers(0, 2) | st.sampled_from(["25%", "50%"])
    if inner.properties and depth:
        chosen = _INTERESTING.get(typed.struct) or tuple(inner.properties)[:4]
        fields = {name: _of(inner.properties[name], depth - 1) for name in chosen}
        return st.fixed_dictionaries({}, optional=fields)
    if inner.values is not None:
        return st.dictionaries(st.sampled_from("xyz"), _of(inner.values, depth), max_size=2)
    if inner.items is not None:
        return _lists(inner, depth)
    match inner.type:
        case "integer" | "number":
            return st.integers(0, 2)
        case "boolean":
            return st.booleans()
        case "object":
            return st.just({})
        case _:
            return st.sampled_from("abc")


def _lists(schema: Schema, depth: int) -> st.SearchStrategy[Any]:
    assert schema.items is not None
    entries = _of(schema.items, depth - 1)
    key = schema.merge_key or next(iter(schema.list_map_keys), "")
    if not key:
        return st.lists(entries, max_size=3, unique_by=json.dumps)
    inner = resolved(schema.items).schema
    keys = st.lists(_of(inner.properties[key], 0), max_size=3, unique=True)

    def keyed(found: list[Any]) -> st.SearchStrategy[Any]:
        drawn = st.lists(entries, min_size=len(found), max_size=len(found))
        return drawn.map(lambda all_: [e | {key: k} for e, k in zip(all_, found, strict=True)])

    return keys.flatmap(keyed)


def _objects(kind: Any) -> st.SearchStrategy[Obj]:
    schema = schema_of(kind)
    meta = resolved(schema.properties["metadata"]).schema
    chosen = {name: _of(meta.properties[name], 2) for name in ("labels", "finalizers")}
    return st.fixed_dictionaries(
        {},
        optional={
            "metadata": st.fixed_dictionaries({}, optional=chosen),
            "spec": _of(schema.properties["spec"]),
        },
    )


DEPLOYMENTS, PODS, SERVICES = _objects(DEPLOYMENT), _objects(POD), _objects(SERVICE)


@given(OBJECTS, _WITH_NULLS)
def test_a_merge_patch_is_idempotent_and_changes_no_input(obj: Obj, patch: Obj) -> None:
    before = copy.deepcopy((obj, patch))
    once = merge_patch(obj, patch)
    assert same(merge_patch(once, patch), once)
    assert (obj, patch) == before


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leaves_no_null_and_keeps_what_it_does_not_name(obj: Obj, patch: Obj) -> None:
    merged = merge_patch(obj, patch | {"gone": None})
    assert merged.keys() == obj.keys() | patch.keys()
    assert all(same(merged[key], obj[key]) for key in obj.keys() - patch.keys())


@given(OBJECTS, _NAMES, JSON)
def test_adding_and_removing_a_field_gives_the_object_back(obj: Obj, name: str, value: Any) -> None:
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    before = copy.deepcopy(obj)
    added = json_patch(obj, [{"op": "add", "path": pointer, "value": value}])
    assert same(added[name], value)
    undo = [{"op": "test", "path": pointer, "value": value}, {"op": "remove", "path": pointer}]
    assert same(json_patch(added, undo), {key: obj[key] for key in obj if key != name})
    assert same(obj, before)


@given(OBJECTS, OBJECTS)
def test_replacing_the_whole_document_gives_the_other(obj: Obj, other: Obj) -> None:
    assert same(json_patch(obj, [{"op": "replace", "path": "", "value": other}]), other)


@settings(deadline=None)
@given(st.data(), st.sampled_from([DEPLOYMENT, POD, SERVICE]))
def test_the_patch_between_two_objects_makes_the_one_the_other(data: Any, kind: Any) -> None:
    """When what was applied is what is there, apply gives exactly what is wanted."""
    drawn = {DEPLOYMENT: DEPLOYMENTS, POD: PODS, SERVICE: SERVICES}[kind]
    old, new = data.draw(drawn), data.draw(drawn)
    before = copy.deepcopy((old, new))
    patch = three_way_patch(old, new, old, kind)
    assert same(strategic_merge(old, patch, kind), new)
    assert (old, new) == before


@settings(deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS, DEPLOYMENTS)
def test_apply_settles_and_patches_are_idempotent(last: Obj, wanted: Obj, live: Obj) -> None:
    patch = three_way_patch(last, wanted, live, DEPLOYMENT)
    applied = strategic_merge(live, patch, DEPLOYMENT)
    assert same(strategic_merge(applied, patch, DEPLOYMENT), applied)
    assert three_way_patch(wanted, wanted, applied, DEPLOYMENT) == {}


@settings(deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_fields_that_others_set_survive_an_apply(wanted: Obj, live: Obj) -> None:
    patch = three_way_patch({}, wanted, live, DEPLOYMENT)
    applied = strategic_merge(live, patch, DEPLOYMENT)
    theirs = (live.get("metadata") or {}).get("labels") or {}
    mine = (wanted.get("metadata") or {}).get("labels") or {}
    assert same((applied.get("metadata") or {}).get("labels") or {}, theirs | mine)


@given(PODS)
def test_an_empty_patch_changes_nothing(pod: Obj) -> None:
    assert same(strategic_merge(pod, {}, POD), pod)
    assert same(merge_patch(pod, {}), pod)
    assert same(json_patch(pod, []), pod)
    assert three_way_patch(pod, pod, pod, POD) == {}


def _apply(live: Obj, config: Obj, manager: str = "ann") -> Obj:
    """A forced server-side apply to a Deployment, with its owners noted."""
    live = {"metadata": {}} | live
    who = Manager(manager, "Apply", "apps/v1")
    schema = schema_of(DEPLOYMENT)
    merged, owners = applied(
        live, known_owners(live, schema), config, schema, who, now="", force=True
    )
    meta = merged.get("metadata") or {}
    return {**merged, "metadata": {**meta, "managedFields": write_owners(owners)}}


def _without_empties(value: Any) -> Any:
    """An empty list or object sets nothing where something is already."""
    if isinstance(value, dict):
        inner = {name: _without_empties(field) for name, field in value.items()}
        return {name: field for name, field in inner.items() if field not in ({}, [])}
    return [_without_empties(item) for item in value] if isinstance(value, list) else value


@given(DEPLOYMENTS)
def test_fields_v1_can_be_read_back(obj: Obj) -> None:
    fields = fields_in(obj, schema_of(DEPLOYMENT))
    assert from_fields_v1(to_fields_v1(fields)) == fields


@settings(deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_a_server_side_apply_settles_and_sets_what_it_names(live: Obj, config: Obj) -> None:
    before = copy.deepcopy((live, config))
    once = _apply(live, config)
    assert _apply(once, config) == once
    assert (live, config) == before
    schema = schema_of(DEPLOYMENT)
    assert fields_in(_without_empties(config), schema) <= fields_in(once, schema)


@settings(deadline=None)
@given(DEPLOYMENTS, DEPLOYMENTS)
def test_what_one_manager_set_goes_when_it_lets_go_and_the_others_stays(
    mine: Obj, theirs: Obj
) -> None:
    both = _apply(_apply({}, theirs, "bob"), mine)
    left = _apply(both, {})
    schema = schema_of(DEPLOYMENT)
    owned = {entry["manager"] for entry in left["metadata"]["managedFields"]}
    assert owned <= {"bob"}
    kept = fields_in({k: v for k, v in left.items() if k != "metadata"}, schema)
    wanted = fields_in({k: v for k, v in theirs.items() if k != "metadata"}, schema)
    assert kept <= wanted
