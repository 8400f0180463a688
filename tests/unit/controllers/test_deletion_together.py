"""Background, foreground and orphan deletion over the real registry (semantics 5.4)."""

from __future__ import annotations

from nodrop.client.actions import Create, Delete, Update
from nodrop.model.kinds import CONFIGMAP, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, controller_of, is_deleting, key_of, uid_of
from tests.unit.controllers.engine import (
    WEB,
    Running,
    assert_at_rest,
    deployment,
    engine,
    images,
    roll_to,
)


async def deployed(running: Running) -> Obj:
    await running.write(deployment(1))
    await running.until(running.complete)
    found = running.cache.get(WEB)
    assert found is not None
    return found


def the_set(running: Running) -> Obj:
    (only,) = running.cache.list(REPLICASET)
    return only


async def test_foreground_the_owner_goes_last() -> None:
    async with engine() as running:
        await deployed(running)
        running.pods_end = False
        await running.client.apply(Delete(WEB, propagation="Foreground"))
        await running.until(lambda: all(is_deleting(pod) for pod in running.cache.list(POD)))
        await assert_at_rest(running)
        held = running.cache.get(WEB)
        assert held is not None, "pods that are still ending hold their owners"
        assert held["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert the_set(running)["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert len(running.cache.list(POD)) == 3, "an ending set replaces nothing"
        running.pods_end = True
        seen_with_sets: list[bool] = []

        def gone() -> bool:
            if running.cache.get(WEB) is None:
                seen_with_sets.append(bool(running.cache.list(REPLICASET)))
            return bool(seen_with_sets)

        await running.until(gone)
        assert seen_with_sets == [False], "the sets went before the deployment"
        assert not running.cache.list(POD)


async def test_foreground_in_mid_rollout_takes_every_set() -> None:
    async with engine() as running:
        await deployed(running)
        await roll_to(running, 2)
        assert len(running.cache.list(REPLICASET)) == 2
        await running.client.apply(Delete(WEB, propagation="Foreground"))
        await running.until(lambda: running.cache.get(WEB) is None)
        assert not running.cache.list(REPLICASET)
        await running.until(lambda: not running.cache.list(POD))


async def test_foreground_waits_for_a_dependents_own_finalizer() -> None:
    async with engine() as running:
        await deployed(running)
        found = the_set(running)
        metadata = {**found["metadata"], "finalizers": ["example.com/hold"]}
        await running.client.apply(Update({**found, "metadata": metadata}))
        await running.client.apply(Delete(WEB, propagation="Foreground"))
        await running.until(lambda: not running.cache.list(POD))
        await assert_at_rest(running)
        assert running.cache.get(WEB) is not None
        held = the_set(running)
        assert held["metadata"]["finalizers"] == ["example.com/hold"]
        metadata = {key: v for key, v in held["metadata"].items() if key != "finalizers"}
        await running.client.apply(Update({**held, "metadata": metadata}))
        await running.until(lambda: running.cache.get(WEB) is None)


async def test_foreground_does_not_wait_for_a_dependent_that_blocks_nothing() -> None:
    """blockOwnerDeletion is what holds an owner; this one is collected afterwards."""
    async with engine() as running:
        owner = await running.client.apply(Create(configmap("owner")))
        assert owner is not None
        loose = reference(owner, block=False)
        held = configmap("loose", ownerReferences=[loose], finalizers=["example.com/hold"])
        written = await running.write(held)
        await running.cache.wait_seen(written)
        await running.client.apply(Delete(key_of(owner), propagation="Foreground"))
        await running.until(lambda: running.cache.get(key_of(owner)) is None)
        await running.until(lambda: is_deleting(running.cache.get(key_of(written)) or written))


async def test_orphan_leaves_everything_running() -> None:
    async with engine() as running:
        before = await deployed(running)
        pods = {uid_of(pod) for pod in running.cache.list(POD)}
        await running.client.apply(Delete(WEB, propagation="Orphan"))
        await running.until(lambda: running.cache.get(WEB) is None)
        await running.until(lambda: controller_of(the_set(running)) is None)
        await assert_at_rest(running)
        assert not is_deleting(the_set(running))
        assert {uid_of(pod) for pod in running.cache.list(POD)} == pods
        victim = running.cache.list(POD)[0]
        await running.client.apply(Delete(key_of(victim), uid=uid_of(victim)))
        await running.until(
            lambda: (
                len(running.cache.list(POD)) == 3
                and uid_of(victim) not in {uid_of(pod) for pod in running.cache.list(POD)}
            )
        )
        await adopted_again(running, before)


async def adopted_again(running: Running, before: Obj) -> None:
    """The same deployment made anew takes the set and its pods, and starts none."""
    pods = {uid_of(pod) for pod in running.cache.list(POD)}
    written = await running.write(deployment(1))
    assert uid_of(written) != uid_of(before)
    await running.until(running.complete)
    owner = controller_of(the_set(running))
    assert owner is not None
    assert owner["uid"] == uid_of(written)
    assert {uid_of(pod) for pod in running.cache.list(POD)} == pods
    assert images(running) == {"web:1"}


async def test_an_orphaned_pod_is_adopted_by_a_set_with_its_labels() -> None:
    async with engine() as running:
        await deployed(running)
        await running.client.apply(Delete(WEB, propagation="Orphan"))
        await running.until(lambda: running.cache.get(WEB) is None)
        old = the_set(running)
        await running.client.apply(Delete(key_of(old), propagation="Orphan"))
        await running.until(lambda: not running.cache.list(REPLICASET))
        await assert_at_rest(running)
        pods = {uid_of(pod) for pod in running.cache.list(POD)}
        assert len(pods) == 3
        assert all(controller_of(pod) is None for pod in running.cache.list(POD))
        again = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "again", "namespace": "default"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": {"app": "web"}},
                "template": old["spec"]["template"],
            },
        }
        await running.write(again)
        await running.until(
            lambda: all(controller_of(pod) is not None for pod in running.cache.list(POD))
        )
        await assert_at_rest(running)
        assert {uid_of(pod) for pod in running.cache.list(POD)} == pods


async def test_of_two_owners_one_is_enough_to_live() -> None:
    async with engine() as running:
        owners = [await running.write(configmap(name)) for name in ("one", "two")]
        both = [reference(owner, block=True) for owner in owners]
        written = await running.write(configmap("child", ownerReferences=both))
        key = key_of(written)
        await running.client.apply(Delete(key_of(owners[0])))
        await running.until(lambda: references(running, key) == [uid_of(owners[1])])
        await running.client.apply(Delete(key_of(owners[1])))
        await running.until(lambda: running.cache.get(key) is None)


def references(running: Running, key: ObjectKey) -> list[str]:
    found = running.cache.get(key)
    return [
        ref["uid"] for ref in (found or {"metadata": {}})["metadata"].get("ownerReferences", [])
    ]


def configmap(name: str, **metadata: object) -> Obj:
    meta = {"name": name, "namespace": "default", **metadata}
    return {"apiVersion": "v1", "kind": CONFIGMAP.kind, "metadata": meta}


def reference(owner: Obj, *, block: bool) -> Obj:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": block,
    }
