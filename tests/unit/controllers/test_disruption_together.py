"""A PodDisruptionBudget restrains evictions, and nothing else (semantics 4.5)."""

from __future__ import annotations

import pytest

from nodrop.client.actions import Delete, Update
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, PODDISRUPTIONBUDGET
from nodrop.model.meta import Obj, ObjectKey, is_deleting, key_of, uid_of
from tests.unit.controllers.engine import WEB, Running, deployment, engine, images, roll_to

BUDGET = ObjectKey(PODDISRUPTIONBUDGET, "default", "web")


def budget(**limit: int | str) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **limit},
    }


def allowed(running: Running) -> int:
    """What the API says, which may be ahead of the cache."""
    number: int = running.registry.get(BUDGET)["status"]["disruptionsAllowed"]
    return number


def counted(running: Running) -> int:
    found = running.cache.get(BUDGET)
    assert found is not None
    number: int = found["status"]["currentHealthy"]
    return number


def evict(running: Running, pod: Obj) -> None:
    key = key_of(pod)
    eviction = {"metadata": {"name": key.name, "namespace": key.namespace}}
    running.registry.evict(key, eviction)


async def started(running: Running, **limit: int | str) -> None:
    await running.write(deployment(1))
    await running.write(budget(**limit))
    await running.until(running.complete)
    await running.until(lambda: running.cache.get(BUDGET) is not None and counted(running) == 3)


async def test_evictions_go_one_by_one() -> None:
    async with engine() as running:
        await started(running, minAvailable=2)
        await running.until(lambda: allowed(running) == 1)
        first, second, _ = running.cache.list(POD)
        evict(running, first)
        with pytest.raises(ApiError) as caught:
            evict(running, second)
        assert caught.value.code == 429
        assert not is_deleting(running.registry.get(key_of(second)))
        await running.until(lambda: allowed(running) == 1)  # the replacement is ready
        assert uid_of(first) not in {uid_of(pod) for pod in running.cache.list(POD)}
        evict(running, second)
        assert is_deleting(running.registry.get(key_of(second)))


async def test_rollouts_scaling_and_deletes_are_not_restrained() -> None:
    async with engine() as running:
        await started(running, maxUnavailable=0)
        await running.until(lambda: allowed(running) == 0)
        with pytest.raises(ApiError):
            evict(running, running.cache.list(POD)[0])
        await roll_to(running, 2)
        assert images(running) == {"web:2"}
        victim = running.cache.list(POD)[0]
        await running.client.apply(Delete(key_of(victim), uid=uid_of(victim)))
        await running.until(
            lambda: uid_of(victim) not in {uid_of(pod) for pod in running.cache.list(POD)}
        )
        await running.until(running.complete)
        found = running.cache.get(WEB)
        assert found is not None
        scaled = {**found, "spec": {**found["spec"], "replicas": 1}}
        written = await running.client.apply(Update(scaled))
        assert written is not None
        await running.cache.wait_seen(written)
        await running.until(running.complete)
        await running.until(lambda: counted(running) == 1)
