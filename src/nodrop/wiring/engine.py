"""The engine: store, API server, controllers, agent and proxy in one control plane."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import replace

from nodrop.apiserver.app import ApiServer
from nodrop.client.kubeconfig import render_kubeconfig
from nodrop.clock import SystemClock
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import KeeperFailure
from nodrop.metrics.http import MetricsServer
from nodrop.model.errors import ApiError
from nodrop.proxy.protocol import ProxyFailure
from nodrop.store.protocol import StoreFailure
from nodrop.store.sqlite import SqliteStore
from nodrop.wiring.ending import (
    end_pods,
    end_proxy_and_keeper,
    ended_if_the_start_fails,
    keeper_gone,
)
from nodrop.wiring.enginefile import STARTED_AGAIN, EngineFile, disown_earlier
from nodrop.wiring.files import (
    EngineFailure,
    KeeperLost,
    Settings,
    make_folders,
    read_settings,
    remove_sockets,
    take_lock,
    write_atomically,
    write_settings,
)
from nodrop.wiring.handover import (
    announce_adoption,
    program_to_run,
    replace_proxy_when_asked,
)
from nodrop.wiring.issuing import issue_apart
from nodrop.wiring.listening import (
    API_HOST,
    IngressSockets,
    check_addresses,
    follow_addresses,
    listen_api,
    listen_for_ingress,
)
from nodrop.wiring.parts import EngineOptions, Parts, build
from nodrop.wiring.rehearsal import Rehearsal, grace_of, owner_gone, read_rehearsal

log = logging.getLogger(__name__)


class _StoppedEarly(Exception):
    """Asked to stop before it served anybody."""


class Engine:
    """One control plane over one state folder. ``run`` returns when it was asked to stop."""

    def __init__(self, options: EngineOptions) -> None:
        self._options = options
        self._state = options.state
        self._clock = SystemClock()
        self._stopping = asyncio.Event()
        self._everything = False
        self._replace_proxy = asyncio.Event()
        self._metrics_server = MetricsServer()

    def replace_proxy(self) -> None:
        """Hand over to new HAProxy processes; engine.json tells how that went."""
        self._replace_proxy.set()

    def stop(self) -> None:
        """End the control plane; pods and proxy go on."""
        self._stopping.set()

    def stop_everything(self) -> None:
        """End pods gracefully, then proxy, keeper and control plane."""
        self._everything = True
        self._stopping.set()

    async def run(self) -> None:
        """Serve until ``stop``. Raises EngineFailure when the engine can't start."""
        with contextlib.closing(await take_lock(self._state)):
            make_folders(self._state)
            disown_earlier(self._state)
            try:
                await self._run()
            except _StoppedEarly:
                log.info("ended while it started")
            except (KeeperFailure, StoreFailure, ProxyFailure, ApiError, OSError) as error:
                raise EngineFailure(str(error), hint=getattr(error, "hint", "")) from error
            finally:
                with contextlib.suppress(OSError):  # somebody's sockets are in it
                    self._state.sockets.rmdir()

    # Private

    async def _run(self) -> None:
        settings = read_settings(self._state)
        rehearsal = read_rehearsal(self._state, settings)
        store = SqliteStore(self._state.database)
        binary = program_to_run(self._state, self._options.environment.get("PATH"))
        keeper, _ = await asyncio.gather(  # side by side: both mostly start a Python
            self._keeper(settings), issue_apart(self._state, self._clock.now())
        )
        async with ended_if_the_start_fails(keeper, self._state):
            network = (await keeper.info()).network
            bind = check_addresses(self._options.bind) or (settings.bind if settings else ())
            ingress = await listen_for_ingress(
                keeper,
                bind,
                http_port=self._http_port(settings),
                https_port=self._https_port(settings),
            )
            parts = build(
                replace(self._options, access_log=self._access_log(settings)),
                store=store,
                keeper=keeper,
                network=network,
                binary=binary,
                ingress=ingress,
                bind=bind,
                rehearsal=rehearsal,
            )
            await parts.proxy.start()
            parts.api_access.port = api_port = await self._listen_api(parts.server, settings)
            write_settings(
                self._state,
                Settings(
                    network=network,
                    http_port=ingress.http_port,
                    https_port=ingress.https_port,
                    bind=tuple(bind),
                    api_port=api_port,
                    rehearsal=rehearsal is not None,
                    access_log=self._access_log(settings),
                    metrics_port=await self._listen_metrics(parts, settings),
                ),
            )
            self._write_kubeconfig(api_port, parts.token)
            if self._stopping.is_set() and not self._everything:
                raise _StoppedEarly
        serving = self._serve(
            parts, keeper, api_port=api_port, ingress=ingress, bind=bind, rehearsal=rehearsal
        )
        try:
            await self._end_after(serving, parts, keeper)
        except KeeperLost as lost:
            if not (self._everything or rehearsal):
                raise
            log.error("%s; ending what it has left running", lost)
            await (await self._keeper(read_settings(self._state))).shutdown()
            self._remove_traces()
        store.close()

    async def _end_after(
        self, serving: Awaitable[bool], parts: Parts, keeper: KeeperClient
    ) -> None:
        """Close what answers or asks others, however ``serving`` ends; then all, if it says so."""
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(parts.prober.close)
            stack.push_async_callback(parts.server.stop)
            stack.push_async_callback(self._metrics_server.stop)
            everything = await serving
        if everything:
            await end_proxy_and_keeper(parts.proxy, keeper)
            self._remove_traces()

    def _remove_traces(self) -> None:
        """Of an engine that has ended with all that it had."""
        self._state.engine_json.unlink(missing_ok=True)
        remove_sockets(self._state)

    async def _end_with_owner(self, rehearsal: Rehearsal | None) -> None:
        if rehearsal is not None:
            await owner_gone(rehearsal)
            log.warning("the rehearsal's process has ended: ending everything")
            self.stop_everything()

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

    def _https_port(self, settings: Settings | None) -> int | None:
        """As before, else as asked; where a free HTTP port was asked for, any is good."""
        asked = self._options.https_port
        if not asked and settings and settings.https_port:
            return settings.https_port
        return 0 if asked is None and self._options.http_port == 0 else asked

    def _access_log(self, settings: Settings | None) -> bool:
        """As asked for, else as before."""
        asked = self._options.access_log
        return asked if asked is not None else bool(settings and settings.access_log)

    async def _listen_metrics(self, parts: Parts, settings: Settings | None) -> int | None:
        """The port for who scrapes without credentials, if one was ever asked for; 0 ends it."""
        asked = self._options.metrics_port
        port = asked if asked is not None else settings.metrics_port if settings else None
        if not port:
            return None
        try:
            await self._metrics_server.start(parts.metrics, API_HOST, port)
        except OSError as error:
            raise EngineFailure(
                f"metrics port {port} on {API_HOST} can't be listened on: "
                f"{error.strerror or error}",
                hint="choose another with --metrics-port PORT, or 0 for none",
            ) from error
        return port

    async def _listen_api(self, server: ApiServer, settings: Settings | None) -> int:
        before = settings.api_port if settings else None
        return await listen_api(server, asked=self._options.api_port, before=before)

    def _write_kubeconfig(self, port: int, token: str) -> None:
        ca_pem = (self._state.pki / "ca.crt").read_text()
        server = f"https://{API_HOST}:{port}"
        text = render_kubeconfig(server=server, ca_pem=ca_pem, token=token)
        write_atomically(self._state.kubeconfig, text.encode())

    async def _serve(
        self,
        parts: Parts,
        keeper: KeeperClient,
        *,
        api_port: int,
        ingress: IngressSockets,
        bind: Sequence[str],
        rehearsal: Rehearsal | None,
    ) -> bool:
        """Serve until asked to stop; returns whether everything was ended."""
        file = EngineFile(
            self._state,
            keeper,
            api=(API_HOST, api_port),
            ingress=ingress,
            started_again=self._options.environment.get(STARTED_AGAIN, ""),
        )

        def listen_on(sockets: IngressSockets) -> None:
            file.ingress = sockets
            parts.proxy.listen_on(tuple(sockets.http), tuple(sockets.https))
            parts.sync.apply_anew()
            parts.proxies_changed.set()

        following = follow_addresses(
            keeper, ingress, listen_on, used=parts.proxy.sockets_in_use, bind=bind
        )
        replacing = replace_proxy_when_asked(
            self._replace_proxy,
            parts,
            file,
            state=self._state,
            path=self._options.environment.get("PATH"),
        )
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(work, name=name) for name, work in parts.work()}
            tasks["addresses"] = group.create_task(following, name="addresses")
            await parts.cache.synced()
            gc.freeze()  # what is there now stays: no later collection looks through all of it
            info = await file.write()
            tasks["engine.json"] = group.create_task(file.keep(parts.proxies_changed))
            tasks["adoption"] = group.create_task(announce_adoption(parts, file))
            tasks["replacement"] = group.create_task(replacing, name="replacement of the proxy")
            log.info("serving: API %s, HTTP %s", info["api"]["url"], info["http"]["urls"])
            gone = group.create_task(keeper_gone(keeper), name="keeper")
            owner = group.create_task(self._end_with_owner(rehearsal), name="owner")
            stopped = self._until_stopped(parts, tasks, file, grace_s=grace_of(rehearsal))
            ending = group.create_task(stopped, name="stop")
            await asyncio.wait({gone, ending}, return_when=asyncio.FIRST_COMPLETED)
            lost = gone.result() if gone.done() and not ending.done() else None
            everything = ending.done() and ending.result()
            for task in (*tasks.values(), gone, owner, ending):
                task.cancel()
        if lost is not None:
            raise KeeperLost(
                f"the keeper (pid {info['pids']['keeper']}) has ended; nobody looks after pods "
                f"and proxies any more: {lost}"
            )
        return everything

    async def _until_stopped(
        self,
        parts: Parts,
        tasks: dict[str, asyncio.Task[None]],
        file: EngineFile,
        *,
        grace_s: int | None,
    ) -> bool:
        """Whether everything is to end, and then it has ended every pod.

        Decided once: who asks for more when the control plane is about to go finds the pods alive.
        """
        await self._stopping.wait()
        if not self._everything:
            return False
        await file.tell_ending()
        makers = [tasks.pop(name) for name in parts.makes_pods & tasks.keys()]
        for task in makers:
            task.cancel()
        await asyncio.gather(*makers, return_exceptions=True)  # with what they are writing
        await end_pods(parts.cache, parts.client, grace_s=grace_s)
        return True
