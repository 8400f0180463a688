"""HAProxy's counters: read from ``show stat``, and kept when a server or the process is gone."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.slots import HOLD, pod_of_server, server_name, slot_of_section
from nodrop.proxy.protocol import NO_STATS, PoolStats, ProxyStats, RoutingTable, ServicePort

#: Asks for backends (2) and servers (4) of every section.
_EVERYTHING = "show stat -1 6 -1"
_POOL = "BACKEND"
_CLASSES = ("hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx")
#: Pods whose counts are kept after they have left; whoever sums them up looks more often than so
#: many pods leave.
_REMEMBERED_PODS = 1_000

#: (section, server) → counters.
Rows = Mapping[tuple[str, str], PoolStats]


class _Series(NamedTuple):
    pool: ServicePort
    section: str
    server: str


def parse_stats(
    text: str, sections: Collection[str] | None = None
) -> dict[tuple[str, str], PoolStats]:
    """``show stat`` in CSV → (section, server) → counters; the server BACKEND is them all.

    Only of ``sections`` if given: with hundreds of spare ones all of it would take 10 ms.
    """
    header, *rows = [line for line in text.splitlines() if line] or [""]
    columns = {name: index for index, name in enumerate(header.removeprefix("# ").split(","))}
    stats = {}
    for row in rows:
        if sections is not None and row.partition(",")[0] not in sections:
            continue
        cells = row.split(",")
        if slot_of_section(cells[0]) is None or cells[1] in (HOLD, "FRONTEND"):
            continue

        def number(name: str, cells: list[str] = cells) -> int:
            index = columns.get(name)
            return 0 if index is None else int(cells[index] or 0)

        stats[(cells[0], cells[1])] = PoolStats(
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


def parse_process(text: str) -> str:
    """``show info`` → which process answers: its pid and when it was started."""
    wanted = ("Pid:", "Start_time_sec:")
    return " ".join(line for line in text.splitlines() if line.startswith(wanted))


def add(known: PoolStats | None, more: PoolStats) -> PoolStats:
    """The counts of both; what is in flight is the second's."""
    if known is None:
        return more
    pairs = ((getattr(known, name), getattr(more, name)) for name in _COUNTS)
    counts = dict(zip(_COUNTS, (old + new for old, new in pairs), strict=True))
    responses = tuple(map(sum, zip(known.responses, more.responses, strict=True)))
    return PoolStats(in_flight=more.in_flight, responses=responses, **counts)


def together(first: PoolStats | None, second: PoolStats) -> PoolStats:
    """Two that count side by side: what is in flight is summed up too."""
    if first is None:
        return second
    return replace(add(first, second), in_flight=first.in_flight + second.in_flight)


def difference(stats: PoolStats, before: PoolStats) -> PoolStats:
    """What was counted since ``before``; never less than nothing."""
    counts = {name: max(0, getattr(stats, name) - getattr(before, name)) for name in _COUNTS}
    pairs = zip(stats.responses, before.responses, strict=True)
    responses = tuple(max(0, now - then) for now, then in pairs)
    return PoolStats(in_flight=stats.in_flight, responses=responses, **counts)


@dataclass(slots=True)
class Counters:
    """What every pool and pod has counted, over deleted servers and restarts of the process.

    A process that was started anew counts from 0: what was seen of the one before is kept and
    added. What was counted between the last look and a crash is lost.
    """

    drained: Counter[str] = field(default_factory=Counter)
    _seen: dict[_Series, PoolStats] = field(default_factory=dict)
    _kept: OrderedDict[_Series, PoolStats] = field(default_factory=OrderedDict)
    _ended: dict[ServicePort, PoolStats] = field(default_factory=dict)
    _pools: dict[ServicePort, PoolStats] = field(default_factory=dict)
    _process: str = ""
    _owners: dict[str, ServicePort] = field(default_factory=dict)
    _raw_pools: dict[str, PoolStats] = field(default_factory=dict)
    _before: dict[str, PoolStats] = field(default_factory=dict)

    async def ask(self, admin: AdminSocket, owners: Mapping[str, ServicePort]) -> None:
        """Take note of what the process at ``admin`` says now. Raises ProxyFailure."""
        info = await admin.ask("show info")
        rows = parse_stats(await admin.ask(_EVERYTHING), {*self._owners, *owners})
        self.see(rows, owners, process=parse_process(info))

    def see(self, rows: Rows, owners: Mapping[str, ServicePort], *, process: str = "") -> None:
        """Take note of ``rows``; ``owners`` tells whose each section is."""
        begun_anew = process != self._process
        self._process = process
        if begun_anew:
            self._before.clear()
            self._raw_pools.clear()
        for section, pool in owners.items():
            if self._owners.get(section, pool) != pool:  # its count goes on from the pool before
                self._before[section] = self._raw_pools.get(section, NO_STATS)
            self._owners[section] = pool
        now: dict[_Series, PoolStats] = {}
        for (section, server), stats in rows.items():
            if (owner := self._owners.get(section)) is not None:
                series = _Series(owner, section, server)
                now[series] = self._own_share(section, stats) if server == _POOL else stats
        for series, last in self._seen.items():
            fallen = now.get(series, NO_STATS).requests < last.requests
            if begun_anew or fallen or series not in now:
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
        present: dict[tuple[ServicePort, str], PoolStats] = {
            (pool, server_name(backend)): NO_STATS
            for pool, members in table.pools.items()
            for backend in members
        }
        left: dict[tuple[ServicePort, str], PoolStats] = {}
        for series, stats in self._kept.items():
            key = (series.pool, pod_of_server(series.server))
            left[key] = together(left.get(key), stats)
        for series, stats in self._seen.items():
            named, key = (series.pool, series.server), (series.pool, pod_of_server(series.server))
            if named in present:
                present[named] = together(present[named], stats)
            elif series.server != _POOL:
                left[key] = together(left.get(key), stats)
        backends = {
            (pool, backend): present[pool, server_name(backend)]
            for pool, members in table.pools.items()
            for backend in members
        }
        pools = dict(self._pools)
        for series, stats in self._seen.items():
            if series.server == _POOL:
                pools[series.pool] = together(pools.get(series.pool), stats)
        return ProxyStats(
            "up" if up else "down",
            backends if up else {},
            dict(self._ended),
            left,
            pools,
            dict(self.drained),
        )

    # Private

    def _own_share(self, section: str, stats: PoolStats) -> PoolStats:
        """What the pool that has the section now has counted in it."""
        if stats.requests < self._raw_pools.get(section, NO_STATS).requests:
            self._before.pop(section, None)  # begun anew: nobody was before
        self._raw_pools[section] = stats
        before = self._before.get(section)
        return stats if before is None else difference(stats, before)

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


def _at_rest(stats: PoolStats) -> PoolStats:
    counts = {name: getattr(stats, name) for name in _COUNTS}
    return PoolStats(in_flight=0, responses=stats.responses, **counts)
