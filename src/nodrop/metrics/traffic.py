"""Traffic counts by service, version and pod from the proxy's counters; pure.

A pod's series ends a minute after it has left the API and the proxy, a version's an hour after
its last pod; what they counted stays in the sums above them. So the number of series is bounded
by what exists, not by how many rollouts there were.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nodrop.metrics.directory import PodName
from nodrop.proxy.haproxy.stats import add, difference
from nodrop.proxy.protocol import NO_STATS, PoolStats, ProxyStats, ServicePort

POD_ENDS_AFTER_S, VERSION_ENDS_AFTER_S = 60.0, 3600.0


class PodKey(NamedTuple):
    pool: ServicePort
    pod: PodName


class VersionKey(NamedTuple):
    pool: ServicePort
    version: str


@dataclass(slots=True)
class _Counted:
    """``total`` is shown; ``raw`` is what the proxy said last; ``alive_at_s`` by the loop."""

    total: PoolStats
    raw: PoolStats
    alive_at_s: float


@dataclass(slots=True)
class Ledger:
    """Follows the proxy's counters; every ``take`` brings it up to date."""

    services: dict[ServicePort, PoolStats] = field(default_factory=dict)
    _pods: dict[tuple[ServicePort, str], tuple[PodKey, _Counted]] = field(default_factory=dict)
    _versions: dict[VersionKey, _Counted] = field(default_factory=dict)
    _drained: dict[str, int] = field(default_factory=dict)

    def take(
        self,
        stats: ProxyStats,
        name_of: Callable[[str], PodName],
        *,
        present: Collection[str],
        now_s: float,
    ) -> dict[PodName, int]:
        """Count what is new; returns how many requests were drained since the last time.

        ``present`` are the pods (uid) that the API has.
        """
        if stats.state == "down":
            return {}
        raw = _by_pod(stats)
        serving = {(pool, backend.pod) for pool, backend in stats.backends}
        for key, now in raw.items():
            alive = key in serving or key[1] in present or now.in_flight > 0
            self._count(key, now, name_of, now_s if alive else None, now_s)
        self._end(raw.keys(), now_s)
        self.services = dict(stats.pools)
        return self._newly_drained(stats.drained, name_of)

    def pods(self, now_s: float) -> dict[PodKey, PoolStats]:
        """Those that are not long gone."""
        return {
            key: counted.total
            for key, counted in self._pods.values()
            if now_s - counted.alive_at_s <= POD_ENDS_AFTER_S
        }

    def versions(self, now_s: float) -> dict[VersionKey, PoolStats]:
        in_flight: dict[VersionKey, int] = {}
        for key, counted in self._pods.values():
            version = VersionKey(key.pool, key.pod.version)
            in_flight[version] = in_flight.get(version, 0) + counted.total.in_flight
        return {
            key: add(counted.total, PoolStats(in_flight.get(key, 0), 0, 0))
            for key, counted in self._versions.items()
        }

    # Private

    def _count(
        self,
        key: tuple[ServicePort, str],
        raw: PoolStats,
        name_of: Callable[[str], PodName],
        alive_s: float | None,
        now_s: float,
    ) -> None:
        known = self._pods.get(key)
        if known is None:
            pod_key = PodKey(key[0], name_of(key[1]))
            known = self._pods[key] = (pod_key, _Counted(NO_STATS, NO_STATS, now_s))
        pod_key, counted = known
        fresh = raw if raw.requests < counted.raw.requests else difference(raw, counted.raw)
        counted.total, counted.raw = add(counted.total, fresh), raw
        version = VersionKey(pod_key.pool, pod_key.pod.version)
        sums = self._versions.setdefault(version, _Counted(NO_STATS, NO_STATS, now_s))
        sums.total = add(sums.total, fresh)
        if alive_s is not None:
            counted.alive_at_s = sums.alive_at_s = alive_s

    def _end(self, reported: Collection[tuple[ServicePort, str]], now_s: float) -> None:
        """Forget pods only when the proxy has: else they would be counted a second time."""
        for key, (_, counted) in list(self._pods.items()):
            if key not in reported:
                counted.total = add(counted.total, NO_STATS)
                if now_s - counted.alive_at_s > POD_ENDS_AFTER_S:
                    del self._pods[key]
        for version, counted in list(self._versions.items()):
            if now_s - counted.alive_at_s > VERSION_ENDS_AFTER_S:
                del self._versions[version]

    def _newly_drained(
        self, drained: Mapping[str, int], name_of: Callable[[str], PodName]
    ) -> dict[PodName, int]:
        more = {uid: count - self._drained.get(uid, 0) for uid, count in drained.items()}
        self._drained = dict(drained)
        return {name_of(uid): count for uid, count in more.items() if count > 0}


def _by_pod(stats: ProxyStats) -> dict[tuple[ServicePort, str], PoolStats]:
    """What each pod has counted in each pool, before it left and since it is back."""
    raw = dict(stats.left)
    for (pool, backend), now in stats.backends.items():
        key = (pool, backend.pod)
        raw[key] = add(raw.get(key), now)
    return raw
