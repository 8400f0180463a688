"""The concrete parts of an engine, and how each is given the others."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from nodrop.agent.adopt import recall_withdrawn
from nodrop.agent.agent import Agent
from nodrop.agent.folders import DiskFolders
from nodrop.agent.probers.every import EveryProber
from nodrop.agent.runtime.process import ProcessRuntime
from nodrop.agent.sessions import ProcessSessions
from nodrop.agent.settings import AgentSettings
from nodrop.agent.volumes import DiskVolumes
from nodrop.apiserver.accounts import AccountTokens
from nodrop.apiserver.app import ApiServer, build_app
from nodrop.apiserver.auth import Auth, ensure_token
from nodrop.apiserver.certificates import ensure_certificates, server_context
from nodrop.apiserver.health import Health
from nodrop.apiserver.jws import SigningKey
from nodrop.apiserver.logs import FileLogs
from nodrop.apiserver.users import Users
from nodrop.bugs import BugLog, OnBug
from nodrop.client.cache import Cache
from nodrop.client.recorder import EventRecorder
from nodrop.clock import SystemClock
from nodrop.controllers.interface import Controller
from nodrop.controllers.loop import run_controller
from nodrop.keeper.client import KeeperClient
from nodrop.metrics.directory import Directory
from nodrop.metrics.http import counted, metrics_routes
from nodrop.metrics.metrics import Metrics
from nodrop.metrics.observed import ObservedProxy, ObservedStore, ObservedTraffic
from nodrop.metrics.resource_api import ResourceMetrics
from nodrop.model.errors import ApiError
from nodrop.model.kinds import KINDS
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.names import system_lookup
from nodrop.proxy.protocol import Proxy, ProxyFailure
from nodrop.proxy.reports import report_cuts
from nodrop.proxy.sync import ProxySync
from nodrop.registry.interface import AGENT_WRITES, OWN_WRITES, Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.roles import initial_roles
from nodrop.registry.verbs import Registry
from nodrop.statedir import StateDir
from nodrop.store.sqlite import SqliteStore
from nodrop.wiring.api_access import LocalApiAccess
from nodrop.wiring.controllers import all_controllers
from nodrop.wiring.enginefile import AnnouncedProxy
from nodrop.wiring.garbage import collect_garbage
from nodrop.wiring.listening import IngressSockets
from nodrop.wiring.observing import Observation
from nodrop.wiring.rehearsal import Rehearsal, is_cluster, late_of, manner_of

log = logging.getLogger(__name__)

_EXPIRE_EVENTS_EVERY_S = 60.0
#: How long controllers wait for more changes, but for the one that traffic waits for. Measured:
#: with three pods becoming ready at once it halves ready → traffic at p99.
_PATIENCE_S = 0.005
#: Where NodePorts are without --bind: a Service is published to the network on purpose only.
_NODE_PORTS_AT = "127.0.0.1"
_IMPATIENT = frozenset({"endpointslice"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a person chooses. None and empty mean: as before, else the default."""

    state: StateDir
    http_port: int | None
    https_port: int | None = None
    api_port: int | None
    bind: tuple[str, ...]
    base_dir: Path
    environment: Mapping[str, str]
    access_log: bool | None = None
    metrics_port: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The concrete parts, built and not yet running."""

    registry: Registry
    client: LocalClient
    cache: Cache
    server: ApiServer
    token: str
    api_access: LocalApiAccess
    proxy: HAProxy
    proxies_changed: asyncio.Event
    sync: ProxySync
    agent: Agent
    prober: EveryProber
    metrics: Metrics
    controllers: tuple[Any, ...]
    clock: SystemClock
    on_bug: OnBug
    makes_pods: frozenset[str] = frozenset({"deployment", "replicaset"})

    def work(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """All that runs side by side, by name."""
        return [
            ("cache", self.cache.run()),
            ("proxy sync", self.sync.run()),
            ("cut streams", report_cuts(self.proxy.cuts, self.client)),
            ("agent", self.agent.run()),
            ("metrics", self.metrics.run()),
            ("events", _expire_events(self.registry, self.clock)),
            ("garbage", collect_garbage(self.registry, self.client, self.cache, self._run)),
            *(
                (controller.name, self._run(controller, self.cache))
                for controller in self.controllers
            ),
        ]

    async def _run(self, controller: Controller[Any], cache: Cache) -> None:
        await run_controller(
            controller,
            cache,
            self.client,
            self.clock,
            patience_s=0.0 if controller.name in _IMPATIENT else _PATIENCE_S,
            on_bug=self.on_bug,
            observer=self.metrics.instruments,
        )


def build(
    options: EngineOptions,
    *,
    store: SqliteStore,
    keeper: KeeperClient,
    network: int,
    binary: Path,
    ingress: IngressSockets,
    bind: Sequence[str] = (),
    rehearsal: Rehearsal | None = None,
) -> Parts:
    state, clock = options.state, SystemClock()
    rng, on_bug = random.Random(), BugLog()
    allocation, observation = _allocation(network), Observation()
    registry = _registry(state, store, observation, clock, allocation, rng)
    accounts = AccountTokens(SigningKey(state.account_key), registry, clock)
    api_access = LocalApiAccess(accounts, clock)
    client, agents = _clients(registry, EventRecorder("nodrop", clock, rng))
    cache = Cache(client, KINDS)
    directory = Directory(cache)
    proxy = _proxy(options, keeper, binary=binary, ingress=ingress, rehearsal=rehearsal)
    proxies_changed, runtime = asyncio.Event(), ProcessRuntime(keeper)
    announced = ObservedProxy(AnnouncedProxy(proxy, proxies_changed), observation.instruments)
    sync = _sync(cache, client, clock, announced, runtime, proxy, bind, ingress, rehearsal)
    proxy.on_lost = sync.apply_anew  # what a restarted HAProxy serves is read back and mended
    agent = Agent(
        agents,
        cache,
        runtime=runtime,
        prober=(prober := EveryProber(runtime)),
        traffic=ObservedTraffic(sync, observation.instruments, directory),
        clock=clock,
        folders=DiskFolders(state.pods),
        settings=_agent_settings(options, allocation, rehearsal),
        on_bug=on_bug,
        volumes=DiskVolumes(state.pods),
        observer=observation.instruments,
        api=api_access,
    )
    metrics = observation.metrics(
        state, directory, registry, keeper=keeper, proxy=proxy, access_log=bool(options.access_log)
    )
    auth = Auth(ensure_token(state.pki / "token"), Users(state.users), accounts)
    return Parts(
        registry=registry,
        client=client,
        cache=cache,
        server=_server(state, registry, clock, auth, metrics, _health(store, keeper, cache, sync)),
        token=auth.token,
        api_access=api_access,
        proxy=proxy,
        proxies_changed=proxies_changed,
        sync=sync,
        agent=agent,
        prober=prober,
        metrics=metrics,
        controllers=all_controllers(ingress.http.values(), hold_unprobed=not is_cluster(rehearsal)),
        clock=clock,
        on_bug=on_bug,
    )


def _registry(
    state: StateDir,
    store: SqliteStore,
    observation: Observation,
    clock: SystemClock,
    allocation: Allocation,
    rng: random.Random,
) -> Registry:
    root_ca = ensure_certificates(state.pki, clock.now()).ca_cert.read_text()
    watched = ObservedStore(store, observation.instruments)
    registry = Registry(watched, clock, allocation, rng, capacity=_capacity(), root_ca=root_ca)
    registry.ensure(initial_roles())
    return registry


def _clients(registry: Registry, recorder: EventRecorder) -> tuple[LocalClient, LocalClient]:
    """The engine's own, and the agent's."""
    own, agents = (LocalClient(registry, recorder, options=o) for o in (OWN_WRITES, AGENT_WRITES))
    return own, agents


def _sync(
    cache: Cache,
    client: LocalClient,
    clock: SystemClock,
    proxy: Proxy,
    runtime: ProcessRuntime,
    haproxy: HAProxy,
    bind: Sequence[str],
    ingress: IngressSockets,
    rehearsal: Rehearsal | None,
) -> ProxySync:
    return ProxySync(
        cache,
        proxy,
        client=client,
        clock=clock,
        node_addresses=bind or (_NODE_PORTS_AT,),
        ingress_ports=(ingress.http_port, *((ingress.https_port,) if ingress.https else ())),
        lookup=system_lookup,
        recall=partial(recall_withdrawn, runtime),
        recall_certificates=haproxy.certificates.stored,
        late=late_of(rehearsal),
    )


def _proxy(
    options: EngineOptions,
    keeper: KeeperClient,
    *,
    binary: Path,
    ingress: IngressSockets,
    rehearsal: Rehearsal | None,
) -> HAProxy:
    state = options.state
    return HAProxy(
        keeper=keeper,
        folder=state.proxy,
        sockets=state.sockets,
        binary=binary,
        ingress_sockets=tuple(ingress.http),
        tls_sockets=tuple(ingress.https),
        manner=manner_of(rehearsal),
        log_socket=state.log_socket,
        access_log=bool(options.access_log),
    )


def _allocation(network: int) -> Allocation:
    """The lower half of the engine's 127.x.0.0/16 is for pods, the upper half for Services."""
    return Allocation(
        pod_cidr=f"127.{network}.0.0/17",
        service_cidr=f"127.{network}.128.0/17",
        node_name=socket.gethostname().lower(),
    )


