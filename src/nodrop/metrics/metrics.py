"""The engine's metrics: keeps counts fresh, takes in log lines, and says what they are."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from nodrop.client.protocol import WatchEvent
from nodrop.events import Reason
from nodrop.metrics.access_log import AccessLog, Entry, entry_of
from nodrop.metrics.catalog import LEVELS
from nodrop.metrics.collector import Labels, State, StateCollector
from nodrop.metrics.directory import Directory, PodName
from nodrop.metrics.instruments import Instruments
from nodrop.metrics.latency import Latency
from nodrop.metrics.traffic import Ledger
from nodrop.metrics.usage import Usage, UsageMeter
from nodrop.model.kinds import EVENT
from nodrop.model.meta import Obj, object_kind
from nodrop.proxy.haproxy.log import SAMPLE_ONE_IN, Line, dropped_in, parse_line
from nodrop.proxy.haproxy.log_socket import receive
from nodrop.proxy.haproxy.slots import pod_of_server
from nodrop.proxy.protocol import PoolStats, Proxy, ServicePort

LOOK_EVERY_S = 5.0
#: Looks that rates are taken over.
_LOOKS_OF_A_RATE = 3
#: Statuses of connections that go on as something else: no answer that somebody waits for.
_UPGRADED = 101

_REASONS = frozenset(map(str, Reason))

#: Slot name → whose it is.
PoolOf = Callable[[str], ServicePort | None]


@dataclass(frozen=True, slots=True)
class Look:
    """The counts at one time: level → label values → counts."""

    at_s: float
    traffic: dict[str, dict[Labels, PoolStats]]


class Metrics:
    """Everything that is counted, on ``registry``. ``run`` keeps it fresh."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        proxy: Proxy,
        pool_of: PoolOf,
        meter: UsageMeter,
        directory: Directory,
        instruments: Instruments,
        revision: Callable[[], int],
        log_socket: Path,
        access_log: AccessLog | None = None,
    ) -> None:
        self.registry = registry
        self.directory, self.instruments = directory, instruments
        self.latency: dict[str, Latency[Labels]] = {level: Latency() for level in LEVELS}
        self.looks: deque[Look] = deque(maxlen=_LOOKS_OF_A_RATE + 1)
        self._proxy, self._pool_of, self._meter = proxy, pool_of, meter
        self._log_socket = log_socket
        self._ledger, self._revision, self._log = Ledger(), revision, access_log
        self._collector = StateCollector(directory)
        self._turn = asyncio.Lock()
        registry.register(self._collector)

    @property
    def usage(self) -> Usage:
        return self._collector.state.usage

    async def run(self) -> None:
        """Look at proxy and processes every few seconds, and take in log lines."""
        await self.directory.cache.synced()
        self.directory.cache.subscribe(self._on_change)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(receive(self._log_socket, self.take_lines), name="access log")
                group.create_task(self._keep_looking(), name="metrics")
        finally:
            if self._log is not None:
                self._log.close()

    async def scrape(self) -> bytes:
        """The text of ``/metrics``, as of now."""
        await self.look(measure=False)
        return generate_latest(self.registry)

    async def look(self, *, measure: bool = True) -> None:
        """Bring all counts up to date; with ``measure`` CPU and memory too."""
        async with self._turn:
            now_s = asyncio.get_running_loop().time()
            stats = await self._proxy.stats()
            present = self.directory.look()
            drained = self._ledger.take(
                stats, self.directory.name_of, present=present.keys(), now_s=now_s
            )
            for pod, requests in drained.items():
                self.instruments.drained(pod, requests)
            self.instruments.end_versions(present.values(), now_s)
            traffic = self._traffic(now_s)
            usage = await self._meter.look(now_s) if measure else None
            if measure:
                self.looks.append(Look(now_s, traffic))
                for level, latency in self.latency.items():
                    latency.keep(traffic[level].keys())
            self._collector.state = State(
                traffic=traffic,
                durations={level: found.by_key for level, found in self.latency.items()},
                usage=usage or self.usage,
                proxy_up=stats.state == "up",
                sample_ratio=1.0 if self._log is not None else 1 / SAMPLE_ONE_IN,
                revision=self._revision(),
            )

    def take_lines(self, texts: list[str]) -> None:
        """Lines from the proxy: into histograms, and into the access log if there is one."""
        now_s = asyncio.get_running_loop().time()
        entries: list[Entry] = []
        pool_of = functools.cache(self._pool_of)  # a batch has few slots
        read = lost = 0
        for text in texts:
            line = parse_line(text)
            if line is None:
                lost += dropped_in(text)
                continue
            read += 1
            pool = pool_of(line.slot)
            pod = self._pod_of(line)
            if pool is not None and line.code != _UPGRADED:
                self._time(pool, pod, line.total_ms / 1000, now_s)
            if self._log is not None and (entry := entry_of(line, pool, pod)):
                entries.append(entry)
        self.instruments.log_lines.labels("read").inc(read)
        self.instruments.log_lines.labels("dropped").inc(lost)
        self._write(entries)

    # Private

    async def _keep_looking(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(LOOK_EVERY_S)

    def _write(self, entries: list[Entry]) -> None:
        if self._log is None:
            return
        written, dropped = self._log.written, self._log.dropped
        self._log.write(entries)
        self.instruments.log_lines.labels("written").inc(self._log.written - written)
        self.instruments.log_lines.labels("dropped").inc(self._log.dropped - dropped)

    def _pod_of(self, line: Line) -> PodName | None:
        if line.server.startswith("<") or "_" not in line.server:
            return None
        return self.directory.name_of(pod_of_server(line.server))

    def _time(self, pool: ServicePort, pod: PodName | None, took_s: float, now_s: float) -> None:
        service = _labels(pool)
        self.latency["service"].add(service, took_s, now_s)
        if pod is not None:
            self.latency["version"].add((*service, pod.version), took_s, now_s)
            self.latency["pod"].add((*service, pod.version, pod.name), took_s, now_s)

    def _traffic(self, now_s: float) -> dict[str, dict[Labels, PoolStats]]:
        ledger = self._ledger
        return {
            "service": {_labels(pool): stats for pool, stats in ledger.services.items()},
            "version": {
                (*_labels(key.pool), key.version): stats
                for key, stats in ledger.versions(now_s).items()
            },
            "pod": {
                (*_labels(key.pool), key.pod.version, key.pod.name): stats
                for key, stats in ledger.pods(now_s).items()
            },
        }

    def _on_change(self, event: WatchEvent, before: Obj | None) -> None:
        if object_kind(event.obj) != EVENT or event.type == "DELETED":
            return
        more = int(event.obj.get("count") or 1) - int((before or {}).get("count") or 0)
        if more > 0:
            kind = "Warning" if event.obj.get("type") == "Warning" else "Normal"
            reason = event.obj.get("reason", "")
            known = reason if reason in _REASONS else "other"  # anybody may write Events
            self.instruments.events.labels(kind, known).inc(more)


def _labels(pool: ServicePort) -> Labels:
    return (pool.namespace, pool.service, str(pool.port))
