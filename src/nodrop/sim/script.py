"""Plays a scenario's operations, as a user would, and its faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from nodrop.client.protocol import Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, INGRESS, POD, PODDISRUPTIONBUDGET, SERVICE, Kind
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.verbs import Registry
from nodrop.sim import faults, manifests
from nodrop.sim.scenario import Operation
from nodrop.sim.world import World

_TRY_AGAIN_S = 0.2
_TRANSIENT = (409, 500)


async def play(world: World) -> None:
    """Create everything, then carry out operations in order while faults come and go."""
    async with asyncio.TaskGroup() as group:
        for fault in world.scenario.faults:
            group.create_task(faults.strike(world, fault), name=fault.what)
        await _create(world)
        for operation in sorted(world.scenario.operations, key=lambda one: one.at_s):
            await asyncio.sleep(operation.at_s - asyncio.get_running_loop().time())
            await _as_user(world, partial(_do, world, operation))


async def _create(world: World) -> None:
    objects: list[tuple[Kind, Obj]] = [
        (SERVICE, manifests.service()),
        (INGRESS, manifests.ingress()),
        (DEPLOYMENT, manifests.deployment(world.scenario)),
    ]
    if world.scenario.min_available is not None:
        objects.append((PODDISRUPTIONBUDGET, manifests.budget(world.scenario)))
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


def _do(world: World, operation: Operation, registry: Registry) -> None:
    world.note(f"user: {operation.what} {operation.number}")
    if operation.what == "delete-pod":
        _delete_pod(registry, operation.number)
        return
    if operation.what == "evict":
        _evict(world, registry, operation.number)
        return
    registry.patch(manifests.KEY, {"spec": _spec_patch(world, operation)}, "merge")


def _spec_patch(world: World, operation: Operation) -> Obj:
    scenario, number = world.scenario, operation.number
    match operation.what:
        case "roll":
            return {"template": manifests.template(scenario, number)}
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


def _delete_pod(registry: Registry, number: int) -> None:
    if key := _pod_key(registry, number):
        registry.delete(key)


def _evict(world: World, registry: Registry, number: int) -> None:
    """As ``kubectl drain`` does it, once: what the budget refuses stays."""
    key = _pod_key(registry, number)
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


def _pod_key(registry: Registry, number: int) -> ObjectKey | None:
    pods = registry.list(POD, Scope(manifests.NAMESPACE)).items
    if not pods:
        return None
    name = pods[number % len(pods)]["metadata"]["name"]
    return ObjectKey(POD, manifests.NAMESPACE, name)
