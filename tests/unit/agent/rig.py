"""An agent with a real registry and cache, over a runtime that the test chooses."""

from __future__ import annotations

import asyncio
import random
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nodrop.agent.agent import Agent
from nodrop.agent.api_access import ApiAccess
from nodrop.agent.folders import PodFolders
from nodrop.agent.probers.protocol import Prober
from nodrop.agent.runtime.protocol import ContainerId, Runtime
from nodrop.agent.settings import AgentSettings
from nodrop.agent.volumes import NamedVolumes, VolumeStore
from nodrop.bugs import OnBug, raise_bug
from nodrop.client.actions import Create, Delete, Patch
from nodrop.client.cache import Cache
from nodrop.client.protocol import ALL, WatchEvent
from nodrop.client.recorder import EventRecorder
from nodrop.clock import Clock, SystemClock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP, EVENT, POD, SECRET, SERVICE
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.interface import Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from tests.unit.agent.fakes import FakeTraffic

_LOOK_AGAIN_S = 0.05


class Rig:
    """The API around an agent, and ways to wait for what the agent makes of it."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        prober: Prober,
        folders: PodFolders,
        pod_cidr: str,
        clock: Clock | None = None,
        volumes: VolumeStore | None = None,
        api: ApiAccess | None = None,
        **settings: Any,
    ) -> None:
        self.clock = clock or SystemClock()
        self.store = SqliteStore(":memory:")
        weakref.finalize(self, self.store.close)
        allocation = Allocation(pod_cidr=pod_cidr, service_cidr="127.1.0.0/20")
        self.registry = Registry(self.store, self.clock, allocation, random.Random(1))
        recorder = EventRecorder("agent", self.clock, random.Random(2))
        self.client = LocalClient(self.registry, recorder)
        self.traffic = FakeTraffic()
        self.traffic.release.set()
        self.on_bug: OnBug = raise_bug
        self.volumes: VolumeStore = volumes or NamedVolumes()
        self.api = api
        self.runtime, self.prober, self.folders = runtime, prober, folders
        self.settings: dict[str, Any] = {
            "node": "localhost",
            "pod_cidr": pod_cidr,
            "base_dir": "/",
            "path": "/usr/bin:/bin",
            "home": "/",
            **settings,
        }
        #: Every version of every pod, in order.
        self.pods: list[Obj] = []
        self._moved = asyncio.Event()

    def agent(self, cache: Cache) -> Agent:
        return Agent(
            self.client,
            cache,
            runtime=self.runtime,
            prober=self.prober,
            traffic=self.traffic,
            clock=self.clock,
            folders=self.folders,
            settings=AgentSettings(**self.settings),
            volumes=self.volumes,
            on_bug=self.on_bug,
            api=self.api,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Agent]:
        """One life of the agent: cancelled at the end, as if it had been killed."""
        held = Cache(self.client, (POD, CONFIGMAP, SECRET, SERVICE, EVENT))
        held.subscribe(self._saw)
        agent = self.agent(held)
        async with asyncio.TaskGroup() as group:
            cache = group.create_task(held.run())
            life = group.create_task(agent.run())
            try:
                yield agent
            finally:
                life.cancel()
                cache.cancel()

    async def create(self, obj: Obj) -> Obj:
        written = await self.client.apply(Create(obj))
        assert written is not None
        return written

    async def delete(self, name: str, *, grace_s: int | None = None) -> None:
        key = ObjectKey(POD, "default", name)
        await self.client.apply(Delete(key, grace_period_s=grace_s))

    async def set_image(self, name: str, image: str, container: str = "app") -> None:
        """What ``kubectl set image pod/NAME`` does."""
        held = self.pod(name)
        assert held is not None
        wanted = [
            one | {"image": image} if one["name"] == container else one
            for one in held["spec"]["containers"]
        ]
        key = ObjectKey(POD, "default", name)
        await self.client.apply(Patch(key, {"spec": {"containers": wanted}}))

    def pod(self, name: str) -> Obj | None:
        try:
            return self.registry.get(ObjectKey(POD, "default", name))
        except ApiError:
            return None

    def events(self, reason: str) -> list[str]:
        """Messages of the Events with this reason."""
        found = self.registry.list(EVENT, ALL).items
        return [event["message"] for event in found if event["reason"] == reason]

    async def until(self, level: Callable[[], bool], *, timeout_s: float = 60) -> None:
        """Wait until ``level`` holds; looked at after every change of the API, and in between."""
        async with asyncio.timeout(timeout_s):
            while not level():
                self._moved.clear()
                try:
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await self._moved.wait()
                except TimeoutError:
                    pass  # levels that are not in the API: a fake's history, a process's journal

    async def until_ready(self, name: str, ready: bool = True) -> Obj:
        await self.until(lambda: is_ready(self.pod(name)) == ready)
        pod = self.pod(name)
        assert pod is not None
        return pod

    async def until_gone(self, name: str) -> None:
        await self.until(lambda: self.pod(name) is None)

    def _saw(self, event: WatchEvent, before: Obj | None) -> None:
        if event.obj["kind"] == "Pod":
            self.pods.append(event.obj)
        self._moved.set()


def is_ready(pod: Obj | None) -> bool:
    return condition(pod, "Ready") == "True"


def condition(pod: Obj | None, kind: str) -> str:
    conditions = ((pod or {}).get("status") or {}).get("conditions") or ()
    return next((c["status"] for c in conditions if c["type"] == kind), "")


def container_status(pod: Obj | None, index: int = 0) -> Obj:
    statuses: list[Obj] = ((pod or {}).get("status") or {}).get("containerStatuses") or [{}]
    return statuses[index]


def pod(name: str, *containers: Obj, **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": list(containers), **spec},
    }


def container(*command: str, name: str = "app", **fields: Any) -> Obj:
    return {"name": name, "image": "app:v1", "command": list(command), **fields}


def id_of(made: Obj, name: str = "app", attempt: int = 0) -> ContainerId:
    return ContainerId(f"{made['metadata']['uid']}_{name}_{attempt}")
