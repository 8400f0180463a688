"""A data plane that takes its time, loses contact and comes back; over the one in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.protocol import Applied, Backend, InFlight, ProxyFailure, ProxyStats, RoutingTable


class Watcher(Protocol):
    """Who is told when tables are asked for and when they begin to serve."""

    def on_asked(self, table: RoutingTable) -> None: ...

    def on_serving(self, before: RoutingTable, table: RoutingTable) -> None: ...


class SimProxy:
    """See proxy.protocol.Proxy. It outlives every control plane.

    ``latency_s`` is how long an apply takes: the table begins to serve after half of it, its
    acknowledgement arrives at the end. ``lost`` makes every call fail; what was applied last
    goes on serving.
    """

    def __init__(self, watcher: Watcher, *, latency_s: Callable[[], float] = lambda: 0.0) -> None:
        self._watcher = watcher
        self._latency_s = latency_s
        self._turn = asyncio.Lock()
        self._in_flight: Counter[str] = Counter()
        self._idle: dict[str, asyncio.Event] = {}
        self._streams: dict[str, dict[Callable[[], None], None]] = {}
        self.memory = MemoryProxy()
        self.lost = False

    @property
    def table(self) -> RoutingTable:
        """What serves now."""
        return self.memory.table

    async def apply(self, table: RoutingTable) -> Applied:
        self._watcher.on_asked(table)
        async with self._turn:
            half_s = self._latency_s() / 2
            await asyncio.sleep(half_s)
            self._check("applying the routing table")
            before = self.memory.table
            applied = await self.memory.apply(table)
            self._watcher.on_serving(before, table)
            await asyncio.sleep(half_s)
            self._check("applying the routing table")
            return applied

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        self._check(f"draining pod {pod}")
        if self._in_flight[pod]:
            idle = self._idle.setdefault(pod, asyncio.Event())
            try:
                async with asyncio.timeout(timeout_s):
                    await idle.wait()
            except TimeoutError:
                pass
            self._check(f"draining pod {pod}")
        return InFlight(self._in_flight[pod], len(self._streams.get(pod, ())))

    async def cut(self, pod: str, spread_s: float) -> int:
        """Each stream is closed at a moment of its own, in the order they were opened."""
        streams = list(self._streams.get(pod, ()))
        closed = 0
        for close in streams:
            try:
                await asyncio.sleep(spread_s / len(streams))
            except asyncio.CancelledError:
                break  # what was closed is told all the same
            self._check(f"closing the streams of pod {pod}")
            if close in self._streams.get(pod, ()):
                close()
                closed += 1
        return closed

    async def stats(self) -> ProxyStats:
        self._check("reading counters")
        return await self.memory.stats()

    async def verify(self) -> bool:
        self._check("looking whether the data plane is the same")
        return await self.memory.verify()

    # Requests

    def in_flight(self, pod: str) -> int:
        return self._in_flight[pod]

    def begin(self, backend: Backend) -> None:
        self._in_flight[backend.pod] += 1

    def end(self, backend: Backend) -> None:
        self._in_flight[backend.pod] -= 1
        if not self._in_flight[backend.pod] and (idle := self._idle.pop(backend.pod, None)):
            idle.set()

    def streams(self, pod: str) -> int:
        return len(self._streams.get(pod, ()))

    def open_stream(self, pod: str, close: Callable[[], None]) -> None:
        """A long-lived connection begins; ``close`` is called when the data plane cuts it."""
        self._streams.setdefault(pod, {})[close] = None

    def end_stream(self, pod: str, close: Callable[[], None]) -> None:
        """It is over, whoever has ended it."""
        self._streams.get(pod, {}).pop(close, None)

    def _check(self, what: str) -> None:
        if self.lost:
            raise ProxyFailure(f"{what}: the data plane can't be reached")
