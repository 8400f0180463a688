"""Waits for what a pod has in hand, and closes what won't end by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected
from nodrop.proxy.haproxy.plan import Served
from nodrop.proxy.haproxy.sessions import Kind, Session, count, sessions_of
from nodrop.proxy.haproxy.slots import pod_of_server
from nodrop.proxy.haproxy.stats import parse_stats
from nodrop.proxy.protocol import InFlight

_SHORTEST_POLL_S, _LONGEST_POLL_S = 0.002, 0.05
#: Most requests are over within a few polls; then HAProxy is asked of what kind the others are.
_BRIEF_S = 0.02
_CUT_EVERY_S = 0.1


class Flights:
    """``planes`` gives a connection to every process that may have requests of a pod in hand, with
    its servers; ``deaf`` counts those that can't be asked. ``drained`` hears how many requests
    ended meanwhile."""

    def __init__(
        self,
        *,
        planes: Callable[[], Awaitable[Sequence[tuple[AdminSocket, Served]]]],
        deaf: Callable[[str], Awaitable[int]],
        drained: Callable[[str, int], None],
    ) -> None:
        self._planes = planes
        self._deaf = deaf
        self._drained = drained
        self._rng = random.Random()

    async def drain(self, pod: str, timeout_s: float, answers_s: float) -> InFlight:
        """Wait until no request of ``pod`` is in flight, as seen twice; returns what is left."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        deadline = began_s + timeout_s
        pause_s, zeros, most = _SHORTEST_POLL_S, 0, 0
        while True:
            left = InFlight(here := await self._everything(pod))
            most = max(most, here)
            if left.requests and (pause_s > _BRIEF_S or loop.time() >= deadline):
                asked_s = loop.time()
                left = await self._by_kind(pod, here, answered=asked_s - began_s >= answers_s)
                pause_s = max(pause_s, 10 * (loop.time() - asked_s))
            zeros = zeros + 1 if left.requests == 0 else 0
            if zeros == 2 or loop.time() >= deadline:
                self._drained(pod, most - sum(left))
                return left
            if left.requests:
                pause_s = max(pause_s, min(pause_s * 1.5, _LONGEST_POLL_S))
            await asyncio.sleep(min(pause_s, max(0.0, deadline - loop.time())))

    async def cut(self, pod: str, spread_s: float) -> int:
        """Close the streams of ``pod`` one after another within ``spread_s``."""

        async def streams() -> list[tuple[AdminSocket, Session]]:
            return [
                (admin, one)
                for admin, _ in await self._planes()
                for one in await _sessions(admin, pod)
                if one.kind in STREAMS
            ]

        return await close_gradually(streams, spread_s, self._rng)

    async def _everything(self, pod: str) -> int:
        """All that is in hand, of whatever kind: cheap to ask."""
        here = 0
        try:
            for admin, served in await self._planes():
                for section in sorted(served.sections_of(pod)):
                    rows = parse_stats(await admin.ask(f"show stat {section} 4 -1"))
                    here += sum(
                        n.in_flight for (_, s), n in rows.items() if pod_of_server(s) == pod
                    )
        except Disconnected:
            return 1  # unknown: ask the process that follows
        return here + await self._deaf(pod)

    async def _by_kind(self, pod: str, everything: int, *, answered: bool) -> InFlight:
        """``answered``: whoever is still being answered will be for long.

        What is counted and not shown is a request: nothing is taken for over that can't be seen.
        """
        try:
            found = [
                one for admin, _ in await self._planes() for one in await _sessions(admin, pod)
            ]
        except Disconnected:
            return InFlight(1)
        requests, answers = count(found, Kind.REQUEST), count(found, Kind.ANSWER)
        requests += 0 if answered else answers
        requests += max(0, everything - len(found))
        return InFlight(requests, count(found, Kind.TUNNEL) + (answers if answered else 0))


async def close_gradually(
    find: Callable[[], Awaitable[Sequence[tuple[AdminSocket, Session]]]],
    spread_s: float,
    rng: random.Random,
) -> int:
    """Close what ``find`` finds, some at every look, until ``spread_s`` are over; returns how
    many, also when it is cancelled. Their clients all come back: at once they would be a wave."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + spread_s
    closed = 0
    try:
        while True:
            looks = 1 + int(max(0.0, deadline - loop.time()) / _CUT_EVERY_S)
            streams = await find()
            chosen = rng.sample(streams, -(-len(streams) // looks))
            for admin, one in chosen:
                closed += sum(await admin.attempt([f"shutdown session {one.id}"]))
            if len(chosen) == len(streams):
                return closed
            await asyncio.sleep(_CUT_EVERY_S)
    except asyncio.CancelledError:
        if not closed:
            raise
        return closed


#: What does not end by itself, or not soon.
STREAMS = (Kind.ANSWER, Kind.TUNNEL)


async def _sessions(admin: AdminSocket, pod: str) -> list[Session]:
    return sessions_of(pod, await admin.ask("show sess"))
