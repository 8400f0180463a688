"""S2, S5, S8: all controllers over the real registry: a rollout comes to an end and to rest."""

from __future__ import annotations

from nodrop.client.actions import Delete
from nodrop.model.kinds import ENDPOINTSLICE, INGRESS, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, key_of
from tests.unit.controllers.engine import (
    INGRESS_OBJECT,
    SERVICE,
    WEB,
    assert_at_rest,
    deployment,
    engine,
    images,
    roll_to,
)


async def test_s2_a_rollout_and_an_undo_come_to_an_end_and_to_rest() -> None:
    async with engine() as running:
        for obj in (deployment(1), SERVICE, INGRESS_OBJECT):
            await running.write(obj)
        await running.until(running.complete)
        await roll_to(running, 2)
        assert images(running) == {"web:2"}
        await roll_to(running, 1)
        assert images(running) == {"web:1"}
        await running.until(lambda: len(running.cache.list(POD)) == 3)
        sets = running.cache.list(REPLICASET)
        revisions = {
            one["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for one in sets
        }
        assert len(sets) == 2, "going back takes the earlier set up again"
        assert revisions == {"2", "3"}
        await assert_at_rest(running)
        ready = [
            endpoint
            for one in running.cache.list(ENDPOINTSLICE)
            for endpoint in one["endpoints"]
            if endpoint["conditions"]["ready"]
        ]
        assert len(ready) == 3
        ingress = running.cache.get(ObjectKey(INGRESS, "default", "web"))
        assert ingress is not None
        assert ingress["status"]["loadBalancer"]["ingress"][0]["ip"] == "127.0.0.1"


async def test_deleting_a_deployment_collects_everything_it_made() -> None:
    async with engine() as running:
        await running.write(deployment(1))
        await running.until(running.complete)
        await running.client.apply(Delete(WEB))
        await running.until(
            lambda: not running.cache.list(REPLICASET) and not running.cache.list(POD)
        )


async def test_a_deleted_namespace_goes_with_its_content() -> None:
    async with engine() as running:
        namespace: Obj = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
        written = await running.write(namespace)
        obj = deployment(1)
        await running.write({**obj, "metadata": {"name": "web", "namespace": "shop"}})
        await running.until(lambda: len(running.cache.list(POD)) == 3)
        await running.client.apply(Delete(key_of(written)))
        await running.until(lambda: running.cache.get(key_of(written)) is None)
        assert not running.cache.list(POD)
