"""HAProxy's counters: read from ``show stat``, and kept when a server or the process is gone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nodrop.proxy.haproxy.slots import HOLD, Slots, pod_of_server, server_name
from nodrop.proxy.protocol import NO_STATS, PoolStats, ProxyStats, RoutingTable, ServicePort

#: Asks for backends (2) and servers (4) of every section.
EVERYTHING = "show stat -1 6 -1"
_POOL = "BACKEND"
_CLASSES = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx")
#: Pods whose counts are kept after they have left; whoever sums them up looks more often than so
#: many pods leave.
_REMEMBERED_PODS = 1_000

Rows = Mapping[tuple[int, str], PoolStats]


class _Series(NamedTuple):
    pool: ServicePort
    server: str


def parse_stats(text: str) -> dict[tuple[int, str], PoolStats]:
    """``show stat`` in CSV → (slot, server) → counters; a whole slot is the server BACKEND."""
    header, *rows = [line for line in text.splitlines() if line] or [""]
    columns = {name: index for index, name in enumerate(header.removeprefix("# ").split(","))}
    stats = {}
    for row in rows:
        cells = row.split(",")
        if not cells[0][1:].isdigit() or cells[0][0] != "s" or cells[1] in (HOLD, "FRONTEND"):
            continue

        def number(name: str, cells: list[str] = cells) -> int:
            index = columns.get(name)
            return 0 if index is None else int(cells[index] or 0)

        stats[(int(cells[0][1:]), cells[1])] = PoolStats(
            in_flight=number("scur") + number("qcur"),
            requests=number("stot"),
            errors=number("econ") + number("eresp"),
            responses=tuple(number(name) for name in _CLASSES),
            bytes_in=number("bin"),
            bytes_out=number("bout"),
            retries=number("wretr"),
            redispatches=number("wredis"),
            connection_errors=number("econ"),
            client_aborts=number("cli_abrt"),
            server_aborts=number("srv_abrt"),
        )
    return stats


def add(known: PoolStats | None, more: PoolStats) -> PoolStats:
    """The counts of both; what is in flight is the second's."""
    if known is None:
        return more
    pairs = ((getattr(known, name), getattr(more, name)) for name in _COUNTS)
    counts = dict(zip(_COUNTS, (old + new for old, new in pairs), strict=True))
    responses = tuple(map(sum, zip(known.responses, more.responses, strict=True)))
    return PoolStats(in_flight=more.in_flight, responses=responses, **counts)


@dataclass(slots=True)
class Counters:
    """What every pool and pod has counted, over deleted servers and restarts of the process.

    A count that has fallen was begun anew: what was seen of it before is kept and added. What was
    counted between the last look and a crash is lost.
    """

    drained: Counter[str] = field(default_factory=Counter)
    _seen: dict[_Series, PoolStats] = field(default_factory=dict)
    _kept: OrderedDict[_Series, PoolStats] = field(default_factory=OrderedDict)
    _ended: dict[ServicePort, PoolStats] = field(default_factory=dict)
    _pools: dict[ServicePort, PoolStats] = field(default_factory=dict)
    _owners: dict[int, ServicePort] = field(default_factory=dict)
    _raw_pools: dict[int, PoolStats] = field(default_factory=dict)
    _before: dict[int, PoolStats] = field(default_factory=dict)

    def see(self, rows: Rows, slots: Slots) -> None:
        """Take note of what the process says now; ``slots`` tells whose each slot is."""
        for pool, slot in slots.items():
            if self._owners.get(slot, pool) != pool:  # its count goes on from the pool before
                self._before[slot] = self._raw_pools.get(slot, NO_STATS)
            self._owners[slot] = pool
        now: dict[_Series, PoolStats] = {}
        for (slot, server), stats in rows.items():
            if (owner := self._owners.get(slot)) is not None:
                series = _Series(owner, server)
                now[series] = self._own_share(slot, stats) if server == _POOL else stats
        for series, last in self._seen.items():
            if (stats := now.get(series, NO_STATS)).requests < last.requests or series not in now:
                self._keep(series, last)
        self._seen = now

    def note_drained(self, pod: str, requests: int) -> None:
        """So many requests ended while the pod was withdrawn."""
        if requests > 0:
            self.drained[pod] += requests
        while len(self.drained) > _REMEMBERED_PODS:
            del self.drained[next(iter(self.drained))]

    def report(self, table: RoutingTable, *, up: bool) -> ProxyStats:
        """The counters by pool and backend of ``table``, and of what has left it."""
        backends = {
            (pool, backend): self._seen.get(_Series(pool, server_name(backend)), NO_STATS)
            for pool, members in table.pools.items()
            for backend in members
        }
        present = {_Series(pool, server_name(backend)) for pool, backend in backends}
        left: dict[tuple[ServicePort, str], PoolStats] = {}
        leaving = [(s, stats) for s, stats in self._seen.items() if s not in present]
        for series, stats in (*self._kept.items(), *leaving):
            if series.server != _POOL:
                key = (series.pool, pod_of_server(series.server))
                left[key] = add(left.get(key), stats)
        pools = dict(self._pools)
        for series, stats in self._seen.items():
            if series.server == _POOL:
                pools[series.pool] = add(pools.get(series.pool), stats)
        return ProxyStats(
            "up" if up else "down",
            backends if up else {},
            dict(self._ended),
            left,
            pools,
            dict(self.drained),
        )

    # Private

    def _own_share(self, slot: int, stats: PoolStats) -> PoolStats:
        """What the pool that has the slot now has counted in it."""
        if stats.requests < self._raw_pools.get(slot, NO_STATS).requests:
            self._before.pop(slot, None)  # begun anew: nobody was before
        self._raw_pools[slot] = stats
        before = self._before.get(slot)
        return stats if before is None else _less(stats, before)

    def _keep(self, series: _Series, last: PoolStats) -> None:
        last, sums = _at_rest(last), self._pools if series.server == _POOL else self._ended
        sums[series.pool] = add(sums.get(series.pool), last)
        if series.server == _POOL:
            return
        self._kept[series] = add(self._kept.get(series), last)
        self._kept.move_to_end(series)
        while len(self._kept) > _REMEMBERED_PODS:
            self._kept.popitem(last=False)


_COUNTS = (
    "requests",
    "errors",
    "bytes_in",
    "bytes_out",
    "retries",
    "redispatches",
    "connection_errors",
    "client_aborts",
    "server_aborts",
)


def _less(stats: PoolStats, before: PoolStats) -> PoolStats:
    counts = {name: max(0, getattr(stats, name) - getattr(before, name)) for name in _COUNTS}
    pairs = zip(stats.responses, before.responses, strict=True)
    responses = tuple(max(0, now - then) for now, then in pairs)
    return PoolStats(in_flight=stats.in_flight, responses=responses, **counts)


def _at_rest(stats: PoolStats) -> PoolStats:
    counts = {name: getattr(stats, name) for name in _COUNTS}
    return PoolStats(in_flight=0, responses=stats.responses, **counts)
