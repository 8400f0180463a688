"""Processes that were replaced: they take nothing new and end with their last connection.

One that is merely told to finish (SIGUSR1) can't be told about pods any more: a request on a
connection that it keeps would go to a pod that has ended since. So a replaced one is not told to
finish. Its frontends are shut down over its admin socket: it lets go of the listening sockets,
every answer from then on closes its connection (idle ones are not cut under a request), and its
servers follow the table like those of the process that serves. (An edge has no servers that could
change; it is kept in the same way so that its streams can be closed.)
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected
from nodrop.proxy.haproxy.authorities import admit, loaded
from nodrop.proxy.haproxy.flights import close_gradually
from nodrop.proxy.haproxy.layout import Layout, Placed, parse_layout, parse_placed
from nodrop.proxy.haproxy.plan import (
    Change,
    Served,
    diff_servers,
    parse_server_names,
    parse_servers,
)
from nodrop.proxy.haproxy.processes import Process, Processes, write_atomically
from nodrop.proxy.haproxy.sessions import Kind, Session, all_sessions
from nodrop.proxy.haproxy.slots import HOLD, pod_of_server
from nodrop.proxy.protocol import ProxyFailure, RoutingTable

#: How often and how long a frontend is looked at until its sockets are no longer watched.
LOOKS, _LOOK_S = 20, 0.01

log = logging.getLogger(__name__)

#: How long a replaced process may go on for its last connections: as long as an answer may take
#: (timeout server). Tunnels (WebSockets) that are older are cut then.
LONGEST_S = 3600.0
#: More than so many at once are not kept for their streams, however young; within how many
#: seconds those of the oldest are closed.
MOST = 3
_SPREAD_S = 5.0
#: Requests that are older while their answer goes on are streams, too (SSE, long downloads).
_ANSWER_S = 5


def only_withdraw(served: Served, table: RoutingTable) -> Change:
    """For a process of which it is not known what its slots are for: no pod comes, some leave."""
    pods = table.pods()
    stays = {
        section: {
            name: ready and (name == HOLD or pod_of_server(name) in pods)
            for name, ready in servers.items()
        }
        for section, servers in served.servers.items()
    }
    leaves = [
        f"set server {section}/{name} state maint"
        for section, servers in served.servers.items()
        for name, ready in servers.items()
        if ready and not stays[section][name]
    ]
    return Change((), tuple(leaves), stays)


@dataclass(slots=True)
class _Retired:
    """``placed`` says which pool has which slot in it: those it had when it was replaced.

    ``layout`` None: it is of another version, whose slots are not known.
    """

    process: Process
    since_s: float
    placed: Placed
    layout: Layout | None
    admin: AdminSocket | None = None
    served: Served = field(default_factory=Served)


async def own_streams(admin: AdminSocket) -> Sequence[Session]:
    """What a main has in hand that does not end by itself soon."""
    return streams_in(await admin.ask("show sess"))


def streams_in(answer: str) -> list[Session]:
    """Those of ``show sess``; an answer that has just begun may be over at once."""
    return [one for one in all_sessions(answer) if _will_last(one)]


class RetiredProcesses:
    """Those of a role that still have connections. Times are ``loop.time()``, the same for all
    engines. ``streams`` finds the sessions that may be closed where too many processes are left;
    ``cuts`` is told of what had to be, in words for the user. ``looks``: see ``let_go``."""

    def __init__(
        self,
        processes: Processes,
        role: str,
        cuts: asyncio.Queue[str],
        *,
        streams: Callable[[AdminSocket], Awaitable[Sequence[Session]]] = own_streams,
        looks: int = LOOKS,
    ) -> None:
        self._processes = processes
        self._role = role
        self._streams = streams
        self._looks = looks
        self._cuts = cuts
        self._following: dict[str, _Retired] = {}
        #: Those that can't be told anything → the pods that they may still send requests to.
        self._deaf: dict[str, frozenset[str]] = {}
        self._opening = asyncio.Lock()
        self._rng = random.Random()

    async def find(self) -> None:
        """Adopt those that an engine before us has replaced."""
        for process in await self._processes.running(self._role, finishing=True):
            self._deaf[process.id] = self._pods_in_config(process)
        for process, since_s in await self._processes.retired(self._role):
            await self._processes.retire(process, since_s)  # a note may be all that was done
            await self._add(process, since_s)

    async def add(self, process: Process) -> None:
        """``process`` is replaced: it takes nothing new from now on.

        Its file of slots tells which pools it serves; without one it only lets go of pods.
        """
        since_s = asyncio.get_running_loop().time()
        await self._processes.retire(process, since_s)
        await self._add(process, since_s)

    async def apply(self, table: RoutingTable) -> None:
        """Make all follow; whoever can't is told to finish, and waited for by ``in_flight``."""
        for one in tuple(self._following.values()):
            try:
                admin = await self._session(one)
                change = (
                    diff_servers(one.served, table, one.placed, one.layout)
                    if one.layout and one.placed.all()
                    else only_withdraw(one.served, table)
                )
                await admit(admin, one.served, change)
                await admin.execute(change.after)
                one.served.servers = change.servers
            except ProxyFailure as failure:
                await self._give_up(one, failure)

    async def sessions(self) -> list[tuple[AdminSocket, Served]]:
        """Those that can be asked."""
        found = []
        for one in tuple(self._following.values()):
            try:
                found.append((await self._session(one), one.served))
            except ProxyFailure as failure:
                await self._give_up(one, failure)
        return found

    async def deaf(self, pod: str) -> int:
        """How many may still send to ``pod`` and can't be asked: wait for their end."""
        await self._look_at_deaf()
        return sum(pod in pods for pods in self._deaf.values())

    async def look(self) -> None:
        """End those without connections, and those that are too old."""
        now_s = asyncio.get_running_loop().time()
        for one in tuple(self._following.values()):
            try:
                connections = await _connections(await self._session(one))
            except ProxyFailure as failure:
                await self._give_up(one, failure)
                continue
            if connections and now_s - one.since_s < LONGEST_S:
                continue
            if connections:
                log.warning("%s is ended with %d old connections", one.process.id, connections)
            await self._processes.end(one.process)
            await self._forget(one)
        await self._look_at_deaf()

    async def close_surplus(self) -> None:
        """Of more than MOST the oldest lose their streams; requests they have in hand go on."""
        oldest = sorted(self._following.values(), key=lambda one: one.since_s)[:-MOST]
        async with asyncio.TaskGroup() as group:
            for one in oldest:
                group.create_task(self._close_streams(one))

    async def stop(self) -> None:
        """Have all finish: the engine ends."""
        for one in tuple(self._following.values()):
            await self._processes.finish(one.process)
            await self._forget(one)

    async def close(self) -> None:
        """Let go of them; they go on."""
        for one in self._following.values():
            if one.admin is not None:
                await one.admin.close()
                one.admin = None

    # Private

    async def _add(self, process: Process, since_s: float) -> None:
        placed = parse_placed(self._processes.read(process.slots))
        layout = parse_layout(process.shape.partition(" ")[0])
        one = _Retired(process, since_s, placed, layout)
        self._following[one.process.id] = one
        try:
            admin = await self._session(one)
            await let_go(admin, self._looks)
        except ProxyFailure as failure:
            await self._give_up(one, failure)

    async def _close_streams(self, one: _Retired) -> None:
        async def streams() -> list[tuple[AdminSocket, Session]]:
            admin = await self._session(one)
            return [(admin, each) for each in await self._streams(admin)]

        with suppress(ProxyFailure):  # whoever can't be asked is looked at by ``look``
            if closed := await close_gradually(streams, _SPREAD_S, self._rng):
                text = (
                    f"{closed} long-lived connections of {one.process.id} were closed: it was "
                    f"replaced, and so were {MOST} others since, which are still there"
                )
                log.warning("%s", text)
                self._cuts.put_nowait(text)

    async def _session(self, one: _Retired) -> AdminSocket:
        async with self._opening:
            if one.admin is None or one.admin.broken:
                one.admin = await AdminSocket.open(self._processes.admin_path(one.process))
                servers = parse_servers(await one.admin.ask("show servers state"))
                one.served = Served(servers, authorities=await loaded(one.admin))
            return one.admin

    async def _give_up(self, one: _Retired, failure: ProxyFailure) -> None:
        """It has ended, or must: nothing may be sent to pods that it does not know are gone."""
        await self._forget(one)
        left = [process.id for process, _ in await self._processes.retired(self._role)]
        if one.process.id not in left:
            return
        if not isinstance(failure, Disconnected):
            log.warning("%s does not follow and is told to finish: %s", one.process.id, failure)
        self._deaf[one.process.id] = self._remember_pods(one)
        await self._processes.finish(one.process)

    async def _forget(self, one: _Retired) -> None:
        self._following.pop(one.process.id, None)
        if one.admin is not None:
            await one.admin.close()

    async def _look_at_deaf(self) -> None:
        if self._deaf:
            finishing = await self._processes.running(self._role, finishing=True)
            left = {process.id for process in finishing}
            self._deaf = {id: pods for id, pods in self._deaf.items() if id in left}

    def _remember_pods(self, one: _Retired) -> frozenset[str]:
        """All pods that it knows, withdrawn ones too; in its file for who comes after us."""
        known = {name for servers in one.served.servers.values() for name in servers} - {HOLD}
        file = one.process.config
        text = self._processes.read(file) + "".join(f"# server {name}\n" for name in sorted(known))
        write_atomically(self._processes.folder / file, text)
        return self._pods_in_config(one.process)

    def _pods_in_config(self, process: Process) -> frozenset[str]:
        config = self._processes.read(process.config)
        return frozenset(map(pod_of_server, parse_server_names(config)))


