"""Runs the garbage collector over all kinds that are served now, custom ones included."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from nodrop.client.cache import Cache
from nodrop.client.protocol import Client
from nodrop.controllers.garbage.controller import GarbageController
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CUSTOMRESOURCEDEFINITION, Kind
from nodrop.registry.interface import Registry


async def collect_garbage(
    registry: Registry,
    client: Client,
    cache: Cache,
    run: Callable[[GarbageController, Cache], Awaitable[None]],
) -> None:
    """Run the collector until cancelled; it starts anew when the set of kinds changes.

    ``cache`` holds the built-in kinds. As soon as there are others the collector gets a cache of
    its own with all of them: nobody else has a use for custom objects.
    """
    while True:
        kinds = registry.kinds.stored
        if not registry.kinds.custom:
            await _until_changed(registry, client, kinds, run(GarbageController(kinds), cache))
            continue
        wide = Cache(client, kinds)
        controller = GarbageController(kinds)
        await _until_changed(registry, client, kinds, wide.run(), run(controller, wide))


# Private


async def _until_changed(
    registry: Registry, client: Client, kinds: tuple[Kind, ...], *work: Awaitable[None]
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_awaited(one)) for one in work]
        await _changed(registry, client, kinds)
        for task in tasks:
            task.cancel()


async def _awaited(work: Awaitable[None]) -> None:
    await work


async def _changed(registry: Registry, client: Client, kinds: tuple[Kind, ...]) -> None:
    """Return once other kinds are served than ``kinds``."""
    try:
        since = registry.revision()
        if registry.kinds.stored != kinds:
            return
        async for _ in client.watch(CUSTOMRESOURCEDEFINITION, since=since):
            if registry.kinds.stored != kinds:
                return
    except ApiError:
        return  # too far behind: look again
