"""A machine on which nothing goes wrong: the real control plane over simulated applications."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Any

import msgspec

from nodrop.agent.agent import Agent
from nodrop.agent.plan.probes import ExecTarget, Target
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec, ExecResult
from nodrop.agent.settings import AgentSettings
from nodrop.client.actions import Action, Emit
from nodrop.client.cache import Cache
from nodrop.client.protocol import Client
from nodrop.client.recorder import EventRecorder
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.controllers.endpointslice.controller import EndpointSliceController
from nodrop.controllers.garbage.controller import GarbageController
from nodrop.controllers.ingress.controller import IngressController
from nodrop.controllers.interface import Controller
from nodrop.controllers.loop import run_controller
from nodrop.controllers.replicaset.controller import ReplicaSetController
from nodrop.model.kinds import DEPLOYMENT, KINDS, POD, REPLICASET, SERVICE, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, controller_of, key_of, uid_of
from nodrop.plan.assumptions import NEVER_S, Assumptions
from nodrop.plan.prober import PlanProber
from nodrop.plan.recorder import Pod, Recorder
from nodrop.proxy.protocol import InFlight
from nodrop.proxy.sync import ProxySync
from nodrop.registry.interface import Allocation, WriteOptions
from nodrop.registry.local import LocalClient
from nodrop.registry.metadata import random_name
from nodrop.registry.verbs import Registry
from nodrop.sim.behaviour import Behaviour
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.gate import Folders
from nodrop.sim.loop import VirtualClock
from nodrop.sim.runtime import App, SimRuntime
from nodrop.store.protocol import ABSENT, Change, ChangeType, Expired, Write
from nodrop.store.sqlite import SqliteStore, at_revision

_POD_CIDR, _SERVICE_CIDR, _NODE = "127.8.0.0/15", "127.10.0.0/17", "plan"
_SETTINGS = AgentSettings(node=_NODE, pod_cidr=_POD_CIDR, base_dir="/", path="/bin", home="/")
_SEED = 1
#: How long a controller waits for more changes before it looks. In an engine it is as long for
#: all but endpoints: many pods change in one instant here, and each look costs all of them.
_PATIENCE_S = 0.005
#: No event is lost here, so nobody has to look at everything again.
_NEVER_RESYNC_S = NEVER_S
#: With this many pods an endpoint controller waits longer: each look costs all of them.
_MANY_PODS, _LONG_PATIENCE_S = 500, 0.05
_CRASH_S = 0.5
#: Addresses before this one belong to pods that were started one by one.
_FIRST_ADDRESS = 1_000


class _RecordedStore(SqliteStore):
    """A store in memory that tells of every write. It keeps no history: nobody comes late.

    Nor does it copy: whoever writes here builds its objects anew each time.
    """

    def __init__(self, on_change: Callable[[Change], None]) -> None:
        super().__init__(":memory:", keep_revisions=sys.maxsize)
        self._on_change = on_change
        #: One spec for all objects with an equal one, by its JSON: 10,000 pods have two.
        self._specs: dict[bytes, Obj] = {}

    def _insert(
        self, write: Write, change_type: ChangeType, revision: Revision, *, previous: Revision
    ) -> Obj:
        return at_revision(write.obj, revision)

    def after(self, since: Revision, kind: Kind | None = None) -> Sequence[Change]:
        if since < self.revision:
            raise Expired(self.revision, since)
        return ()

    def commit(self, write: Write) -> Change:
        change = super().commit(write)
        if change.type == "ADDED" and change.key.kind == POD:  # later versions keep that spec
            spec = change.obj["spec"]
            change.obj["spec"] = self._specs.setdefault(msgspec.json.encode(spec), spec)
        self._on_change(change)
        return change


class _Quiet(LocalClient):
    """A client that records no Events: nobody decides by them."""

    async def apply(self, action: Action) -> Obj | None:
        return None if isinstance(action, Emit) else await super().apply(action)


class _Proxy(SimProxy):
    """A data plane in which a pod's last requests take as long as is assumed."""

    drain_s = 0.0

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        await asyncio.sleep(min(self.drain_s, timeout_s))
        self.memory.history.clear()
        return InFlight(0 if self.drain_s <= timeout_s else 1)


