"""A data plane in memory: the Proxy protocol without a process, for simulation and tests.

It routes as the table says, counts what is in flight, and acknowledges only when a change is in
force. Delays come from the caller, so that a simulation can seed them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

from nodrop.model.ingressoptions import WEIGHT_PARTS
from nodrop.proxy.protocol import (
    UNMATCHED,
    Applied,
    Backend,
    Certificate,
    InFlight,
    Listener,
    PoolStats,
    ProxyFailure,
    ProxyStats,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)

_PLAIN = RouteOptions()


class MemoryProxy:
    """``delay_s`` is asked before every apply; ``unavailable`` maps listeners to why they fail.

    ``failures`` is how many of the next applies raise ProxyFailure.
    """

    def __init__(self, delay_s: Callable[[], float] = lambda: 0.0) -> None:
        self._delay_s = delay_s
        self._turn = asyncio.Lock()
        self._changed = asyncio.Condition()
        self._in_flight: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()
        self._requests: Counter[tuple[ServicePort, Backend]] = Counter()
        self._next: Counter[ServicePort] = Counter()
        self._turns: Counter[Route] = Counter()
        self._known = True
        self.table = RoutingTable()
        self.history: list[RoutingTable] = []
        self.unavailable: Mapping[Listener, str] = {}
        self.failures = 0

    async def apply(self, table: RoutingTable) -> Applied:
        async with self._turn:
            await asyncio.sleep(self._delay_s())
            if self.failures:
                self.failures -= 1
                raise ProxyFailure("the data plane in memory was told to fail")
            self.table, self._known = table, True
            self.history.append(table)
            return Applied(
                0, {at: why for at, why in self.unavailable.items() if at in table.listeners}
            )

    async def drain(self, pod: str, timeout_s: float, *, answers_s: float = 0.0) -> InFlight:
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: not self._in_flight[pod])
        except TimeoutError:
            pass
        return InFlight(self._in_flight[pod], self._streams[pod])

    async def cut(self, pod: str, spread_s: float) -> int:
        await asyncio.sleep(spread_s)
        return self._streams.pop(pod, 0)

    async def stats(self) -> ProxyStats:
        backends = {
            (pool, backend): PoolStats(
                self._in_flight[backend.pod], self._requests[(pool, backend)], 0
            )
            for pool, members in self.table.pools.items()
            for backend in members
        }
        return ProxyStats("up", backends)

    async def verify(self) -> bool:
        return self._known

    # What clients and faults do.

    def crash(self) -> None:
        """Be started anew: the table stays (it is on disk), but nobody has acknowledged it."""
        self._known = False

    def pool_for(self, host: str, path: str) -> ServicePort | None:
        """The pool of a request through the Ingress; None = 404.

        Of options only a canary matters here: by turns, as often as its weight says.
        """
        route, pool = self._route_for(host, path)
        canary = self.table.options.get(route, _PLAIN).canary
        if canary is None:
            return pool
        self._turns[route] += canary.weight
        if self._turns[route] < WEIGHT_PARTS:
            return pool
        self._turns[route] -= WEIGHT_PARTS
        return canary.pool

    def certificate_for(self, name: str) -> Certificate | None:
        """What a client is shown that asks for ``name``; None = the self-signed one."""
        wildcard = "*." + name.partition(".")[2]
        by_host = {host: one for one in self.table.certificates for host in one.hosts}
        return by_host.get(name) or by_host.get(wildcard)

    def _route_for(self, host: str, path: str) -> tuple[Route, ServicePort | None]:
        group = self._group(host.lower())
        found, best = UNMATCHED, self.table.default
        longest = (-1, False)
        for route, pool in self.table.routes.items():
            fits = path == route.path if route.exact else _under(path, route.path)
            rank = (len(route.path), route.exact)
            if route.host == group and fits and rank > longest:
                found, best, longest = route, pool, rank
        return found, best

    def choose(self, pool: ServicePort) -> Backend | None:
        """The next backend in turn; None = 503."""
        backends = sorted(self.table.pools.get(pool, ()))
        if not backends:
            return None
        self._next[pool] += 1
        return backends[self._next[pool] % len(backends)]

    def begin(self, pool: ServicePort, backend: Backend) -> None:
        """A request to ``backend`` starts."""
        self._requests[(pool, backend)] += 1
        self._in_flight[backend.pod] += 1

    def open_stream(self, backend: Backend) -> None:
        """A long-lived connection to ``backend`` starts; only ``cut`` ends it."""
        self._streams[backend.pod] += 1

    async def end(self, backend: Backend) -> None:
        """A request to ``backend`` is over."""
        self._in_flight[backend.pod] -= 1
        async with self._changed:
            self._changed.notify_all()

    def _group(self, host: str) -> str:
        """Exact host before wildcard before any: the host that a route must have to count."""
        hosts = {route.host for route in self.table.routes}
        wildcard = "*." + host.partition(".")[2]
        return next((name for name in (host, wildcard) if name in hosts), "")


def _under(path: str, prefix: str) -> bool:
    whole = prefix.rstrip("/")
    return path == whole or path.startswith(whole + "/")
