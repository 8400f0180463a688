"""One control plane of the simulation: all that an engine runs, behind one gate."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from nodrop.agent.adopt import recall_withdrawn
from nodrop.agent.agent import Agent
from nodrop.agent.settings import AgentSettings
from nodrop.client.actions import Plan
from nodrop.client.cache import Cache
from nodrop.client.recorder import EventRecorder
from nodrop.clock import Clock
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.controllers.endpointslice.controller import EndpointSliceController
from nodrop.controllers.garbage.controller import GarbageController
from nodrop.controllers.ingress.controller import IngressController
from nodrop.controllers.interface import Controller
from nodrop.controllers.loop import run_controller
from nodrop.controllers.replicaset.controller import ReplicaSetController
from nodrop.model.kinds import KINDS
from nodrop.model.meta import ObjectKey
from nodrop.proxy.sync import ProxySync
from nodrop.registry.interface import OWN_WRITES, Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.gate import (
    Folders,
    Gate,
    GatedClient,
    GatedProber,
    GatedProxy,
    GatedRuntime,
    GatedStore,
)
from nodrop.sim.prober import SimProber
from nodrop.sim.runtime import SimRuntime
from nodrop.store.protocol import Change, Store

POD_CIDR, SERVICE_CIDR, NODE = "127.9.0.0/17", "127.9.128.0/17", "sim"
_EXPIRE_EVENTS_EVERY_S = 60.0

_SETTINGS = AgentSettings(node=NODE, pod_cidr=POD_CIDR, base_dir="/", path="/bin", home="/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What outlives control planes, and what they are told by it. Times are in seconds."""

    store: Store
    runtime: SimRuntime
    proxy: SimProxy
    folders: Folders
    clock: Clock
    rng: random.Random
    on_change: Callable[[Change], None]
    on_plan: Callable[[str, ObjectKey, Plan], None]
    refuses: Callable[[], bool]
    api_s: Callable[[], float]
    watch_s: Callable[[], float] | None
    probe_s: Callable[[], float]


class ControlPlane:
    """Store, registry, client, cache, controllers, agent and proxy sync of one engine process."""

    def __init__(self, machine: Machine, kill: Callable[[str], None]) -> None:
        self.gate = gate = Gate(kill)
        self._clock = clock = machine.clock
        store = GatedStore(
            machine.store, gate, on_change=machine.on_change, refuses=machine.refuses
        )
        allocation = Allocation(pod_cidr=POD_CIDR, service_cidr=SERVICE_CIDR, node_name=NODE)
        self.registry = Registry(store, clock, allocation, machine.rng)
        recorder = EventRecorder("nodrop", clock, machine.rng)
        local = LocalClient(self.registry, recorder, options=OWN_WRITES)
        self.client = GatedClient(local, gate, latency_s=machine.api_s, watch_s=machine.watch_s)
        self.cache = Cache(self.client, KINDS)
        runtime = GatedRuntime(machine.runtime, gate)
        self.sync = ProxySync(
            self.cache,
            GatedProxy(machine.proxy, gate),
            client=self.client,
            recall=partial(recall_withdrawn, runtime),
        )
        prober = SimProber(machine.runtime, runtime, latency_s=machine.probe_s)
        self._agent = Agent(
            self.client,
            self.cache,
            runtime=runtime,
            prober=GatedProber(prober, gate),
            traffic=self.sync,
            clock=clock,
            folders=machine.folders,
            settings=_SETTINGS,
        )
        self._on_plan = machine.on_plan

    async def run(self) -> None:
        """Until killed: never returns by itself."""
        async with asyncio.TaskGroup() as group:
            for name, work in self._work():
                group.create_task(work, name=name)

    def _work(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        controllers: tuple[Controller[Any], ...] = (
            DeploymentController(),
            ReplicaSetController(),
            EndpointSliceController(),
            IngressController(address="127.0.0.1", ports=(80,)),
            DisruptionController(),
            GarbageController(KINDS),
        )
        return [
            ("cache", self.cache.run()),
            ("proxy sync", self.sync.run()),
            ("agent", self._agent.run()),
            ("events", self._expire_events()),
            *((one.name, self._control(one)) for one in controllers),
        ]

    async def _control(self, controller: Controller[Any]) -> None:
        await run_controller(controller, self.cache, self.client, self._clock, trace=self._on_plan)

    async def _expire_events(self) -> None:
        while True:
            self.registry.expire_events(self._clock.now())
            await asyncio.sleep(_EXPIRE_EVENTS_EVERY_S)
