"""Lists in pages at one revision, field selectors, and watches that lag."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from nodrop.client.protocol import ALL, Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, EVENT, NAMESPACE, POD, SECRET, Kind
from nodrop.model.meta import Obj, Revision, selector_from_map
from nodrop.registry.selectors import matcher
from nodrop.registry.watch import Hub
from nodrop.store.protocol import ABSENT, Write
from tests.unit.registry.world import World, key


def config(name: str, **labels: str) -> Obj:
    metadata = {"name": name, "namespace": "default", "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def names(items: tuple[Obj, ...]) -> str:
    return "".join(item["metadata"]["name"] for item in items)


def test_pages_show_one_revision(world: World) -> None:
    for name in "bcdfg":
        world.create(config(name))
    first = world.registry.list(CONFIGMAP, ALL, limit=2)
    world.create(config("e"))
    world.delete(CONFIGMAP, "g")
    second = world.registry.list(CONFIGMAP, ALL, limit=2, continue_token=first.continue_token)
    third = world.registry.list(CONFIGMAP, ALL, limit=2, continue_token=second.continue_token)
    assert [names(page.items) for page in (first, second, third)] == ["bc", "df", "g"]
    assert first.revision == second.revision == third.revision
    assert [page.remaining for page in (first, second, third)] == [3, 1, None]
    assert third.continue_token == ""
    assert names(world.registry.list(CONFIGMAP, ALL).items) == "bcdef"
    assert names(world.registry.list(CONFIGMAP, ALL, at=first.revision).items) == "bcdfg"


def test_pages_with_a_selector_tell_no_remaining_count(world: World) -> None:
    for name in "abcd":
        world.create(config(name, team="red" if name in "acd" else "blue"))
    scope = Scope(labels=selector_from_map({"team": "red"}))
    first = world.registry.list(CONFIGMAP, scope, limit=2)
    assert (names(first.items), first.remaining) == ("ac", None)
    second = world.registry.list(CONFIGMAP, scope, limit=2, continue_token=first.continue_token)
    assert names(second.items) == "d"


def test_a_token_too_old_or_not_ours(world: World) -> None:
    for name in "abc":
        world.create(config(name))
    token = world.registry.list(CONFIGMAP, ALL, limit=1).continue_token
    world.create(config("d"))
    world.store.compact(world.store.revision)
    for given, code in ((token, 410), ("nonsense", 400), ("é", 400)):
        with pytest.raises(ApiError) as caught:
            world.registry.list(CONFIGMAP, ALL, limit=1, continue_token=given)
        assert caught.value.code == code


def test_a_revision_from_the_future_is_504(world: World) -> None:
    with pytest.raises(ApiError, match="Too large resource version: 999"):
        world.registry.list(CONFIGMAP, ALL, at=Revision(999))


POD_OBJECT: Obj = {
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"nodeName": "localhost", "restartPolicy": "Always"},
    "status": {"phase": "Running", "podIP": "127.64.0.2", "podIPs": [{"ip": "127.64.0.2"}]},
}
EVENT_OBJECT: Obj = {
    "metadata": {"name": "web.1", "namespace": "shop"},
    "involvedObject": {"kind": "Pod", "name": "web", "namespace": "shop", "uid": "u"},
    "reason": "Killing",
    "source": {"component": "agent"},
    "type": "Normal",
}


@pytest.mark.parametrize(
    ("kind", "obj", "path", "value", "matches"),
    [
        (POD, POD_OBJECT, "metadata.name", "web", True),
        (POD, POD_OBJECT, "metadata.namespace", "other", False),
        (POD, POD_OBJECT, "spec.nodeName", "localhost", True),
        (POD, POD_OBJECT, "spec.hostNetwork", "false", True),
        (POD, POD_OBJECT, "spec.hostNetwork", "true", False),
        (POD, POD_OBJECT, "spec.serviceAccountName", "", True),
        (POD, POD_OBJECT, "status.phase", "Running", True),
        (POD, POD_OBJECT, "status.podIPs", "127.64.0.2", True),
        (EVENT, EVENT_OBJECT, "involvedObject.name", "web", True),
        (EVENT, EVENT_OBJECT, "involvedObject.uid", "other", False),
        (EVENT, EVENT_OBJECT, "source", "agent", True),
        (EVENT, EVENT_OBJECT, "reason", "Killing", True),
        (
            NAMESPACE,
            {"metadata": {}, "status": {"phase": "Active"}},
            "status.phase",
            "Active",
            True,
        ),
        (SECRET, {"metadata": {}, "type": "Opaque"}, "type", "Opaque", True),
    ],
)
def test_field_selectors(kind: Kind, obj: Obj, path: str, value: str, matches: bool) -> None:
    assert matcher(kind, Scope(fields=((path, value),)))(obj) is matches


async def test_a_watcher_that_lags_is_sent_away(world: World) -> None:
    hub = Hub(world.store, queue_limit=3)
    slow = hub.open(CONFIGMAP, ALL, since=world.store.revision)
    quick = hub.open(CONFIGMAP, ALL, since=world.store.revision)

    def write(name: str) -> None:
        hub.publish(world.store.commit(Write(key(CONFIGMAP, name), config(name), ABSENT)))

    write("a")
    async with asyncio.timeout(20):
        assert (await anext(slow)).obj["metadata"]["name"] == "a"
        for name in "bcde":
            write(name)
            await anext(quick)
        for _ in range(2):  # it stays ended
            with pytest.raises(ApiError, match="too old resource version") as caught:
                await anext(slow)
            assert (caught.value.code, caught.value.reason) == (410, "Expired")
        write("f")
        assert (await anext(quick)).obj["metadata"]["name"] == "e"


async def test_an_event_arrives_without_waiting_for_a_timer(world: World) -> None:
    stream = world.registry.watch(CONFIGMAP, ALL, since=world.registry.revision())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        reading = group.create_task(anext(stream))
        await asyncio.sleep(0)
        world.create(config("a"))
        for _ in range(3):  # turns of the loop: waking the reader, finishing its task
            await asyncio.sleep(0)
        assert reading.done()
    assert reading.result().obj is world.get(CONFIGMAP, "a")  # shared, not copied


async def test_a_cancelled_step_loses_nothing(world: World) -> None:
    stream = world.registry.watch(CONFIGMAP, ALL, since=world.registry.revision())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await anext(stream)
    world.create(config("a"))
    async with asyncio.timeout(20):
        assert (await anext(stream)).obj["metadata"]["name"] == "a"


async def test_a_closed_stream_releases_its_reader(world: World) -> None:
    stream = world.registry.watch(CONFIGMAP, ALL, since=world.registry.revision())
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:

        async def read() -> list[Any]:
            return [event async for event in stream]

        reading = group.create_task(read())
        await asyncio.sleep(0)
        await stream.aclose()
    assert reading.result() == []


async def test_replayed_and_live_watches_of_a_scope_agree(world: World) -> None:
    """Whoever starts a watch later from the same revision sees the same events."""
    rng = random.Random(7)
    scope = Scope(labels=selector_from_map({"team": "red"}))
    since = world.registry.revision()
    live = world.registry.watch(CONFIGMAP, scope, since=since)
    world.create(config("first", team="red"))
    seen = [await anext(live)]
    for _ in range(300):
        name, team = rng.choice("abc"), rng.choice(["red", "blue"])
        if not world.exists(CONFIGMAP, name):
            world.create(config(name, team=team))
        elif rng.random() < 0.3:
            world.delete(CONFIGMAP, name)
        else:
            world.patch(CONFIGMAP, name, {"metadata": {"labels": {"team": team}}})
    world.create(config("last", team="red"))

    async def until_last(stream: Any) -> list[Any]:
        events = []
        async for event in stream:
            events.append(event)
            if event.obj["metadata"]["name"] == "last":
                break
        return events

    async with asyncio.timeout(20):
        seen += await until_last(live)
        assert await until_last(world.registry.watch(CONFIGMAP, scope, since=since)) == seen
    kept: dict[str, Obj] = {}
    for event in seen:
        name = event.obj["metadata"]["name"]
        assert (event.type == "ADDED") == (name not in kept)
        if event.type == "DELETED":
            del kept[name]
        else:
            kept[name] = event.obj
    listed = world.registry.list(CONFIGMAP, scope).items
    assert kept == {one["metadata"]["name"]: one for one in listed}
