"""The process that accepts for Services: its held sockets and its replacement."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from nodrop.keeper.protocol import KeeperFailure
from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.plan import Served
from nodrop.proxy.haproxy.processes import Process, Processes, connection_limit, fd_numbers
from nodrop.proxy.haproxy.retired import RetiredProcesses, streams_in
from nodrop.proxy.haproxy.services import EdgeLane, render_edge
from nodrop.proxy.haproxy.sessions import Kind, Session, onward_of, sources_of
from nodrop.proxy.protocol import Listener, ProxyFailure

_EDGE = "proxy-edge"
_PREFIX = "svc/"
#: How often the sockets of an old one are looked at. Pods that come and go wait meanwhile, and
#: every new Service replaces one. A socket with few connections stays watched: 0.2 ms of CPU each.
_LOOKS = 3

_WHY = {
    "EADDRINUSE": "the port is in use by another program",
    "EACCES": "ports below 1024 are not allowed for this user",
    "EADDRNOTAVAIL": "this machine has no such address",
}


_UNREACHABLE = ("ECONNREFUSED", "ECONNRESET", "ENOENT")


def socket_name(listener: Listener) -> str:
    """The name under which the keeper holds a listener: ``svc/127.9.0.1:80``."""
    return f"{_PREFIX}{listener.host}:{listener.port}"


def streams_alone_in(answer: str) -> set[str]:
    """From where the connections come on which main, by its ``show sess``, has only streams.

    One of HTTP/2 may have requests in hand besides, which closing it would cut.
    """
    streams = {one.id for one in streams_in(answer)}
    sources = sources_of(answer).items()
    return {at for id, at in sources if id in streams} - {
        at for id, at in sources if id not in streams
    }


class Edge:
    """Keeps one process listening for all Services; older ones end with their connections.

    ``planes`` gives the mains that these pass through. ``cuts`` hears of what had to be closed.
    """

    def __init__(
        self,
        processes: Processes,
        planes: Callable[[], Awaitable[Sequence[tuple[AdminSocket, Served]]]],
        cuts: asyncio.Queue[str],
    ) -> None:
        self._processes = processes
        self._planes = planes
        self._retired = RetiredProcesses(
            processes, _EDGE, cuts, streams=self._streams_of, looks=_LOOKS
        )
        self._main_addresses = ("", "")
        self._current: Process | None = None
        self._held: dict[str, Listener] = {}

    async def find(self, requests: str, streams: str) -> None:
        """Adopt the running process and the held sockets.

        Main accepts requests at one address, connections of TCP Services at the other.
        """
        self._main_addresses = requests, streams
        running = await self._processes.running(_EDGE)
        self._current = running[-1] if running else None
        await self._retired.find()
        for process in running[:-1]:  # a replacement that was cut short
            await self._retired.add(process)
        try:
            held = await self._processes.keeper.listening()
        except KeeperFailure as error:
            raise ProxyFailure(f"can't list the held sockets: {error}") from error
        self._held = {
            name: Listener(host, port)
            for name, (host, port) in held.items()
            if name.startswith(_PREFIX)
        }

    async def alive(self) -> bool:
        """Whether the process still runs that should; if not, the next ``serve`` starts one.

        Old ones without connections are ended on the way.
        """
        await self._retired.look()
        running = await self._processes.running(_EDGE)
        if self._current is None or self._current in running:
            return True
        self._current = None
        return False

    async def hold(self, listeners: Iterable[Listener]) -> dict[Listener, str]:
        """Have all listeners held; returns those that can't be, and why."""
        refused = {}
        for listener in sorted(listeners):
            name = socket_name(listener)
            if name in self._held:
                continue
            try:
                await self._processes.keeper.listen(name, listener.host, listener.port)
            except KeeperFailure as error:
                if error.code in _UNREACHABLE:
                    raise ProxyFailure(f"can't reach the keeper: {error}") from error
                why = _WHY.get(error.code, str(error))
                refused[listener] = f"can't listen on {listener.host}:{listener.port}: {why}"
            else:
                self._held[name] = listener
        return refused

    async def serve(self, requests: Collection[Listener], streams: Collection[Listener]) -> int:
        """Listen on exactly these (all held); returns how many processes were started (0, 1)."""
        lanes = sorted(map(socket_name, requests)), sorted(map(socket_name, streams))
        shape = "|".join(map(",".join, lanes)) if any(lanes) else ""
        started = 0
        if shape != (self._current.shape if self._current else ""):
            started = await self._replace(shape)
        for name in self._held.keys() - {name for lane in lanes for name in lane}:
            await self._unlisten(name)
        return started

    async def close_surplus(self) -> None:
        """Of many old processes the oldest lose their streams."""
        await self._retired.close_surplus()

    async def close(self) -> None:
        """Let go of the processes; they go on."""
        await self._retired.close()

    async def stop(self) -> None:
        """Listen nowhere; all end with their connections."""
        await self.serve((), ())
        await self._retired.stop()

    async def replace(self) -> None:
        """Hand over to a new process, for another program."""
        if self._current is not None:
            await self._replace(self._current.shape)

    async def _replace(self, shape: str) -> int:
        old, self._current = self._current, None
        if shape:
            process = await self._processes.next(_EDGE, shape)
            lanes = [lane.split(",") if lane else [] for lane in (shape + "|").split("|")[:2]]
            names = lanes[0] + lanes[1]
            fds = list(fd_numbers(names).values())
            config = render_edge(
                admin_socket=str(self._processes.admin_path(process)),
                requests=EdgeLane(self._main_addresses[0], fds[: len(lanes[0])]),
                streams=EdgeLane(self._main_addresses[1], fds[len(lanes[0]) :]),
                max_connections=connection_limit(len(names)),
            )
            try:
                admin = await self._processes.start(process, config, names)
            except ProxyFailure:
                self._current = old
                raise
            await admin.close()
            self._current = process
        if old is not None:
            await self._retired.add(old)
        return 1 if shape else 0

    async def _streams_of(self, admin: AdminSocket) -> list[Session]:
        """The sessions of an edge that main, which knows the requests in them, calls streams."""
        streams: set[str] = set()
        for main, _ in await self._planes():
            streams |= streams_alone_in(await main.ask("show sess"))
        onward = onward_of(await admin.ask("show sess all"))
        return [
            Session(id, "", "", Kind.TUNNEL) for id, source in onward.items() if source in streams
        ]

    async def _unlisten(self, name: str) -> None:
        try:
            await self._processes.keeper.unlisten(name)
        except KeeperFailure as error:
            raise ProxyFailure(f"can't let go of {name}: {error}") from error
        del self._held[name]
