"""The Proxy protocol on HAProxy: one process for HTTP, one that accepts for Services.

``main`` chooses the pod of every request by maps and servers that change at run time. ``edge``
accepts on the addresses of Services and passes connections on to main; a new listener means a
new edge process beside the old one. The keeper holds all sockets and is parent of both, so they
outlive the control plane and come back after a crash with the table of their configuration file.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from nodrop.keeper.protocol import Keeper
from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected, refusal_of
from nodrop.proxy.haproxy.authorities import admit, loaded
from nodrop.proxy.haproxy.certificates import Certificates
from nodrop.proxy.haproxy.edge import Edge
from nodrop.proxy.haproxy.files import MainFiles, map_texts, placed_text
from nodrop.proxy.haproxy.fitness import fit_table
from nodrop.proxy.haproxy.flights import Flights
from nodrop.proxy.haproxy.layout import (
    USUAL_SLOTS,
    Needs,
    Placed,
    default_layout,
    is_raw,
    parse_layout,
    place,
    plan_needs,
    render_placed,
)
from nodrop.proxy.haproxy.log import TELLS_SINCE
from nodrop.proxy.haproxy.manner import SERVING, Manner
from nodrop.proxy.haproxy.plan import (
    Served,
    diff_servers,
    parse_map,
    parse_servers,
    plan_maps,
)
from nodrop.proxy.haproxy.processes import MAIN, Process, Processes, connection_limit, fd_numbers
from nodrop.proxy.haproxy.render import MAPS, MainShape, render_main, render_maps
from nodrop.proxy.haproxy.retired import RetiredProcesses
from nodrop.proxy.haproxy.slots import owners_of, slot_of_section
from nodrop.proxy.haproxy.stats import Counters
from nodrop.proxy.protocol import Applied, InFlight, ProxyFailure, ProxyStats, RoutingTable
from nodrop.proxy.protocol import ServicePort as Pool

log = logging.getLogger(__name__)

_SERVICES_SOCKET, _STREAMS_SOCKET = "proxy/services", "proxy/streams"
#: Changes with the frontends and maps: a main that an older nodrop started is replaced.
_FRONTENDS = "frontends=6"
_TRIES = 5


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
        slots: int = USUAL_SLOTS,
        manner: Manner = SERVING,
        log_socket: Path | None = None,
        access_log: bool = False,
    ) -> None:
        self._keeper = keeper
        self._processes = Processes(keeper, folder, sockets, binary)
        self.cuts: asyncio.Queue[str] = asyncio.Queue()
        self._edge = Edge(self._processes, self._planes, self.cuts)
        self.certificates = Certificates(folder)
        self._files = MainFiles(folder)
        self._tls_port = 0
        self.listen_on(ingress_sockets, tls_sockets)
        self._layout, self._manner = default_layout(slots), manner
        self._log = (str(log_socket or ""), access_log)
        self._main: Process | None = None
        self._retired = RetiredProcesses(self._processes, MAIN, self.cuts)
        self._knows_table = False
        self.on_lost: Callable[[], None] | None = None  # called when main crashes
        self._admin: AdminSocket | None = None
        self._served = Served()
        self._placed = Placed()
        self._table = RoutingTable()
        self._counters = Counters()
        self._turn = asyncio.Lock()
        self._flights = Flights(
            planes=self._planes,
            deaf=self._retired.deaf,
            drained=self._counters.note_drained,
        )

    def listen_on(self, ingress_sockets: Sequence[str], tls_sockets: Sequence[str]) -> None:
        """Which held sockets the Ingress has from the next ``apply`` on."""
        self._web_count = len(ingress_sockets)
        self._tls_sockets = tuple(tls_sockets)
        self._main_sockets = (_SERVICES_SOCKET, _STREAMS_SOCKET, *ingress_sockets, *tls_sockets)

    def sockets_in_use(self) -> frozenset[str]:
        """Names of the held sockets that a restarted main would need."""
        running = self._main.shape.split(" ")[1].split(",") if self._main else ()
        return frozenset((*running, *self._main_sockets))

    async def start(self) -> None:
        """Find the running processes, or start them with an empty table."""
        self._processes.folder.mkdir(parents=True, exist_ok=True)
        self._processes.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.certificates.prepare()
        async with self._turn:
            requests = await self._processes.listen(_SERVICES_SOCKET, "127.0.0.1")
            streams = await self._processes.listen(_STREAMS_SOCKET, "127.0.0.1")
            running = await self._processes.running(MAIN)
            if running:
                self._main = await self._processes.newest(running)
                # Unknown: of another version. It is replaced with the first table.
                if layout := parse_layout(self._main.shape.partition(" ")[0]):
                    self._layout = layout
                self._placed = self._files.read_placed()
                self._tls_port = await self._processes.port_of(self._tls_sockets)
                await self._session()
                await self._retired.find()
                await self._retire_strays()
            else:
                await self._start_main()
            await self._edge.find(f"127.0.0.1:{requests}", f"127.0.0.1:{streams}")

    async def close(self) -> None:
        """Let go of the processes; they go on serving."""
        await self._retired.close()
        await self._edge.close()
        await self._hang_up()

    async def _hang_up(self) -> None:
        if self._admin is not None:
            await self._admin.close()
            self._admin = None

    async def stop(self) -> None:
        """End both processes once their connections are over (takes nothing new at once)."""
        async with self._turn:
            await self._edge.stop()
            for process in await self._processes.running(MAIN):
                await self._processes.finish(process)
            await self._retired.stop()
            await self.close()

    async def replace(self, binary: Path) -> None:
        """Hand all connections over to new processes of ``binary``; nothing is lost.

        Raises ProxyFailure when they don't come up, or no table was applied yet: those that
        serve go on.
        """
        async with self._turn:
            if not self._knows_table:
                raise ProxyFailure("the proxy is not replaced: it has no routing table yet")
            before, self._processes.binary = self._processes.binary, binary
            try:
                await self._session()
                await self._grow(self._table, plan_needs(self._table, self._placed))
                await self._edge.replace()
            except ProxyFailure:
                self._processes.binary = before
                raise

    async def apply(self, table: RoutingTable) -> Applied:
        """Serve ``table``; returns when HAProxy has answered every command."""
        async with self._turn:
            for _ in range(_TRIES - 1):
                with suppress(Disconnected):  # a restart: read back, then what differs again
                    return await self._apply(table)
            return await self._apply(table)

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        """Wait until no request of ``pod`` is in flight; returns what is left."""
        return await self._flights.drain(pod, timeout_s, answers_s)

    async def cut(self, pod: str, spread_s: float) -> int:
        """Close the streams of ``pod`` one after another within ``spread_s``."""
        return await self._flights.cut(pod, spread_s)

    async def stats(self) -> ProxyStats:
        """Counters of every pool and backend, as last seen if the process can't be asked now."""
        up = True
        try:
            async with self._turn:
                admin = await self._session()
                await self._counters.ask(admin, owners_of(self._placed, self._layout))
        except ProxyFailure:
            up = False
        return self._counters.report(self._table, up=up)

    def pool_of(self, section: str) -> Pool | None:
        """Whose the section of a log line is."""
        number = slot_of_section(section)
        return next((pool for pool, slot in self._placed.all() if slot == number), None)

    async def verify(self) -> bool:
        """Whether both processes still serve what they were told; cleans up on the way."""
        async with self._turn:
            if self._admin is None or self._admin.broken or self._outdated():
                return False
            try:
                told = self.certificates.served
                same = (await self._read_back(self._admin)).routes_like(self._served)
                if not same or told != self.certificates.served:
                    await self._hang_up()
                    return False
                await self._sweep(self._admin)
            except Disconnected:
                return False
            await self._retired.look()
            await self._retire_strays()
            alive = await self._edge.alive()
        await self._retired.close_surplus()
        await self._edge.close_surplus()
        return alive

    # Private: everything below holds the turn, but for what the flights ask.

    async def _apply(self, whole: RoutingTable) -> Applied:
        table, unfit, unserved = fit_table(whole)
        admin = await self._session()
        reloads = 0
        placed = await self._assign(admin, needs := plan_needs(table, self._placed))
        if placed is None or self._outdated():
            try:
                admin = await self._grow(table, needs)
            except ProxyFailure as failure:
                if placed is None:
                    raise
                log.error("the proxy stays as it is: %s", failure)  # verify has it tried again
                admin = await self._session()
            else:
                placed, reloads = self._placed, 1
        refused = await self._edge.hold(table.listeners)
        try:
            await self._change(admin, table, placed)
        except BaseException:
            await self._hang_up()  # what is served now is unknown: read it back next time
            raise
        await self._retired.apply(table)
        self._knows_table = True
        held = [listener for listener in table.listeners if listener not in refused]
        raw = {at for at in held if is_raw(table.protocols.get(table.listeners[at], "http"))}
        reloads += await self._edge.serve([at for at in held if at not in raw], raw)
        return Applied(reloads, {**refused, **unfit}, unserved, dict(self.certificates.refused))

    def _outdated(self) -> bool:
        """Whether the running main has other sockets than it should have now."""
        return self._main is not None and self._main.shape != self._shape()

    def _shape(self) -> str:
        written = "all" if self._log[1] else "sample" if self._log[0] else "none"
        return f"{self._layout} {','.join(self._main_sockets)} log={written} {_FRONTENDS}"

    async def _change(self, admin: AdminSocket, table: RoutingTable, placed: Placed) -> None:
        """New pods first, then whoever leaves, then the files, which take a moment: whom a crash
        before them brings back was not acknowledged as gone yet."""
        change = diff_servers(self._served, table, placed, self._layout)
        refusal = await refusal_of(admit(admin, self._served, change))
        maps = plan_maps(self._served.maps, render_maps(table, placed))
        only_more = self._files.known and not (change.after or maps) and placed == self._placed
        if refusal is None:
            refusal = await refusal_of(admin.replace_maps(maps, self._served.maps))
        if refusal is None:
            refusal = await refusal_of(self.certificates.bring(admin, table.certificates))
        await admin.execute(change.after)  # who must leave leaves all the same
        await self._write_files(table, placed, wait=not only_more)
        await admin.ask("show version")  # it lives: whoever follows it starts from these files
        if refusal is not None:
            raise refusal
        self._served.servers = change.servers
        self._placed, self._table = placed, table

    async def _assign(self, admin: AdminSocket, needs: Needs) -> Placed | None:
        placed = place(needs, self._placed, self._layout, self._served.occupied())
        if placed is None:
            await self._sweep(admin)
            placed = place(needs, self._placed, self._layout, self._served.occupied())
        return placed

    async def _planes(self) -> list[tuple[AdminSocket, Served]]:
        """Main, also while a table is being applied to it, and the processes that it replaced."""
        admin = self._admin
        if admin is None or admin.broken:
            async with self._turn:
                admin = await self._session()
        return [(admin, self._served), *await self._retired.sessions()]

    async def _session(self) -> AdminSocket:
        """The connection to main; a new one starts with reading back what main serves."""
        if (admin := self._admin) is not None and not admin.broken:
            return admin
        self._files.known = False  # who was here before may have ended between main and them
        if self._main is None:
            raise ProxyFailure("the proxy was not started")
        if self._main not in await self._processes.running(MAIN):
            await self._start_main()
        admin = self._admin
        if admin is None or admin.broken:
            admin = await self._processes.connect(self._main)
            self._served = await self._read_back(admin)
            self._admin, admin.on_lost = admin, self.on_lost
        return admin

    async def _read_back(self, admin: AdminSocket) -> Served:
        servers = parse_servers(await admin.ask("show servers state"))
        known = await admin.ask("show map")  # without TLS sockets it has none for them
        names = [name for name in MAPS if f"({name})" in known]
        maps = {name: parse_map(await admin.ask(f"show map {name}")) for name in names}
        await self.certificates.read_back(admin)
        return Served(servers, maps, await loaded(admin))

    async def _start_main(self) -> None:
        process = await self._processes.next(MAIN, self._shape())
        self._tls_port = await self._processes.port_of(self._tls_sockets)
        self._files.write(map_texts(self._table, self._placed))
        config = self._main_config(process, self._table, self._placed)
        admin = await self._processes.start(process, config, self._main_sockets)
        self._served = await self._read_back(admin)
        self._main, self._admin, admin.on_lost = process, admin, self.on_lost

    async def _grow(self, table: RoutingTable, needs: Needs) -> AdminSocket:
        """A new process, for more slots or other sockets; all is as before if it fails."""
        old, before = self._main, (self._placed, self._table, self._layout)
        layout = self._layout.grown(needs.counts())
        placed = place(needs, self._placed, layout, ()) or place(needs, Placed(), layout, ())
        assert placed is not None
        if old is not None:
            self._files.write({old.slots: render_placed(self._placed)})
        await self._hang_up()
        self._placed, self._table, self._layout = placed, table, layout
        try:
            await self._start_main()
        except ProxyFailure:
            self._placed, self._table, self._layout = before
            raise
        self._files.write(placed_text(placed))
        assert self._admin is not None
        if old is not None:
            await self._retired.add(old)
        return self._admin

    async def _retire_strays(self) -> None:
        """Whoever serves beside main was left over by a replacement that was cut short."""
        for process in await self._processes.running(MAIN):
            if process != self._main:
                await self._retired.add(process)

    def _main_config(self, process: Process, table: RoutingTable, placed: Placed) -> str:
        services_fd, streams_fd, *fds = fd_numbers(self._main_sockets).values()
        shape = MainShape(
            admin_socket=str(self._processes.admin_path(process)),
            services_fd=services_fd,
            streams_fd=streams_fd,
            web_fds=tuple(fds[: self._web_count]),
            tls_fds=tuple(fds[self._web_count :]),
            tls_port=self._tls_port,
            layout=self._layout,
            max_connections=connection_limit(len(self._main_sockets)),
            manner=self._manner,
            log_socket=self._log[0] if self._processes.version >= TELLS_SINCE else "",
            access_log=self._log[1],
        )
        return render_main(shape, table, placed)

    async def _write_files(self, table: RoutingTable, placed: Placed, *, wait: bool) -> None:
        """What a restart after a crash starts from: written before anything is acknowledged.

        Where pods only come it may be later: without them nothing goes wrong.
        """
        texts = {**placed_text(placed), **map_texts(table, placed)}
        if self._main is not None:
            texts[self._main.config] = self._main_config(self._main, table, placed)
        await self._files.keep(texts, wait=wait)

    async def _sweep(self, admin: AdminSocket) -> None:
        """Delete withdrawn servers, their counters harvested; busy ones wait for another time."""
        doomed = self._served.withdrawn()
        if not doomed:
            return
        await self._counters.ask(admin, owners_of(self._placed, self._layout))
        gone = await admin.attempt([f"del server {section}/{name}" for section, name in doomed])
        for (section, name), deleted in zip(doomed, gone, strict=True):
            if deleted:
                del self._served.servers[section][name]
