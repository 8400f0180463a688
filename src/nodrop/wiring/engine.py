"""The engine: store, API server, controllers, agent and proxy in one control plane."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import Coroutine, Mapping
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
from nodrop.agent.settings import AgentSettings
from nodrop.agent.volumes import DiskVolumes
from nodrop.apiserver.app import ApiServer, build_app
from nodrop.apiserver.auth import Auth, ensure_token
from nodrop.apiserver.certificates import ensure_certificates, server_context
from nodrop.apiserver.logs import FileLogs
from nodrop.bugs import BugLog, OnBug
from nodrop.client.cache import Cache
from nodrop.client.kubeconfig import render_kubeconfig
from nodrop.client.recorder import EventRecorder
from nodrop.clock import SystemClock
from nodrop.controllers.loop import run_controller
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import KeeperFailure
from nodrop.model.errors import ApiError
from nodrop.model.kinds import KINDS
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import ProxyFailure
from nodrop.proxy.sync import ProxySync
from nodrop.registry.interface import Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.statedir import StateDir
from nodrop.store.protocol import StoreFailure
from nodrop.store.sqlite import SqliteStore
from nodrop.wiring.controllers import all_controllers
from nodrop.wiring.ending import (
    end_pods,
    end_proxy_and_keeper,
    ended_if_the_start_fails,
    keeper_gone,
)
from nodrop.wiring.enginefile import AnnouncedProxy, EngineFile
from nodrop.wiring.files import (
    EngineFailure,
    KeeperLost,
    Settings,
    make_folders,
    read_settings,
    take_lock,
    write_atomically,
    write_settings,
)
from nodrop.wiring.issuing import issue_apart
from nodrop.wiring.listening import check_addresses, listen_for_ingress, machine_addresses

log = logging.getLogger(__name__)

_API_HOST = "127.0.0.1"
_API_PORT = 6443
_EXPIRE_EVENTS_EVERY_S = 60.0
#: How long controllers wait for more changes, but for the one that traffic waits for. Measured:
#: with three pods becoming ready at once it halves ready → traffic at p99.
_PATIENCE_S = 0.005
_IMPATIENT = frozenset({"endpointslice"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What a person chooses. None and empty mean: as before, else the default."""

    state: StateDir
    http_port: int | None
    api_port: int | None
    bind: tuple[str, ...]
    base_dir: Path
    environment: Mapping[str, str]


