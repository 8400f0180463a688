"""Plays a scenario's operations, as a user would, and its faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from nodrop.client.protocol import Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, INGRESS, POD, PODDISRUPTIONBUDGET, SERVICE, Kind
from nodrop.model.meta import Obj, ObjectKey, key_of
from nodrop.registry.verbs import Registry
from nodrop.sim import faults, manifests
from nodrop.sim.scenario import Operation, Scenario
from nodrop.sim.world import World

_TRY_AGAIN_S = 0.2
_TRANSIENT = (409, 500)


async def play(world: World) -> None:
    """Create everything, then carry out operations in order while faults come and go."""
    async with asyncio.TaskGroup() as group:
        for fault in world.scenario.faults:
            group.create_task(faults.strike(world, fault), name=fault.what)
        await _create(world)
        first, *others = world.stories
        for name in others:
            group.create_task(_operate(world, name), name=f"user of {name}")
        await _operate(world, first)


async def _operate(world: World, name: str) -> None:
    for operation in sorted(world.stories[name].operations, key=lambda one: one.at_s):
        await asyncio.sleep(operation.at_s - asyncio.get_running_loop().time())
        await _as_user(world, partial(_do, world, name, operation))


async def _create(world: World) -> None:
    objects: list[tuple[Kind, Obj]] = [
        *((SERVICE, manifests.service(name)) for name in world.stories),
        (INGRESS, manifests.ingress(world.stories)),
    ]
    for name, story in world.stories.items():
        objects.append((DEPLOYMENT, manifests.deployment(story, name)))
        if story.min_available is not None:
            objects.append((PODDISRUPTIONBUDGET, manifests.budget(story, name)))
    for kind, obj in objects:
        await _as_user(world, partial(_create_one, kind, obj))


def _create_one(kind: Kind, obj: Obj, registry: Registry) -> None:
    registry.create(kind, manifests.NAMESPACE, obj)


async def _as_user(world: World, act: Callable[[Registry], None]) -> None:
    """Do it as soon as the API server answers; a conflict or a full disk is tried again."""
    while True:
        if world.plane is not None and world.plane.gate.open:
            world.judge.by_user = True
            try:
                act(world.plane.registry)
                return
            except ApiError as error:
                if error.code not in _TRANSIENT:
                    raise
                world.note(f"user: {error}; trying again")
            except asyncio.CancelledError:
                if world.plane is not None:
                    raise
            finally:
                world.judge.by_user = False
        await asyncio.sleep(_TRY_AGAIN_S)


def _do(world: World, name: str, operation: Operation, registry: Registry) -> None:
    world.note(f"user: {operation.what} {operation.number} of {name}")
    if operation.what == "delete-pod":
        _delete_pod(registry, name, operation.number)
        return
    if operation.what == "evict":
        _evict(world, registry, name, operation.number)
        return
    patch = {"spec": _spec_patch(world.stories[name], name, operation)}
    registry.patch(manifests.key_of(name), patch, "merge")


def _spec_patch(scenario: Scenario, name: str, operation: Operation) -> Obj:
    number = operation.number
    match operation.what:
        case "roll":
            return {"template": manifests.template(scenario, name, number)}
        case "scale":
            return {"replicas": number}
        case "pause" | "resume":
            return {"paused": operation.what == "pause"}
        case "strategy":
            fields = manifests.strategy_fields(scenario.strategies[number])
            if fields["strategy"]["type"] == "Recreate":
                fields["strategy"]["rollingUpdate"] = None
            return fields
        case "delete-pod" | "evict":
            raise AssertionError("not a change of the Deployment")


def _delete_pod(registry: Registry, name: str, number: int) -> None:
    if key := _pod_key(registry, name, number):
        registry.delete(key)


def _evict(world: World, registry: Registry, name: str, number: int) -> None:
    """As ``kubectl drain`` does it, once: what the budget refuses stays."""
    key = _pod_key(registry, name, number)
    if key is None:
        return
    metadata = {"name": key.name, "namespace": key.namespace}
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    world.judge.evicting = key.name
    try:
        registry.evict(key, eviction)
    except ApiError as error:
        if error.code != 429:
            raise
        world.note(f"user: {error}")
    finally:
        world.judge.evicting = ""


def _pod_key(registry: Registry, name: str, number: int) -> ObjectKey | None:
    listed = registry.list(POD, Scope(manifests.NAMESPACE)).items
    pods = [pod for pod in listed if manifests.deployment_of(pod["metadata"]["name"]) == name]
    return key_of(pods[number % len(pods)]) if pods else None
