"""Events by either version: one set of objects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nodrop.client.protocol import ALL, Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, EVENT, EVENTS_EVENT
from nodrop.model.meta import ObjectKey
from nodrop.registry.forms import FormsRegistry
from nodrop.registry.interface import PatchType, WriteOptions
from tests.unit.model.test_eventforms import FRESH
from tests.unit.registry.world import World

KEY, STORED_KEY = ObjectKey(EVENTS_EVENT, "default", "e"), ObjectKey(EVENT, "default", "e")
STRICT = WriteOptions(field_validation="Strict")


@pytest.fixture
def forms(world: World) -> FormsRegistry:
    return FormsRegistry(world.registry)


def test_what_one_version_writes_the_other_reads(forms: FormsRegistry) -> None:
    made = forms.create(EVENTS_EVENT, "default", FRESH, STRICT).obj
    assert (made["apiVersion"], made["note"]) == ("events.k8s.io/v1", "it is bound")
    stored = forms.get(STORED_KEY)
    assert (stored["apiVersion"], stored["message"]) == ("v1", "it is bound")
    assert stored["involvedObject"] == FRESH["regarding"]
    assert forms.get(KEY) == made
    assert forms.list(EVENTS_EVENT, ALL).items == (made,)
    assert forms.delete(KEY).obj["note"] == "it is bound"
    assert forms.list(EVENT, ALL).items == ()


@pytest.mark.parametrize(
    ("patch_type", "patch"),
    [
        ("merge", {"series": {"count": 2, "lastObservedTime": "2026-11-23T10:00:00.000000Z"}}),
        ("strategic", {"series": {"count": 2, "lastObservedTime": "2026-11-23T10:00:00.000000Z"}}),
        ("json", [{"op": "replace", "path": "/note", "value": "again"}]),
        ("apply", {"note": "again"}),
    ],
)
def test_patches_speak_of_the_form_that_they_are_sent_to(
    forms: FormsRegistry, patch_type: PatchType, patch: Any
) -> None:
    forms.create(EVENTS_EVENT, "default", FRESH)
    options = WriteOptions(field_manager="me", force=patch_type == "apply")
    written = forms.patch(KEY, patch, patch_type, options=options).obj
    stored = forms.get(STORED_KEY)
    if "series" in patch:
        assert written["series"] == stored["series"] == patch["series"]
    else:
        assert written["note"] == stored["message"] == "again"
    assert written["regarding"] == FRESH["regarding"]


def test_replacing_by_what_was_read_changes_nothing(forms: FormsRegistry) -> None:
    made = forms.create(EVENTS_EVENT, "default", FRESH).obj
    assert forms.update(KEY, made, options=STRICT).obj == made
    assert forms.update(KEY, {**made, "note": "new"}).obj["note"] == "new"
    assert forms.get(STORED_KEY)["message"] == "new"


def test_fields_are_selected_by_their_names_in_the_form(forms: FormsRegistry) -> None:
    forms.create(EVENTS_EVENT, "default", FRESH)
    wanted = (("regarding.name", "web"), ("reportingController", "example.com/operator"))
    assert len(forms.list(EVENTS_EVENT, Scope(fields=wanted)).items) == 1
    assert forms.list(EVENTS_EVENT, Scope(fields=(("regarding.name", "x"),))).items == ()
    with pytest.raises(ApiError, match=r"field label not supported: involvedObject\.name"):
        forms.list(EVENTS_EVENT, Scope(fields=(("involvedObject.name", "web"),)))


def test_what_is_wrong_is_told_in_the_words_of_the_form(forms: FormsRegistry) -> None:
    with pytest.raises(ApiError, match='unknown field "message"'):
        forms.create(EVENTS_EVENT, "default", {**FRESH, "message": "x"}, STRICT)
    warned = forms.create(EVENTS_EVENT, "default", {**FRESH, "message": "x"})
    assert warned.warnings == ('unknown field "message"',)
    assert "message" not in warned.obj
    with pytest.raises(ApiError, match=r'Event\.events\.k8s\.io "f" is invalid: action: Required'):
        forms.create(EVENTS_EVENT, "default", {**FRESH, "metadata": {"name": "f"}, "action": ""})
    with pytest.raises(ApiError) as caught:
        forms.create(EVENTS_EVENT, "default", {**FRESH, "apiVersion": "v1", "kind": "Event"})
    assert caught.value.code == 400


async def test_a_watch_shows_the_form(forms: FormsRegistry) -> None:
    events = forms.watch(EVENTS_EVENT, ALL, since=forms.revision())
    forms.create(EVENTS_EVENT, "default", FRESH)
    async with asyncio.timeout(10):
        event = await anext(aiter(events))
    assert (event.type, event.obj["note"]) == ("ADDED", "it is bound")
    forms.delete(KEY)
    assert [one.obj["note"] for one in events.waiting(5)] == ["it is bound"]
    await events.aclose()


def test_all_other_kinds_pass_through(forms: FormsRegistry) -> None:
    made = forms.create(CONFIGMAP, "default", {"metadata": {"name": "a"}}).obj
    key = ObjectKey(CONFIGMAP, "default", "a")
    assert forms.get(key) == made
    assert forms.patch(key, {"data": {"x": "y"}}, "merge").obj["data"] == {"x": "y"}
    assert "data" not in forms.update(key, {"metadata": {"name": "a"}}).obj
    assert forms.delete(key).gone
    assert forms.list(CONFIGMAP, ALL).items == ()
    assert forms.kinds.for_resource("events.k8s.io", "v1", "events") == EVENTS_EVENT
