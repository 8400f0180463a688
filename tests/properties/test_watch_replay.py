"""Watches replayed from any resourceVersion tell the store's history; applying twice is nothing."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodrop.client.protocol import Scope
from nodrop.client.selectors import parse_label_selector
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, CUSTOMRESOURCEDEFINITION, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, object_kind
from nodrop.registry.interface import Allocation, WriteOptions
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from tests.integration.test_apiserver_custom import definition
from tests.properties.test_odd_objects import valid_objects
from tests.unit.registry.world import StandingClock

ALLOCATION = Allocation("127.64.0.0/16", "127.65.0.0/24")
#: What happens to one of a few objects: it is written with a label, or deleted.
STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", None])), min_size=1, max_size=12
)


OBJECTS: dict[str, Obj] = {"ConfigMap": {}, "Widget": {"spec": {"size": 1}}}


def registry() -> tuple[SqliteStore, Registry]:
    store = SqliteStore(":memory:")
    return store, Registry(store, StandingClock(), ALLOCATION, random.Random(3))


def act(target: Registry, kind: Kind, name: str, label: str | None) -> None:
    key = ObjectKey(kind, "default", name)
    try:
        if label is None:
            target.delete(key)
        else:
            patch = {"metadata": {"labels": {"set": label}}}
            target.patch(key, patch, "merge")
    except ApiError as error:
        if error.code != 404:
            raise
        if label is not None:
            obj = {**OBJECTS[kind.kind], "metadata": {"name": name, "labels": {"set": label}}}
            target.create(kind, "default", obj)


def state(target: Registry, kind: Kind, scope: Scope) -> dict[str, Obj]:
    return {one["metadata"]["name"]: one for one in target.list(kind, scope).items}


async def replayed(
    target: Registry, kind: Kind, scope: Scope, since: Revision, shown: dict[str, Obj]
) -> Any:
    """``shown`` after all events later than ``since``; each event must make sense where it is."""
    stream = target.watch(kind, scope, since=since)
    last = since
    while True:
        try:
            async with asyncio.timeout(0):
                event = await anext(stream)
        except TimeoutError:
            return shown
        name = event.obj["metadata"]["name"]
        assert event.revision > last
        last = event.revision
        assert (name in shown) == (event.type != "ADDED")
        if event.type == "DELETED":
            del shown[name]
        else:
            shown[name] = event.obj


@settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
@given(steps=STEPS, selected=st.booleans(), custom=st.booleans())
def test_a_watch_from_any_revision_leads_to_the_state_as_it_is(
    steps: list[tuple[str, str | None]], selected: bool, custom: bool
) -> None:
    """Of a built-in kind, and of one that a definition serves."""
    scope = Scope("default", parse_label_selector("set=x" if selected else ""))
    store, target = registry()
    target.create(CUSTOMRESOURCEDEFINITION, "", definition())
    kind = target.kinds.custom[0] if custom else CONFIGMAP
    seen = [(target.revision(), state(target, kind, scope))]
    for name, label in steps:
        act(target, kind, name, label)
        seen.append((target.revision(), state(target, kind, scope)))
    for since, shown in seen:
        assert asyncio.run(replayed(target, kind, scope, since, dict(shown))) == seen[-1][1]
    store.close()


@pytest.mark.parametrize("manifest", valid_objects(), ids=lambda obj: obj["kind"])
def test_applying_the_same_manifest_twice_changes_nothing(manifest: Obj) -> None:
    """Nor does writing back what was read."""
    store, target = registry()
    kind = object_kind(manifest)
    namespace = "default" if kind.namespaced else ""
    key = ObjectKey(kind, namespace, manifest["metadata"]["name"])
    options = WriteOptions(field_manager="me")
    first = target.patch(key, manifest, "apply", options=options).obj
    assert target.patch(key, manifest, "apply", options=options).obj == first
    assert target.update(key, first).obj == first
    assert target.patch(key, manifest, "strategic").obj == first
    store.close()