def _server(
    state: StateDir,
    registry: Registry,
    clock: SystemClock,
    auth: Auth,
    metrics: Metrics,
    health: Health,
) -> ApiServer:
    logs = FileLogs(state.pods, registry.get, clock)
    return ApiServer(
        build_app(
            registry,
            auth=auth,
            logs=logs,
            executor=ProcessSessions(state.keeper_socket),
            clock=clock,
            routes=[
                *metrics_routes(metrics),
                *ResourceMetrics(metrics, registry, clock).routes(),
            ],
            around=[counted(metrics.instruments, registry.kinds.for_resource)],
            health=health,
        ),
        server_context(ensure_certificates(state.pki, clock.now())),
    )


def _health(store: SqliteStore, keeper: KeeperClient, cache: Cache, sync: ProxySync) -> Health:
    async def readable() -> None:
        store.check()

    async def answers() -> None:
        await keeper.info()

    async def routed() -> None:
        if sync.table is None:
            raise ProxyFailure("the proxy has not acknowledged the present routes")

    return Health(
        alive={"store": readable, "keeper": answers},
        only_ready={"informer-sync": cache.synced, "proxy": routed},
    )


def _agent_settings(
    options: EngineOptions, allocation: Allocation, rehearsal: Rehearsal | None
) -> AgentSettings:
    environment = options.environment
    return AgentSettings(
        node=allocation.node_name,
        pod_cidr=allocation.pod_cidr,
        base_dir=str(options.base_dir),
        path=environment.get("PATH", os.defpath),
        home=environment.get("HOME", "/"),
        lang=environment.get("LANG", "C.UTF-8"),
        acknowledged=not is_cluster(rehearsal),
        tells_steps=rehearsal is not None,
        cpus=psutil.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
    )


def _capacity() -> dict[str, str]:
    memory_kib = psutil.virtual_memory().total // 1024
    return {"cpu": str(psutil.cpu_count() or 1), "memory": f"{memory_kib}Ki", "pods": "110"}


async def _expire_events(registry: Registry, clock: SystemClock) -> None:
    complained = False
    while True:
        try:
            registry.expire_events(clock.now())
            complained = False
        except ApiError as error:  # a full disk: reading and traffic go on without
            if not complained:
                log.warning("old events were not removed: %s; trying again", error)
            complained = True
        await asyncio.sleep(_EXPIRE_EVENTS_EVERY_S)