class Engine:
    """One control plane over one state folder. ``run`` returns when it was asked to stop."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._state = options.state
        self._clock = SystemClock()
        self._stopping = asyncio.Event()
        self._everything = False

    def stop(self) -> None:
        """End the control plane; pods and proxy go on."""
        self._stopping.set()

    def stop_everything(self) -> None:
        """End pods gracefully, then proxy, keeper and control plane."""
        self._everything = True
        self._stopping.set()

    async def run(self) -> None:
        """Serve until ``stop``. Raises EngineFailure when the engine can't start."""
        make_folders(self._state)
        with contextlib.closing(take_lock(self._state)):
            try:
                await self._run()
            except (KeeperFailure, StoreFailure, ProxyFailure, ApiError, OSError) as error:
                raise EngineFailure(str(error), hint=getattr(error, "hint", "")) from error

    # Private

    async def _run(self) -> None:
        settings = read_settings(self._state)
        store = SqliteStore(self._state.database)
        binary = find_binary(self._options.environment.get("PATH"))
        keeper, _ = await asyncio.gather(  # side by side: both mostly start a Python
            self._keeper(settings), issue_apart(self._state.pki, self._clock.now())
        )
        async with ended_if_the_start_fails(keeper):
            network = (await keeper.info()).network
            bind = check_addresses(self._options.bind) or (settings.bind if settings else ())
            ingress = await listen_for_ingress(
                keeper, bind or machine_addresses(), self._http_port(settings)
            )
            parts = _build(
                self._options,
                store=store,
                keeper=keeper,
                network=network,
                binary=binary,
                ingress=ingress,
            )
            await parts.proxy.start()
            api_port = await self._listen_api(parts.server, settings)
            http_port = next(iter(ingress.values()))[1]
            write_settings(
                self._state,
                Settings(network=network, http_port=http_port, bind=tuple(bind), api_port=api_port),
            )
            self._write_kubeconfig(api_port, parts.token)
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(parts.prober.close)
            stack.push_async_callback(parts.server.stop)
            await self._serve(parts, keeper, api_port=api_port, ingress=ingress)
        if self._everything:
            await end_proxy_and_keeper(parts.proxy, keeper)
            self._state.engine_json.unlink(missing_ok=True)
        store.close()

    async def _keeper(self, settings: Settings | None) -> KeeperClient:
        return await ensure_keeper(
            self._state.keeper,
            self._state.keeper_socket,
            network=settings.network if settings else None,
        )

    def _http_port(self, settings: Settings | None) -> int | None:
        if self._options.http_port is None or (self._options.http_port == 0 and settings):
            return settings.http_port if settings else None
        return self._options.http_port

    async def _listen_api(self, server: ApiServer, settings: Settings | None) -> int:
        """Listen where we did before, so that a kubeconfig that was copied stays good."""
        asked = self._options.api_port
        port = asked or (settings.api_port if settings else (_API_PORT if asked is None else 0))
        try:
            return await server.start(_API_HOST, port)
        except OSError as error:
            raise EngineFailure(
                f"API port {port} on {_API_HOST} can't be listened on: {error.strerror or error}",
                hint="choose another with --api-port PORT, or 0 for a free one",
            ) from error

    def _write_kubeconfig(self, port: int, token: str) -> None:
        ca_pem = (self._state.pki / "ca.crt").read_text()
        server = f"https://{_API_HOST}:{port}"
        text = render_kubeconfig(server=server, ca_pem=ca_pem, token=token)
        write_atomically(self._state.kubeconfig, text.encode())

    async def _serve(
        self,
        parts: _Parts,
        keeper: KeeperClient,
        *,
        api_port: int,
        ingress: Mapping[str, tuple[str, int]],
    ) -> None:
        file = EngineFile(self._state, keeper, api=(_API_HOST, api_port), ingress=ingress)
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(work, name=name) for name, work in parts.work()}
            await parts.cache.synced()
            info = await file.write()
            tasks["engine.json"] = group.create_task(file.keep(parts.proxies_changed))
            log.info("serving: API %s, HTTP %s", info["api"]["url"], info["http"]["urls"])
            gone = group.create_task(keeper_gone(keeper), name="keeper")
            ending = group.create_task(self._until_stopped(parts, tasks), name="stop")
            await asyncio.wait({gone, ending}, return_when=asyncio.FIRST_COMPLETED)
            lost = gone.result() if gone.done() and not ending.done() else None
            for task in (*tasks.values(), gone, ending):
                task.cancel()
        if lost is not None:
            raise KeeperLost(
                f"the keeper (pid {info['pids']['keeper']}) has ended; nobody looks after pods "
                f"and proxies any more: {lost}",
                hint="start the engine again (nodrop serve, nodrop up): it ends what is left of "
                "them and starts them anew",
            )

    async def _until_stopped(self, parts: _Parts, tasks: dict[str, asyncio.Task[None]]) -> None:
        await self._stopping.wait()
        if self._everything:
            for name in [name for name in tasks if name in parts.makes_pods]:
                tasks.pop(name).cancel()
            await end_pods(parts.cache, parts.client)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The concrete parts, built and not yet running."""

    registry: Registry
    client: LocalClient
    cache: Cache
    server: ApiServer
    token: str
    proxy: HAProxy
    proxies_changed: asyncio.Event
    sync: ProxySync
    agent: Agent
    prober: EveryProber
    controllers: tuple[Any, ...]
    clock: SystemClock
    on_bug: OnBug
    makes_pods: frozenset[str] = frozenset({"deployment", "replicaset"})

    def work(self) -> list[tuple[str, Coroutine[Any, Any, None]]]:
        """All that runs side by side, by name."""
        return [
            ("cache", self.cache.run()),
            ("proxy sync", self.sync.run()),
            ("agent", self.agent.run()),
            ("events", _expire_events(self.registry, self.clock)),
            *(
                (
                    controller.name,
                    run_controller(
                        controller,
                        self.cache,
                        self.client,
                        self.clock,
                        patience_s=0.0 if controller.name in _IMPATIENT else _PATIENCE_S,
                        on_bug=self.on_bug,
                    ),
                )
                for controller in self.controllers
            ),
        ]


def _build(
    options: EngineOptions,
    *,
    store: SqliteStore,
    keeper: KeeperClient,
    network: int,
    binary: Path,
    ingress: Mapping[str, tuple[str, int]],
) -> _Parts:
    state, clock = options.state, SystemClock()
    rng, on_bug = random.Random(), BugLog()
    node = socket.gethostname().lower()
    allocation = Allocation(
        pod_cidr=f"127.{network}.0.0/17", service_cidr=f"127.{network}.128.0/17", node_name=node
    )
    registry = Registry(store, clock, allocation, rng, capacity=_capacity())
    client = LocalClient(registry, EventRecorder("nodrop", clock, rng))
    cache = Cache(client, KINDS)
    proxy = HAProxy(
        keeper=keeper,
        folder=state.proxy,
        sockets=state.sockets,
        binary=binary,
        ingress_sockets=tuple(ingress),
    )
    proxies_changed = asyncio.Event()
    runtime = ProcessRuntime(keeper)
    sync = ProxySync(
        cache,
        AnnouncedProxy(proxy, proxies_changed),
        client=client,
        recall=partial(recall_withdrawn, runtime),
    )
    prober = EveryProber(runtime)
    agent = Agent(
        client,
        cache,
        runtime=runtime,
        prober=prober,
        traffic=sync,
        clock=clock,
        folders=DiskFolders(state.pods),
        settings=_agent_settings(options, node, allocation.pod_cidr),
        on_bug=on_bug,
        volumes=DiskVolumes(state.pods),
    )
    token = ensure_token(state.pki / "token")
    logs = FileLogs(state.pods, registry.get, clock)
    server = ApiServer(
        build_app(registry, auth=Auth(token), logs=logs, clock=clock),
        server_context(ensure_certificates(state.pki, clock.now())),
    )
    return _Parts(
        registry=registry,
        client=client,
        cache=cache,
        server=server,
        token=token,
        proxy=proxy,
        proxies_changed=proxies_changed,
        sync=sync,
        agent=agent,
        prober=prober,
        controllers=all_controllers(ingress.values()),
        clock=clock,
        on_bug=on_bug,
    )


def _agent_settings(options: EngineOptions, node: str, pod_cidr: str) -> AgentSettings:
    environment = options.environment
    return AgentSettings(
        node=node,
        pod_cidr=pod_cidr,
        base_dir=str(options.base_dir),
        path=environment.get("PATH", os.defpath),
        home=environment.get("HOME", "/"),
        lang=environment.get("LANG", "C.UTF-8"),
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
