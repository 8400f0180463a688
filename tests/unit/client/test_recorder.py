"""How Emits become Events."""

from __future__ import annotations

import random
import re
from datetime import datetime, timezone

import pytest

from nodrop.client.actions import Create, Emit, Patch
from nodrop.client.recorder import EventRecorder
from nodrop.events import Reason
from nodrop.model.errors import ApiError, forbidden, not_found
from nodrop.model.kinds import EVENT
from nodrop.model.meta import Obj

POD: Obj = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
}
NODE: Obj = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u2"}}


class Clock:
    def __init__(self) -> None:
        self.second = 0

    def now(self) -> datetime:
        return datetime(2026, 11, 23, 10, 0, self.second, tzinfo=timezone.utc)


def recorder(clock: Clock | None = None) -> EventRecorder:
    return EventRecorder("agent", clock or Clock(), random.Random(1))


def emit(message: str = "gone", about: Obj = POD) -> Emit:
    return Emit(about, "Warning", Reason.KILLING, message)


def test_the_first_is_a_create() -> None:
    action = recorder().record(emit())
    assert isinstance(action, Create)
    event = action.obj
    assert re.fullmatch(r"web\.[0-9a-f]{16}", event["metadata"].pop("name"))
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "shop"},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "web",
            "namespace": "shop",
            "uid": "u1",
            "resourceVersion": "7",
        },
        "reason": "Killing",
        "message": "gone",
        "source": {"component": "agent"},
        "reportingComponent": "agent",
        "firstTimestamp": "2026-11-23T10:00:00Z",
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "count": 1,
        "type": "Warning",
    }


def test_repeats_count_up_and_others_do_not() -> None:
    clock = Clock()
    recording = recorder(clock)
    first = recording.record(emit())
    assert isinstance(first, Create)
    for count in (2, 3):
        clock.second = count
        again = recording.record(emit())
        assert isinstance(again, Patch)
        assert again.key == (EVENT, "shop", first.obj["metadata"]["name"])
        assert again.patch == {"count": count, "lastTimestamp": f"2026-11-23T10:00:0{count}Z"}
    assert isinstance(recording.record(emit("other message")), Create)
    assert isinstance(recording.record(emit(about=NODE)), Create)


def test_events_about_cluster_scoped_objects_are_in_default() -> None:
    action = recorder().record(emit(about=NODE))
    assert isinstance(action, Create)
    assert action.obj["metadata"]["namespace"] == "default"


def test_memory_is_bounded() -> None:
    recording = recorder()
    for number in range(5_000):
        recording.record(emit(str(number)))
    assert isinstance(recording.record(emit("0")), Create)
    assert isinstance(recording.record(emit("4999")), Patch)


async def test_a_series_whose_event_has_expired_begins_again() -> None:
    recording, written = recorder(), []

    async def write(action: Create | Patch) -> Obj | None:
        written.append(action)
        if isinstance(action, Patch):
            raise not_found(EVENT, action.key.name)
        return action.obj

    await recording.emit(emit(), write)
    await recording.emit(emit(), write)
    assert [type(action) for action in written] == [Create, Patch, Create]


async def test_a_refused_event_is_logged_and_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    recording = recorder()

    async def refuse(action: Create | Patch) -> Obj | None:
        raise forbidden(EVENT, "x", "namespace is being terminated")

    await recording.emit(emit(), refuse)
    assert "was not recorded" in caplog.text
    assert isinstance(recording.record(emit()), Create)
    assert issubclass(ApiError, Exception)