class PlanApi:
    """The verbs that ``apply`` needs, on the simulated API."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        #: The sizes of Deployments that were made with one pod so far; None: made as asked.
        self.postponed: dict[ObjectKey, int] | None = {}

    async def get(self, key: ObjectKey) -> Obj:
        return self._registry.get(key)

    async def create(self, obj: Obj, *, query: Mapping[str, str] | None = None) -> Obj:
        key = key_of(obj)
        obj = _without_address(obj) if key.kind == SERVICE else obj
        if key.kind == DEPLOYMENT and self.postponed is not None:
            obj = self._with_one_pod(key, obj)
        return self._registry.create(key.kind, key.namespace, obj, _options(query)).obj

    async def patch_strategic(
        self, key: ObjectKey, patch: Obj, *, query: Mapping[str, str] | None = None
    ) -> Obj:
        patch = _without_address(patch) if key.kind == SERVICE else patch
        return self._registry.patch(key, patch, "strategic", options=_options(query)).obj

    def _with_one_pod(self, key: ObjectKey, obj: Obj) -> Obj:
        size = (obj.get("spec") or {}).get("replicas")
        if not isinstance(size, int) or size <= 1:
            return obj
        assert self.postponed is not None
        self.postponed[key] = size
        return {**obj, "spec": {**obj["spec"], "replicas": 1}}


class PlanWorld:
    """``never_ready``: pods of the new version never serve."""

    def __init__(self, assumptions: Assumptions, *, never_ready: bool = False) -> None:
        self._assumptions = assumptions
        self.never_ready = never_ready
        loop = asyncio.get_running_loop()
        self._clock = clock = VirtualClock()
        self.recorder = recorder = Recorder(loop.time)
        recorder.on_started = self._started
        recorder.on_ended = self._ended
        self.store = _RecordedStore(recorder.on_change)
        rng = random.Random(_SEED)
        self._rng = rng
        allocation = Allocation(pod_cidr=_POD_CIDR, service_cidr=_SERVICE_CIDR, node_name=_NODE)
        self.registry = Registry(self.store, clock, allocation, rng)
        self.api = PlanApi(self.registry)
        self.proxy = _Proxy(recorder, latency_s=lambda: assumptions.proxy_s)
        self.proxy.drain_s = assumptions.drain_s
        self.runtime = SimRuntime(
            clock,
            behave=self._behave,
            watcher=recorder,
            rng=rng,
            latency_s=lambda: assumptions.runtime_s,
            command=self._command,
        )
        self._by_address: dict[str, App] = {}
        self._hooks: set[tuple[str, ...]] = set()

    async def run(self) -> None:
        """A control plane of its own over what is there; until cancelled."""
        client = _Quiet(
            self.registry,
            EventRecorder("nodrop", self._clock, self._rng),
            options=WriteOptions(field_validation="Trusted", tracks=False),
        )
        cache = Cache(client, KINDS)
        sync = ProxySync(cache, self.proxy)
        agent = self._agent(client, cache, sync)
        async with asyncio.TaskGroup() as group:
            group.create_task(cache.run())
            group.create_task(sync.run())
            group.create_task(agent.run())
            for controller in _controllers():
                group.create_task(self._control(controller, client, cache), name=controller.name)

    async def _control(self, controller: Controller[Any], client: Client, cache: Cache) -> None:
        await run_controller(
            controller,
            cache,
            client,
            self._clock,
            trace=self.recorder.on_plan,
            resync_s=_NEVER_RESYNC_S,
            patience_s=self._patience_s(controller.name),
        )

    def _patience_s(self, controller: str) -> float:
        many = len(self.store.list(POD)) > _MANY_PODS
        return _LONG_PATIENCE_S if many and controller == "endpointslice" else _PATIENCE_S

    def _agent(self, client: Client, cache: Cache, sync: ProxySync) -> Agent:
        prober = PlanProber(
            app_at=self._by_address.get,
            app_of=lambda container: self.runtime.apps.get(ContainerId(container)),
            is_news=self._is_news,
            hook_s=self._hook_s,
        )
        return Agent(
            client,
            cache,
            runtime=self.runtime,
            prober=prober,
            traffic=sync,
            clock=self._clock,
            folders=Folders(),
            settings=_SETTINGS,
        )

    # Many pods at once

    def multiply(self) -> None:
        """Give every Deployment that has one pod so far its size, with pods like that one.

        No control plane may run meanwhile: the next one adopts them, as after a restart. Rolling
        out 10,000 old pods would take as long as the plan itself and tell nothing.
        """
        assert self.api.postponed is not None
        sizes, self.api.postponed = self.api.postponed, None
        addresses = iter(IPv4Network(_POD_CIDR).hosts())
        for key, size in sizes.items():
            first = next(
                p.obj for p in self.store.list(POD) if self.recorder.owner_of(p.obj) == key
            )
            for address in itertools.islice(addresses, _FIRST_ADDRESS, _FIRST_ADDRESS + size - 1):
                self._copy(first, str(address))
            owner = controller_of(first)
            assert owner is not None
            for one in (ObjectKey(REPLICASET, key.namespace, owner["name"]), key):
                self.registry.patch(one, {"spec": {"replicas": size}}, "merge")

    def _copy(self, first: Obj, address: str) -> None:
        uid = str(uuid.UUID(int=self._rng.getrandbits(128)))
        text = json.dumps(first).replace(uid_of(first), uid)
        text = text.replace(f'"{first["status"]["podIP"]}"', f'"{address}"')
        pod = json.loads(text)
        name = first["metadata"]["name"]
        while self.store.get(ObjectKey(POD, first["metadata"]["namespace"], name)):
            name = random_name(first["metadata"]["generateName"], self._rng)
        pod["metadata"]["name"] = name
        self.store.commit(Write(key_of(pod), pod, ABSENT))
        for app in self.runtime.apps_of(uid_of(first)):
            container = ContainerId(app.spec.id.replace(uid_of(first), uid))
            spec = replace(app.spec, id=container, pod_uid=uid, pod_ip=address)
            state = replace(app.state, id=container, pod_uid=uid)
            copy = App(spec, state, app.behaviour, app.started_s, app.serves_at_s)
            self.runtime.place(copy)
            self._by_address[address] = copy

    # How applications behave

    def _behave(self, spec: ContainerSpec) -> Behaviour:
        pod = self.recorder.pods.get(spec.pod_uid)
        assumed = self._assumptions
        if pod is not None and _is_init(pod.spec, spec.name):
            return Behaviour(start_s=NEVER_S, term_s=0.0)
        broken = self.never_ready and pod is not None and pod.version == "new"
        if broken:
            assert pod is not None
            crash_s = None if _is_probed(pod.spec, spec.name) else _CRASH_S
            return Behaviour(start_s=NEVER_S, crash_after_s=crash_s, term_s=assumed.term_s)
        return Behaviour(start_s=self._start_s(pod), term_s=assumed.term_s, hook_s=assumed.hook_s)

    def _start_s(self, pod: Pod | None) -> float:
        if pod is None:
            return self._assumptions.startup.seconds[0]
        if pod.version == "old" and self.recorder.version == "old":
            return 0.0  # what is there already has started long ago
        seconds = self._assumptions.startup_of(pod.deployment).seconds
        return seconds[pod.number % len(seconds)]

    def _started(self, app: App) -> None:
        self._by_address[app.spec.pod_ip] = app
        pod = self.recorder.pods.get(app.spec.pod_uid)
        if pod is None:
            return
        for container in (*pod.spec["containers"], *(pod.spec.get("initContainers") or ())):
            for hook in (container.get("lifecycle") or {}).values():
                if "exec" in hook:
                    self._hooks.add(tuple(hook["exec"]["command"]))
        if _is_init(pod.spec, app.spec.name):
            loop = asyncio.get_running_loop()
            loop.call_later(self._assumptions.init_s, self.runtime.end, app, 0, "it is done")

    def _ended(self, app: App) -> None:
        if self._by_address.get(app.spec.pod_ip) is app:
            del self._by_address[app.spec.pod_ip]

    def _is_news(self, app: App, serves: bool) -> bool:
        """Whether it matters what a probe finds: not once the pod is ready and serves on, and
        not while a program never serves and nothing restarts it for that."""
        pod = self.recorder.pods.get(app.spec.pod_uid)
        if pod is None:
            return True
        if serves:
            return not pod.is_ready
        never = app.serves_at_s >= NEVER_S
        return not (never and _only_readiness(pod.spec, app.spec.name))

    def _hook_s(self, target: Target) -> float:
        if isinstance(target, ExecTarget) and target.command in self._hooks:
            return self._assumptions.hook_s
        return 0.0

    def _command(self, app: App, words: Sequence[str]) -> tuple[float, ExecResult]:
        return self._assumptions.hook_s, ExecResult(0, b"")


def _controllers() -> tuple[Controller[Any], ...]:
    return (
        DeploymentController(),
        ReplicaSetController(),
        EndpointSliceController(),
        IngressController(address="127.0.0.1", ports=(80,)),
        DisruptionController(),
        GarbageController(KINDS),
    )


def _options(query: Mapping[str, str] | None) -> WriteOptions:
    asked = query or {}
    strict = asked.get("fieldValidation") == "Strict"
    return WriteOptions(
        dry_run="dryRun" in asked,
        field_validation="Strict" if strict else "Ignore",
        field_manager="nodrop-plan",
    )


def _without_address(service: Obj) -> Obj:
    """Addresses are of another network here, and no plan depends on them."""
    spec = service.get("spec") or {}
    if spec.get("clusterIP") in (None, "None"):
        return service
    kept = {key: value for key, value in spec.items() if key not in ("clusterIP", "clusterIPs")}
    return {**service, "spec": kept}


def _is_init(spec: Obj, name: str) -> bool:
    """An init container that has to end before the others begin; sidecars don't."""
    return any(
        one["name"] == name and one.get("restartPolicy") != "Always"
        for one in spec.get("initContainers") or ()
    )


def _container(spec: Obj, name: str) -> Obj:
    every = [*spec["containers"], *(spec.get("initContainers") or ())]
    found: Obj = next((one for one in every if one["name"] == name), {})
    return found


def _is_probed(spec: Obj, name: str) -> bool:
    container = _container(spec, name)
    return "readinessProbe" in container or "startupProbe" in container


def _only_readiness(spec: Obj, name: str) -> bool:
    container = _container(spec, name)
    return "startupProbe" not in container and "livenessProbe" not in container
