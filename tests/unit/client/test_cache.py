"""The cache against a scripted API: what it holds, whom it tells, how it recovers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Literal

import pytest

from nodrop.client.actions import Action
from nodrop.client.cache import Cache
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.model.errors import ApiError, expired, not_found
from nodrop.model.kinds import CONFIGMAP, LEASE, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision


def config(name: str, revision: int, owner: str = "") -> Obj:
    meta: Obj = {"name": name, "namespace": "default", "resourceVersion": str(revision)}
    if owner:
        meta["ownerReferences"] = [{"uid": owner, "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": meta | {"uid": f"uid-{name}"},
    }


def key(name: str) -> ObjectKey:
    return ObjectKey(CONFIGMAP, "default", name)


class ScriptedClient:
    """Lists and watches from a script: each list is followed by one watch."""

    def __init__(self, *rounds: tuple[Page, list[WatchEvent | ApiError]]) -> None:
        self.rounds = list(rounds)
        self.events: list[WatchEvent | ApiError] = []

    async def get(self, key: ObjectKey) -> Obj:
        raise NotImplementedError

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        page, self.events = self.rounds.pop(0)
        return page

    async def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        for event in self.events:
            if isinstance(event, ApiError):
                raise event
            yield event
        await asyncio.Event().wait()

    async def apply(self, action: Action) -> Obj | None:
        raise NotImplementedError


def page(revision: int, *items: Obj) -> Page:
    return Page(items, Revision(revision))


def event(type_: Literal["ADDED", "MODIFIED", "DELETED"], obj: Obj) -> WatchEvent:
    return WatchEvent(type_, obj, Revision(int(obj["metadata"]["resourceVersion"])))


async def followed(client: ScriptedClient, until: int) -> tuple[Cache, list[tuple[str, str]]]:
    """A cache that has seen revision ``until``, and what its subscriber was told."""
    cache = Cache(client, [CONFIGMAP])
    told: list[tuple[str, str]] = []
    cache.subscribe(lambda seen, before: told.append((seen.type, seen.obj["metadata"]["name"])))
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.synced()
        await cache.wait_seen(config("any", until))
        running.cancel()
    return cache, told


async def test_list_then_watch() -> None:
    script = [event("ADDED", config("b", 3)), event("MODIFIED", config("a", 4))]
    client = ScriptedClient((page(2, config("a", 1)), [*script, event("DELETED", config("b", 5))]))
    cache, told = await followed(client, 5)
    assert told == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert cache.list(CONFIGMAP) == [config("a", 4)]
    assert cache.list(CONFIGMAP, "other") == []
    assert cache.get(key("b")) is None
    assert cache.seen(CONFIGMAP) == 5


async def test_after_410_the_difference_is_told() -> None:
    client = ScriptedClient(
        (page(3, config("a", 1), config("b", 2), config("c", 3)), [expired(9, 3)]),
        (page(9, config("b", 2), config("c", 8), config("d", 9)), []),
    )
    cache, told = await followed(client, 9)
    assert told[3:] == [("DELETED", "a"), ("MODIFIED", "c"), ("ADDED", "d")]
    assert [obj["metadata"]["name"] for obj in cache.list(CONFIGMAP)] == ["b", "c", "d"]


async def test_an_object_made_again_in_between_is_told_as_such() -> None:
    """A new uid under an old name is another object: its end must not be missed."""
    again = config("a", 7)
    again["metadata"]["uid"] = "uid-other"
    client = ScriptedClient((page(1, config("a", 1)), [expired(7, 1)]), (page(7, again), []))
    _, told = await followed(client, 7)
    assert told == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "a")]


async def test_objects_by_owner() -> None:
    client = ScriptedClient(
        (
            page(3, config("b", 1, "rs"), config("a", 2, "rs"), config("c", 3)),
            [event("MODIFIED", config("b", 4)), event("MODIFIED", config("c", 5, "rs"))],
        )
    )
    cache, _ = await followed(client, 5)
    names = [obj["metadata"]["name"] for obj in cache.controlled_by(CONFIGMAP, "rs")]
    assert names == ["a", "c"]
    assert cache.controlled_by(CONFIGMAP, "other") == []


async def test_filling_reads_once_and_passes_over_kinds_that_are_not_served() -> None:
    """A newer command line may ask an older engine."""

    class Older(ScriptedClient):
        async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
            if kind == LEASE:
                raise not_found(kind, "")
            return await super().list(kind, scope)

    cache = Cache(Older((page(3, config("a", 2)), [])), [LEASE, CONFIGMAP])
    await cache.fill()
    assert cache.get(key("a")) == config("a", 2)
    assert list(cache.list(LEASE)) == []


async def test_filling_fails_when_the_engine_does() -> None:
    class Broken(ScriptedClient):
        async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
            raise ApiError(500, "InternalError", "broken")

    with pytest.raises(ApiError, match="broken"):
        await Cache(Broken(), [CONFIGMAP]).fill()
