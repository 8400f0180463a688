"""Events that are pushed: seen when the write returns, and never a writer's trouble."""

from __future__ import annotations

import asyncio
import random

import pytest

from nodrop.client.actions import Create, Delete
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.client.recorder import EventRecorder
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import Obj
from nodrop.registry.local import LocalClient
from tests.unit.registry.world import World, key


def config(name: str) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def test_a_write_is_in_the_cache_when_it_returns(world: World) -> None:
    client = LocalClient(world.registry, EventRecorder("test", world.clock, random.Random(1)))
    await client.apply(Create(config("before")))
    cache, heard = Cache(client, (CONFIGMAP,)), list[str]()
    cache.subscribe(lambda event, _: heard.append(f"{event.type} {event.obj['metadata']['name']}"))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.synced()
        await asyncio.sleep(0)  # the watch begins at the first look for an event
        await client.apply(Create(config("one")))
        assert heard == ["ADDED before", "ADDED one"]
        assert cache.get(key(CONFIGMAP, "one")) is world.get(CONFIGMAP, "one")
        await client.apply(Delete(key(CONFIGMAP, "one")))
        assert cache.get(key(CONFIGMAP, "one")) is None
        running.cancel()


async def test_whoever_fails_to_take_an_event_hurts_neither_the_writer_nor_others(
    world: World,
) -> None:
    client = LocalClient(world.registry, EventRecorder("test", world.clock, random.Random(1)))
    broken, sound = Cache(client, (CONFIGMAP,)), Cache(client, (CONFIGMAP,))

    def fail(event: WatchEvent, _before: Obj | None) -> None:
        raise AssertionError(f"of {event.obj['metadata']['name']}")

    broken.subscribe(fail)
    async with asyncio.TaskGroup() as group:
        failing = group.create_task(_ends_with(broken, "of one"))
        running = group.create_task(sound.run())
        await sound.synced()
        await broken.synced()
        await asyncio.sleep(0)
        await client.apply(Create(config("one")))
        assert sound.get(key(CONFIGMAP, "one")) is not None
        await failing
        running.cancel()


async def _ends_with(cache: Cache, message: str) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await cache.run()
    assert raised.group_contains(AssertionError, match=message)
