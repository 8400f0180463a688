"""The Proxy protocol on HAProxy: one process for HTTP, one that accepts for Services.

``main`` chooses the pod of every request by maps and servers that change at run time. ``edge``
accepts on the addresses of Services and passes connections on to main; a new listener means a
new edge process beside the old one. The keeper holds all sockets and is parent of both, so they
outlive the control plane and come back after a crash with the table of their configuration file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from pathlib import Path

from nodrop.keeper.protocol import Keeper
from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected
from nodrop.proxy.haproxy.edge import Edge
from nodrop.proxy.haproxy.fitness import fit_table
from nodrop.proxy.haproxy.manner import SERVING, Manner
from nodrop.proxy.haproxy.plan import (
    Served,
    diff_servers,
    parse_map,
    parse_server_names,
    parse_servers,
    plan_slots,
    pools_of,
)
from nodrop.proxy.haproxy.processes import (
    Process,
    Processes,
    connection_limit,
    fd_numbers,
    write_atomically,
)
from nodrop.proxy.haproxy.render import MAPS, MainShape, render_main, render_map, render_maps
from nodrop.proxy.haproxy.slots import HOLD, name_slots, pod_of_server, read_slots, slot_name
from nodrop.proxy.haproxy.stats import EVERYTHING, Counters, parse_stats
from nodrop.proxy.protocol import Applied, ProxyFailure, ProxyStats, RoutingTable
from nodrop.proxy.protocol import ServicePort as Pool

_MAIN = "proxy-main"
_SERVICES_SOCKET = "proxy/services"
_SLOTS_FILE = "slots.json"
_TRIES = 5
_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.002, 0.05


class HAProxy:
    """Drives the two processes. ``ingress_sockets`` names sockets that the keeper holds.

    Lines about requests go to ``log_socket``: a sample, or with ``access_log`` all.
    """

    def __init__(
        self,
        *,
        keeper: Keeper,
        folder: Path,
        sockets: Path,
        binary: Path,
        ingress_sockets: Sequence[str],
        tls_sockets: Sequence[str] = (),
        slots: int = 256,
        manner: Manner = SERVING,
        log_socket: Path | None = None,
        access_log: bool = False,
    ) -> None:
        self._keeper = keeper
        self._processes = Processes(keeper, folder, sockets, binary)
        self._edge = Edge(self._processes)
        self.listen_on(ingress_sockets, tls_sockets)
        self._total, self._manner = slots, manner
        self._log = (str(log_socket or ""), access_log)
        self._main: Process | None = None
        #: Processes that are told to finish → the pods that they may still send requests to.
        self._old_mains: dict[str, frozenset[str]] = {}
        self._admin: AdminSocket | None = None
        self._served = Served()
        self._slots: dict[Pool, int] = {}
        self._table = RoutingTable()
        self._counters = Counters()
        self._written: dict[str, str] = {}
        self._turn = asyncio.Lock()

    def listen_on(self, ingress_sockets: Sequence[str], tls_sockets: Sequence[str]) -> None:
        """Which held sockets the Ingress has from the next ``apply`` on."""
        self._web_count = len(ingress_sockets)
        self._main_sockets = (_SERVICES_SOCKET, *ingress_sockets, *tls_sockets)

    def sockets_in_use(self) -> frozenset[str]:
        """Names of the held sockets that a restarted main would need."""
        running = self._main.shape.partition(" ")[2].split(",") if self._main else ()
        return frozenset((*running, *self._main_sockets))

    async def start(self) -> None:
        """Find the running processes, or start them with an empty table."""
        self._processes.folder.mkdir(parents=True, exist_ok=True)
        self._processes.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with self._turn:
            port = await self._processes.listen(_SERVICES_SOCKET, "127.0.0.1")
            running = await self._processes.running(_MAIN)
            if running:
                self._main = running[-1]
                for process in running[:-1]:  # a replacement that was cut short
                    await self._processes.finish(process)
                for process in await self._processes.running(_MAIN, finishing=True):
                    self._old_mains[process.id] = self._pods_in_config(process)
                self._total = int(self._main.shape.partition(" ")[0])
                self._slots = read_slots(self._processes.folder / _SLOTS_FILE)
                await self._session()
            else:
                await self._start_main()
            await self._edge.find(f"127.0.0.1:{port}")

    async def close(self) -> None:
        """Let go of the processes; both go on serving."""
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def stop(self) -> None:
        """End both processes once their connections are over (takes nothing new at once)."""
        async with self._turn:
            await self._edge.serve(())
            for process in await self._processes.running(_MAIN):
                await self._processes.finish(process)
            await self.close()

    async def apply(self, table: RoutingTable) -> Applied:
        """Serve ``table``; returns when HAProxy has answered every command."""
        async with self._turn:
            for _ in range(_TRIES - 1):
                with suppress(Disconnected):  # a restart: read back, then what differs again
                    return await self._apply(table)
            return await self._apply(table)

    async def drain(self, pod: str, timeout_s: float) -> int:
        """Wait until nothing of ``pod`` is in flight, as seen twice; returns what is left."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        pause_s, zeros, most = _SHORTEST_POLL_S, 0, 0
        while True:
            left = await self._in_flight(pod)
            zeros, most = (zeros + 1 if left == 0 else 0), max(most, left)
            if zeros == 2 or loop.time() >= deadline:
                self._counters.note_drained(pod, most - left)
                return left
            if left:
                pause_s = min(pause_s * 1.5, _LONGEST_POLL_S)
            await asyncio.sleep(min(pause_s, max(0.0, deadline - loop.time())))

    async def stats(self) -> ProxyStats:
        """Counters of every pool and backend, as last seen if the process can't be asked now."""
        up = True
        try:
            async with self._turn:
                admin = await self._session()
                self._counters.see(parse_stats(await admin.ask(EVERYTHING)), self._slots)
        except ProxyFailure:
            up = False
        return self._counters.report(self._table, up=up)

    def pool_of(self, slot: str) -> Pool | None:
        """Whose the slot of a log line is."""
        return next((pool for pool, n in self._slots.items() if slot_name(n) == slot), None)

    async def verify(self) -> bool:
        """Whether both processes still are those that were spoken to; cleans up on the way."""
        async with self._turn:
            if self._admin is None or self._admin.broken or self._outdated():
                return False
            try:
                await self._admin.ask("show version")
                await self._sweep(self._admin)
            except Disconnected:
                return False
            await self._look_at_old_mains()
            for process in await self._processes.running(_MAIN):
                if process != self._main:
                    await self._processes.finish(process)
                    self._old_mains[process.id] = self._pods_in_config(process)
            return await self._edge.alive()

    # Private: everything below holds the turn, but for _in_flight.

    async def _apply(self, whole: RoutingTable) -> Applied:
        table, unfit, unserved = fit_table(whole)
        admin = await self._session()
        reloads = 0
        slots = await self._assign(admin, table)
        if slots is None or self._outdated():
            admin = await self._grow(table)
            slots = self._slots
            reloads += 1
        refused = await self._edge.hold(table.listeners)
        try:
            await self._change(admin, table, slots)
        except BaseException:
            await self.close()  # what is served now is unknown: read it back next time
            raise
        reloads += await self._edge.serve(
            [listener for listener in table.listeners if listener not in refused]
        )
        return Applied(reloads, {**refused, **unfit}, unserved)

    def _outdated(self) -> bool:
        """Whether the running main has other sockets than it should have now."""
        return self._main is not None and self._main.shape != self._shape()

    def _shape(self) -> str:
        written = "all" if self._log[1] else "sample" if self._log[0] else "none"
        return f"{self._total} {','.join(self._main_sockets)} log={written}"

    async def _change(
        self, admin: AdminSocket, table: RoutingTable, slots: dict[Pool, int]
    ) -> None:
        """New pods first, before the files, which take a moment; whoever leaves goes last."""
        change = diff_servers(self._served, table, slots)
        refusal = await _refusal(admin.execute(change.before))
        self._write_files(table, slots)
        if refusal is None:
            refusal = await _refusal(self._replace_maps(admin, table, slots))
        # Who must leave leaves all the same.
        await admin.execute(change.after)
        if refusal is not None:
            raise refusal
        self._served.servers = change.servers
        self._slots, self._table = slots, table

    async def _replace_maps(
        self, admin: AdminSocket, table: RoutingTable, slots: dict[Pool, int]
    ) -> None:
        for name, entries in render_maps(table, slots).items():
            if self._served.maps.get(name) != entries:
                await admin.replace_map(name, entries)
                self._served.maps[name] = entries

    async def _assign(self, admin: AdminSocket, table: RoutingTable) -> dict[Pool, int] | None:
        pools = pools_of(table)
        slots = plan_slots(pools, self._slots, total=self._total, occupied=self._served.occupied())
        if slots is None:
            await self._sweep(admin)
            slots = plan_slots(
                pools, self._slots, total=self._total, occupied=self._served.occupied()
            )
        return slots

    async def _session(self) -> AdminSocket:
        """The connection to main; a new one starts with reading back what main serves."""
        if self._admin is not None and not self._admin.broken:
            return self._admin
        if self._main is None:
            raise ProxyFailure("the proxy was not started")
        if not await self._runs(self._main):
            await self._start_main()
        admin = self._admin
        if admin is None or admin.broken:
            admin = await self._processes.connect(self._main)
            await self._read_back(admin)
            self._admin = admin
        return admin

    async def _runs(self, process: Process) -> bool:
        return process in await self._processes.running(process.role)

    async def _read_back(self, admin: AdminSocket) -> None:
        servers = parse_servers(await admin.ask("show servers state"))
        maps = {name: parse_map(await admin.ask(f"show map {name}")) for name in MAPS}
        self._served = Served(servers, maps)

    async def _start_main(self) -> None:
        process = await self._processes.next(_MAIN, self._shape())
        for name, entries in render_maps(self._table, self._slots).items():
            self._write(name, render_map(entries))
        config = self._main_config(process, self._table, self._slots)
        admin = await self._processes.start(process, config, self._main_sockets)
        await self._read_back(admin)
        self._main, self._admin = process, admin

    async def _grow(self, table: RoutingTable) -> AdminSocket:
        """A new process, for more slots or other sockets; the old one ends with its connections."""
        old = self._main
        pools = pools_of(table)
        while self._total < len(pools) * 5 // 4:
            self._total *= 2
        slots = plan_slots(pools, {}, total=self._total, occupied=())
        assert slots is not None
        pods = self._remember_pods(old)
        await self.close()
        self._slots, self._table = slots, table
        self._write_slots(slots)  # the old one's own file says what it knows until its end
        await self._start_main()
        assert self._admin is not None
        if old is not None:
            self._old_mains[old.id] = pods
            await self._processes.finish(old)
        return self._admin

    def _main_config(self, process: Process, table: RoutingTable, slots: dict[Pool, int]) -> str:
        services_fd, *fds = fd_numbers(self._main_sockets).values()
        shape = MainShape(
            admin_socket=str(self._processes.admin_path(process)),
            services_fd=services_fd,
            web_fds=tuple(fds[: self._web_count]),
            tls_fds=tuple(fds[self._web_count :]),
            slots=self._total,
            max_connections=connection_limit(len(self._main_sockets)),
            manner=self._manner,
            log_socket=self._log[0],
            access_log=self._log[1],
        )
        return render_main(shape, table, slots)

    def _write_files(self, table: RoutingTable, slots: dict[Pool, int]) -> None:
        """What a restart after a crash starts from: written before anything is acknowledged."""
        self._write_slots(slots)
        for name, entries in render_maps(table, slots).items():
            self._write(name, render_map(entries))
        if self._main is not None:
            self._write(self._main.config, self._main_config(self._main, table, slots))

    def _write_slots(self, slots: dict[Pool, int]) -> None:
        self._write(_SLOTS_FILE, name_slots(slots))

    def _write(self, name: str, text: str) -> None:
        if self._written.get(name) != text:
            write_atomically(self._processes.folder / name, text)
            self._written[name] = text

    async def _in_flight(self, pod: str) -> int:
        try:
            admin = self._admin
            if admin is None or admin.broken:
                async with self._turn:
                    admin = await self._session()
            slots = sorted(self._served.slots_of(pod))
            answers = [await admin.ask(f"show stat {slot_name(slot)} 4 -1") for slot in slots]
        except Disconnected:
            return 1  # unknown: ask the process that follows
        here = sum(
            stats.in_flight
            for answer in answers
            for (_, server), stats in parse_stats(answer).items()
            if pod_of_server(server) == pod
        )
        # A process that finishes can't be told about pods any more: wait for its end.
        await self._look_at_old_mains()
        return here + sum(pod in pods for pods in self._old_mains.values())

    def _remember_pods(self, main: Process | None) -> frozenset[str]:
        """The pods that ``main`` knows, withdrawn ones too; in its file for who comes after us."""
        if main is None:
            return frozenset()
        names = sorted({name for slot in self._served.servers.values() for name in slot} - {HOLD})
        known = "".join(f"# server {name}\n" for name in names)
        self._write(main.config, self._main_config(main, self._table, self._slots) + known)
        return self._pods_in_config(main)

    def _pods_in_config(self, main: Process) -> frozenset[str]:
        try:
            text = (self._processes.folder / main.config).read_text()
        except OSError:
            return frozenset()
        return frozenset(map(pod_of_server, parse_server_names(text)))

    async def _look_at_old_mains(self) -> None:
        if self._old_mains:
            finishing = await self._processes.running(_MAIN, finishing=True)
            left = {process.id for process in finishing}
            self._old_mains = {id: pods for id, pods in self._old_mains.items() if id in left}

    async def _sweep(self, admin: AdminSocket) -> None:
        """Delete withdrawn servers, their counters harvested; busy ones wait for another time."""
        doomed = self._served.withdrawn()
        if not doomed:
            return
        self._counters.see(parse_stats(await admin.ask(EVERYTHING)), self._slots)
        gone = await admin.attempt([f"del server {slot_name(s)}/{name}" for s, name in doomed])
        for (slot, name), deleted in zip(doomed, gone, strict=True):
            if deleted:
                del self._served.servers[slot][name]


async def _refusal(work: Awaitable[object]) -> ProxyFailure | None:
    """What HAProxy has refused. Raises Disconnected."""
    try:
        await work
    except Disconnected:
        raise
    except ProxyFailure as error:
        return error
    return None
