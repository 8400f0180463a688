"""Cluster-faithful mode: whoever leaves a pool is still routed to for a while; pure.

In a cluster the removal of an endpoint reaches the proxies some time after the pod was told to
end, and nothing orders the two. docs/concepts/cluster-mode.md gives the distribution's sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort

#: (share of the removals so far, seconds): straight lines between these points.
_POINTS = ((0.0, 0.05), (0.5, 0.3), (0.85, 1.2), (1.0, 3.0))
LONGEST_S = _POINTS[-1][1]


def lag_s(share: float) -> float:
    """The lag that ``share`` (0 … 1) of all removals don't exceed.

    >>> [lag_s(0.0), lag_s(0.5), lag_s(1.0)]
    [0.05, 0.3, 3.0]
    """
    for (low, low_s), (high, high_s) in pairwise(_POINTS):
        if share <= high:
            return low_s + (share - low) / (high - low) * (high_s - low_s)
    return LONGEST_S


def share_of(number: int, seed: int) -> float:
    """Where the ``number``-th removal (from 0) falls among all, the same for the same seed.

    Radical inverses in base 2, moved by the seed: any 8 in a row have one in every eighth, so
    that even a short rehearsal meets late removals and can't pass by luck.
    """
    inverse, step, left = 0.0, 0.5, number
    while left:
        inverse += step * (left & 1)
        left >>= 1
        step /= 2
    return (inverse + seed * 0.6180339887498949) % 1.0


@dataclass(slots=True)
class LateRemovals:
    """The table as a cluster's proxies have it now. Times are in seconds of any clock."""

    seed: int
    _shown: RoutingTable = field(default_factory=RoutingTable)
    _leaves_at: dict[str, float] = field(default_factory=dict)
    _removals: int = 0

    def show(self, wanted: RoutingTable, now: float) -> tuple[RoutingTable, float | None]:
        """(what is routed at ``now``, in how many seconds that changes by itself).

        Requests to an empty pool are never held: no cluster's proxy does that.
        """
        leaving = self._leaving(wanted)
        staying = {backend.pod for backends in leaving.values() for backend in backends}
        self._leaves_at = {pod: at for pod, at in self._leaves_at.items() if pod in staying}
        for pod in sorted(staying - self._leaves_at.keys()):
            self._leaves_at[pod] = now + lag_s(share_of(self._removals, self.seed))
            self._removals += 1
        pools = {
            pool: backends | {b for b in leaving.get(pool, ()) if self._leaves_at[b.pod] > now}
            for pool, backends in wanted.pools.items()
        }
        self._shown = replace(wanted, pools=pools, waiting=frozenset())
        later = [at - now for at in self._leaves_at.values() if at > now]
        return self._shown, min(later, default=None)

    def _leaving(self, wanted: RoutingTable) -> dict[ServicePort, frozenset[Backend]]:
        return {
            pool: self._shown.pools[pool] - backends
            for pool, backends in wanted.pools.items()
            if pool in self._shown.pools
        }