def _will_last(session: Session) -> bool:
    return session.kind is Kind.TUNNEL or (
        session.kind is Kind.ANSWER and session.age_s >= _ANSWER_S
    )


async def let_go(admin: AdminSocket, looks: int = LOOKS) -> None:
    """Close the listening sockets. Raises ProxyFailure when HAProxy keeps some.

    They are inherited and others have them open, too: what HAProxy closes while its epoll watches
    it stays watched, and every connection that comes would wake this process for nothing. A
    frontend that is disabled first is no longer watched from the next connection on; without any
    there is nothing that could wake it, so a short wait is enough: ``looks`` times 10 ms.
    """
    frontends = await _open_frontends(admin)
    for name in frontends:
        await admin.ask(f"disable frontend {name}")
    for _ in range(looks):
        if not any("l.st=" in line and "prmsk=0x0" not in line for line in await _fds(admin)):
            break
        await asyncio.sleep(_LOOK_S)
    for name in frontends:
        await admin.ask(f"shutdown frontend {name}")
    if left := await _open_frontends(admin):  # it would go on taking requests by maps of then
        raise ProxyFailure(f"HAProxy does not close its frontends {', '.join(left)}")


async def _fds(admin: AdminSocket) -> list[str]:
    return (await admin.ask("show fd")).splitlines()


async def _open_frontends(admin: AdminSocket) -> list[str]:
    rows = _rows(await admin.ask("show stat -1 1 -1"))
    return [row["# pxname"] for row in rows if row["status"] != "STOP"]


async def _connections(admin: AdminSocket) -> int:
    return sum(int(row["scur"]) for row in _rows(await admin.ask("show stat -1 1 -1")))


def _rows(text: str) -> list[dict[str, str]]:
    header, *lines = [line.split(",") for line in text.splitlines() if line] or [[]]
    return [dict(zip(header, line, strict=False)) for line in lines]
