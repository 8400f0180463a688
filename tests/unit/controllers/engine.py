"""All controllers over the real registry; tests play the part of the pods."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from nodrop.client.actions import Create, Delete, Plan, Update
from nodrop.client.cache import Cache
from nodrop.client.recorder import EventRecorder
from nodrop.clock import SystemClock
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.controllers.endpointslice.controller import EndpointSliceController
from nodrop.controllers.garbage.controller import GarbageController
from nodrop.controllers.ingress.controller import IngressController
from nodrop.controllers.loop import run_controller
from nodrop.controllers.replicaset.controller import ReplicaSetController
from nodrop.model.kinds import (
    DEPLOYMENT,
    KINDS,
    POD,
)
from nodrop.model.meta import Obj, ObjectKey, format_time, is_deleting, key_of, uid_of
from nodrop.registry.interface import Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore

WEB = ObjectKey(DEPLOYMENT, "default", "web")


@dataclass
class Running:
    registry: Registry
    client: LocalClient
    cache: Cache
    plans: list[tuple[str, Plan]] = field(default_factory=list)
    pods_end: bool = True

    async def until(self, holds: Any) -> None:
        """Wait for a level; the pods' part is played meanwhile."""
        async with asyncio.timeout(60):
            while not holds():
                await self.play_pods()
                await asyncio.sleep(0.005)

    async def play_pods(self) -> None:
        now = SystemClock().now()
        for number, pod in enumerate(self.cache.list(POD)):
            if is_deleting(pod) and not self.pods_end:
                continue
            if is_deleting(pod):
                await self.client.apply(Delete(key_of(pod), uid=uid_of(pod), grace_period_s=0))
            elif not pod["status"].get("podIP"):
                ready = {
                    "type": "Ready",
                    "status": "True",
                    "lastTransitionTime": format_time(now),
                }
                status = {
                    "phase": "Running",
                    "podIP": f"127.1.0.{number + 1}",
                    "startTime": format_time(now),
                    "conditions": [ready],
                }
                await self.client.apply(Update({**pod, "status": status}, "status"))

    def status(self) -> Obj:
        found = self.cache.get(WEB)
        return {} if found is None else found.get("status") or {}

    def complete(self) -> bool:
        deployment = self.cache.get(WEB)
        if deployment is None:
            return False
        status, wanted = self.status(), deployment["spec"]["replicas"]
        observed = status.get("observedGeneration") == deployment["metadata"]["generation"]
        counters = ("replicas", "updatedReplicas", "availableReplicas")
        return observed and all(status.get(counter) == wanted for counter in counters)

    async def write(self, obj: Obj) -> Obj:
        written = await self.client.apply(Create(obj))
        assert written is not None
        return written


@asynccontextmanager
async def engine() -> AsyncIterator[Running]:
    clock = SystemClock()
    allocation = Allocation(pod_cidr="127.1.0.0/16", service_cidr="127.2.0.0/16")
    store = SqliteStore(":memory:")
    registry = Registry(store, clock, allocation, random.Random(1))
    client = LocalClient(registry, EventRecorder("test", clock, random.Random(2)))
    running = Running(registry, client, Cache(client, KINDS))
    controllers: list[Any] = [
        DeploymentController(),
        ReplicaSetController(),
        EndpointSliceController(),
        IngressController(address="127.0.0.1", ports=(8080,)),
        DisruptionController(),
        GarbageController(KINDS),
    ]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(running.cache.run())]
        for controller in controllers:
            run = run_controller(
                controller,
                running.cache,
                client,
                clock,
                trace=lambda name, _key, plan: running.plans.append((name, plan)),
            )
            tasks.append(group.create_task(run))
        await running.cache.synced()
        yield running
        for task in tasks:
            task.cancel()
    store.close()


def deployment(version: int) -> Obj:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {
                    "containers": [
                        {
                            "name": "web",
                            "image": f"web:{version}",
                            "command": ["serve"],
                            "ports": [{"name": "http", "containerPort": 8080}],
                        }
                    ]
                },
            },
        },
    }


SERVICE: Obj = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
}
INGRESS_OBJECT: Obj = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "Ingress",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"defaultBackend": {"service": {"name": "web", "port": {"number": 80}}}},
}


async def roll_to(running: Running, version: int) -> None:
    found = running.cache.get(WEB)
    assert found is not None
    template = deployment(version)["spec"]["template"]
    changed = {**found, "spec": {**found["spec"], "template": template}}
    written = await running.client.apply(Update(changed))
    assert written is not None
    await running.cache.wait_seen(written)
    await running.until(running.complete)


def images(running: Running) -> set[str]:
    pods = running.cache.list(POD)
    return {pod["spec"]["containers"][0]["image"] for pod in pods if not is_deleting(pod)}


async def assert_at_rest(running: Running) -> None:
    """Nothing writes any more: decisions on unchanged facts are empty."""
    async with asyncio.timeout(30):
        while True:
            running.plans.clear()
            for _ in range(200):
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)
            if not any(plan.actions for _, plan in running.plans):
                return
