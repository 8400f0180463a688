"""What every Client must do, in process and over HTTP alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nodrop.client.actions import Create, Delete, Emit, Patch, Update
from nodrop.client.cache import Cache
from nodrop.client.protocol import ALL, Client, Scope, WatchEvent
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, DEPLOYMENT, EVENT, POD, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, key_of, revision_of, selector_from_map
from nodrop.store.sqlite import SqliteStore

WAIT_S = 20


def config(name: str, **labels: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "data": {"key": "value"},
    }


def pod(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "app:1", "command": ["app"]}]},
    }


def deployment(name: str) -> Obj:
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod("x")["spec"]},
        },
    }


async def created(client: Client, obj: Obj) -> Obj:
    written = await client.apply(Create(obj))
    assert written is not None
    return written


def key(kind: Kind, name: str) -> ObjectKey:
    return ObjectKey(kind, "default", name)


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[WatchEvent]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(events) for _ in range(count)]


def told(events: list[WatchEvent]) -> list[tuple[str, str]]:
    return [(event.type, event.obj["metadata"]["name"]) for event in events]


async def test_what_was_created_can_be_read(client: Client) -> None:
    written = await created(client, config("settings"))
    assert written["metadata"]["uid"]
    assert written["metadata"]["creationTimestamp"] == "2026-11-23T10:00:00Z"
    assert await client.get(key(CONFIGMAP, "settings")) == written


async def test_a_missing_object_is_404_with_details(client: Client) -> None:
    with pytest.raises(ApiError) as caught:
        await client.get(key(DEPLOYMENT, "none"))
    assert caught.value.code == 404
    assert caught.value.reason == "NotFound"
    assert caught.value.message == 'deployments.apps "none" not found'
    assert caught.value.details == {"name": "none", "group": "apps", "kind": "deployments"}


async def test_a_second_create_is_409(client: Client) -> None:
    await created(client, config("settings"))
    with pytest.raises(ApiError, match='configmaps "settings" already exists') as caught:
        await client.apply(Create(config("settings")))
    assert (caught.value.code, caught.value.reason) == (409, "AlreadyExists")


async def test_a_namespace_that_is_missing_is_404(client: Client) -> None:
    lost = config("settings")
    lost["metadata"]["namespace"] = "nowhere"
    with pytest.raises(ApiError, match='namespaces "nowhere" not found') as caught:
        await client.apply(Create(lost))
    assert caught.value.code == 404


async def test_an_invalid_object_is_422_with_causes(client: Client) -> None:
    wrong = deployment("web")
    wrong["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}
    with pytest.raises(ApiError) as caught:
        await client.apply(Create(wrong))
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    fields = [cause["field"] for cause in caught.value.details["causes"]]
    assert fields == ["spec.strategy.rollingUpdate.maxUnavailable"]


async def test_generated_names_differ(client: Client) -> None:
    nameless = config("x")
    nameless["metadata"] = {"generateName": "settings-", "namespace": "default"}
    names = {(await created(client, nameless))["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("settings-") and len(name) == 14 for name in names)


async def test_the_object_handed_in_stays_the_callers(client: Client) -> None:
    mine = config("settings")
    await created(client, mine)
    assert mine == config("settings")
    mine["data"]["key"] = "changed"
    assert (await client.get(key(CONFIGMAP, "settings")))["data"] == {"key": "value"}


async def test_update_and_the_stale_update(client: Client) -> None:
    first = await created(client, config("settings"))
    second = await client.apply(Update({**first, "data": {"key": "new"}}))
    assert second is not None
    assert second["data"] == {"key": "new"}
    assert revision_of(second) > revision_of(first)
    with pytest.raises(ApiError, match="the object has been modified") as caught:
        await client.apply(Update({**first, "data": {"key": "newest"}}))
    assert (caught.value.code, caught.value.reason) == (409, "Conflict")


async def test_an_update_that_changes_nothing_keeps_the_version(client: Client) -> None:
    first = await created(client, deployment("web"))
    again = await client.apply(Update(first))
    patched = await client.apply(Patch(key_of(first), {"spec": {"replicas": 1}}))
    assert again == first == patched


async def test_status_and_the_rest_are_written_apart(client: Client) -> None:
    first = await created(client, deployment("web"))
    changed: dict[str, Any] = {"spec": {"replicas": 7}, "status": {"replicas": 3}}
    status = await client.apply(Patch(key_of(first), changed, subresource="status"))
    assert status is not None
    assert (status["spec"]["replicas"], status["status"]["replicas"]) == (1, 3)
    assert status["metadata"]["generation"] == 1
    main = await client.apply(Patch(key_of(first), changed | {"status": {"replicas": 9}}))
    assert main is not None
    assert (main["spec"]["replicas"], main["status"]["replicas"]) == (7, 3)
    assert main["metadata"]["generation"] == 2


async def test_scale(client: Client) -> None:
    first = await created(client, deployment("web"))
    scale = await client.apply(Patch(key_of(first), {"spec": {"replicas": 4}}, subresource="scale"))
    assert scale is not None
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 4)
    assert scale["status"]["selector"] == "app=web"
    assert (await client.get(key_of(first)))["spec"]["replicas"] == 4


async def test_list_by_namespace_labels_and_fields(client: Client) -> None:
    for name, team in (("b", "red"), ("a", "red"), ("c", "blue")):
        await created(client, config(name, team=team))
    everything = await client.list(CONFIGMAP)
    assert [one["metadata"]["name"] for one in everything.items] == ["a", "b", "c"]
    assert everything.revision == revision_of(everything.items[2])
    red = await client.list(CONFIGMAP, Scope("default", selector_from_map({"team": "red"})))
    assert [one["metadata"]["name"] for one in red.items] == ["a", "b"]
    named = await client.list(CONFIGMAP, Scope(fields=(("metadata.name", "c"),)))
    assert [one["metadata"]["name"] for one in named.items] == ["c"]
    assert (await client.list(CONFIGMAP, Scope("kube-system"))).items == ()


async def test_an_unknown_field_selector_is_400(client: Client) -> None:
    with pytest.raises(ApiError, match=r"field label not supported: spec\.x") as caught:
        await client.list(CONFIGMAP, Scope(fields=(("spec.x", "1"),)))
    assert caught.value.code == 400


async def test_watch_tells_what_follows_a_list(client: Client) -> None:
    await created(client, config("before"))
    since = (await client.list(CONFIGMAP)).revision
    events = client.watch(CONFIGMAP, since=since)
    first = await created(client, config("settings"))
    changed = await client.apply(Patch(key_of(first), {"data": {"key": "new"}}))
    await client.apply(Delete(key_of(first)))
    seen = await take(events, 3)
    assert told(seen) == [
        ("ADDED", "settings"),
        ("MODIFIED", "settings"),
        ("DELETED", "settings"),
    ]
    assert [seen[0].obj, seen[1].obj] == [first, changed]
    assert [event.revision for event in seen] == [since + 1, since + 2, since + 3]
    assert revision_of(seen[2].obj) == since + 3


async def test_watch_waits_for_what_comes(client: Client) -> None:
    events = client.watch(CONFIGMAP, since=(await client.list(CONFIGMAP)).revision)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(take(events, 1))
        await asyncio.sleep(0)
        await created(client, config("settings"))
    assert told(reading.result()) == [("ADDED", "settings")]


async def test_watch_of_a_selector_tells_of_entering_and_leaving(client: Client) -> None:
    scope = Scope("default", selector_from_map({"team": "red"}))
    events = client.watch(CONFIGMAP, scope, since=(await client.list(CONFIGMAP)).revision)
    first = await created(client, config("settings", team="blue"))
    await client.apply(Patch(key_of(first), {"metadata": {"labels": {"team": "red"}}}))
    await client.apply(Patch(key_of(first), {"data": {"key": "new"}}))
    left = await client.apply(Patch(key_of(first), {"metadata": {"labels": {"team": "blue"}}}))
    await client.apply(Delete(key_of(first)))
    await created(client, config("other", team="red"))
    seen = await take(events, 4)
    assert told(seen) == [
        ("ADDED", "settings"),
        ("MODIFIED", "settings"),
        ("DELETED", "settings"),
        ("ADDED", "other"),
    ]
    assert left is not None
    assert seen[2].revision == revision_of(left)


async def test_a_watch_from_a_forgotten_revision_is_410(client: Client, store: SqliteStore) -> None:
    since = (await client.list(CONFIGMAP)).revision
    for name in "abc":
        await created(client, config(name))
    store.compact(store.revision)
    with pytest.raises(ApiError) as caught:
        await take(client.watch(CONFIGMAP, since=since), 1)
    assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_delete_checks_uid_and_version(client: Client) -> None:
    first = await created(client, config("settings"))
    for wrong in (
        Delete(key_of(first), uid=_uid("other")),
        Delete(key_of(first), revision=Revision(1)),
    ):
        with pytest.raises(ApiError, match="Precondition failed") as caught:
            await client.apply(wrong)
        assert caught.value.code == 409
    right = Delete(key_of(first), uid=_uid(first["metadata"]["uid"]), revision=revision_of(first))
    assert await client.apply(right) is None
    with pytest.raises(ApiError, match="not found"):
        await client.apply(right)


async def test_a_running_pod_lives_on_for_its_grace_period(client: Client) -> None:
    first = await created(client, pod("web"))
    running = {"status": {"phase": "Running", "startTime": "2026-11-23T10:00:00Z"}}
    await client.apply(Patch(key_of(first), running, subresource="status"))
    marked = await client.apply(Delete(key_of(first)))
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"] == "2026-11-23T10:00:30Z"
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 30
    assert await client.apply(Delete(key_of(first), grace_period_s=0)) is None
    assert (await client.list(POD)).items == ()


async def test_finalizers_hold_an_object(client: Client) -> None:
    held = config("settings")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    first = await created(client, held)
    marked = await client.apply(Delete(key_of(first)))
    assert marked is not None
    assert marked["metadata"]["deletionTimestamp"] == "2026-11-23T10:00:00Z"
    await client.apply(Patch(key_of(first), {"metadata": {"finalizers": None}}))
    assert (await client.list(CONFIGMAP)).items == ()


async def test_foreground_deletion_waits_for_dependents(client: Client) -> None:
    first = await created(client, deployment("web"))
    marked = await client.apply(Delete(key_of(first), propagation="Foreground"))
    assert marked is not None
    assert marked["metadata"]["finalizers"] == ["foregroundDeletion"]


async def test_repeated_events_are_counted(client: Client) -> None:
    first = await created(client, deployment("web"))
    for message in ("up", "up", "down"):
        emit = Emit(first, "Normal", Reason.SCALING_REPLICA_SET, message)
        assert await client.apply(emit) is None
    events = sorted((await client.list(EVENT)).items, key=lambda event: str(event["message"]))
    assert [(event["message"], event["count"]) for event in events] == [("down", 1), ("up", 2)]
    about = events[0]["involvedObject"]
    assert (about["kind"], about["name"], about["uid"]) == (
        "Deployment",
        "web",
        first["metadata"]["uid"],
    )


async def test_a_cache_follows(client: Client) -> None:
    await created(client, config("before"))
    cache = Cache(client, [CONFIGMAP])
    async with asyncio.timeout(WAIT_S), asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.synced()
        assert len(cache.list(CONFIGMAP)) == 1
        first = await created(client, config("settings"))
        await cache.wait_seen(first)
        assert cache.get(key_of(first)) == first
        await client.apply(Delete(key_of(first)))
        last = await created(client, config("last"))
        await cache.wait_seen(last)
        assert cache.get(key_of(first)) is None
        running.cancel()


async def test_an_event_in_a_namespace_that_is_gone_stops_nothing(client: Client) -> None:
    ghost = config("ghost")
    ghost["metadata"] |= {"namespace": "gone", "uid": "1"}
    assert await client.apply(Emit(ghost, "Warning", Reason.FAILED, "too late")) is None
    assert (await client.list(EVENT, ALL)).items == ()


def _uid(text: str) -> Any:
    return text
