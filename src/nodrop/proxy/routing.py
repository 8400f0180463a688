"""From API objects to the routing table; pure. Pools and routes have their own modules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from nodrop.proxy.backendtls import PlannedTls
from nodrop.proxy.external import Answer, Externals, backends_at, plan_externals, without_loops
from nodrop.proxy.pools import (
    Endpoint,
    Endpoints,
    choose_backends,
    has_coming,
    plan_affinity,
    plan_endpoints,
    plan_listeners,
    plan_protocols,
)
from nodrop.proxy.protocol import AppProtocol, Backend, BackendTls, RoutingTable, ServicePort
from nodrop.proxy.routes import Routes, plan_routes
from nodrop.proxy.sources import Sources

_Key = TypeVar("_Key", bound=tuple[object, ...])
_Value = TypeVar("_Value")


def plan_table(sources: Sources) -> RoutingTable:
    """The table for the present objects."""
    return table_of(sources, plan_endpoints(sources))


def table_of(sources: Sources, endpoints: Endpoints, routes: Routes | None = None) -> RoutingTable:
    """The table, given the endpoints; only pools that can be reached are in it.

    ``routes`` are planned here where the caller has no use for them.
    """
    routes = routes or plan_routes(sources)
    wanted = RoutingTable(
        routes=routes.pools,
        default=routes.default,
        listeners=plan_listeners(sources),
        options=routes.options,
        certificates=routes.certificates,
    )
    reached = wanted.reached()
    externals = plan_externals(sources.services, wanted.routed())
    protocols = {**plan_protocols(sources.services), **externals.protocols}
    known = _Known(sources, endpoints, externals, protocols, routes.tls)
    pools = {pool: known.backends(pool) for pool in sorted(reached)}
    affinity = plan_affinity(sources.services)
    return replace(
        wanted,
        pools=pools,
        waiting=frozenset(pool for pool, some in pools.items() if not some and known.waits(pool)),
        protocols={
            pool: one for pool, one in protocols.items() if pool in reached and one != "http"
        },
        affinity={pool: one for pool, one in affinity.items() if pool in reached},
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """Who serves a pool: its own endpoints, another pool's, or the addresses of a host."""

    sources: Sources
    endpoints: Endpoints
    externals: Externals
    protocols: Mapping[ServicePort, AppProtocol]
    tls: PlannedTls

    def backends(self, pool: ServicePort) -> frozenset[Backend]:
        place = self.externals.places.get(pool)
        if place is None:
            found = choose_backends(self._members(pool), self.sources.barred)
        else:
            answer = self.sources.answers.get(place.host, Answer())
            answer = without_loops(place, answer, self.sources.ingress_ports)
            found = backends_at(place, answer)
        if self.protocols.get(pool) != "https":
            return found
        return self._with_tls(pool, found, place.host if place else "")

    def _with_tls(
        self, pool: ServicePort, found: frozenset[Backend], host: str
    ) -> frozenset[Backend]:
        """A host elsewhere is always told which name is meant: it may have several certificates.

        A Service's own name is the one that certificates inside a cluster are made for.
        """
        tls = self.tls.tls.get(pool, BackendTls(host) if host else None)
        if tls is None:
            return found
        name = tls.name or host or f"{pool.service}.{pool.namespace}.svc"
        return frozenset(one._replace(tls=tls._replace(name=name)) for one in found)

    def waits(self, pool: ServicePort) -> bool:
        """Whether somebody is on the way, so that requests had better wait."""
        place = self.externals.places.get(pool)
        if place is not None:
            return place.host not in self.sources.answers
        return pool in self.sources.served or has_coming(self._members(pool))

    def _members(self, pool: ServicePort) -> Sequence[Endpoint]:
        return self.endpoints.get(self.externals.aliases.get(pool, pool), ())


# What changed, for logs and the decision trace.


def diff_tables(before: RoutingTable, after: RoutingTable) -> list[str]:
    """The difference in words, one line a change: ``default/web:80 + web-1 (127.9.1.1:80)``."""
    lines = []
    for pool in sorted(before.pools.keys() | after.pools.keys()):
        old, new = before.pools.get(pool, frozenset()), after.pools.get(pool, frozenset())
        lines += [f"{pool} + {_shown(backend)}" for backend in sorted(new - old)]
        lines += [f"{pool} - {_shown(backend)}" for backend in sorted(old - new)]
    lines += _changed("route", before.routes, after.routes)
    lines += _changed("listener", before.listeners, after.listeners)
    lines += _turned("speaks", before.protocols, after.protocols, "http")
    lines += _turned("affinity", before.affinity, after.affinity, 0)
    if before.default != after.default:
        lines.append(f"default backend → {after.default}")
    lines += _special(before, after)
    return lines


def _special(before: RoutingTable, after: RoutingTable) -> list[str]:
    """Options and certificates that changed, by name: no key is ever in the log."""
    lines = [
        f"options of {' '.join(map(str, route))} → {after.options.get(route, 'none')}"
        for route in sorted({*before.options, *after.options})
        if before.options.get(route) != after.options.get(route)
    ]
    old = {one.secret: one for one in before.certificates}
    new = {one.secret: one for one in after.certificates}
    lines += [
        f"certificate {secret} → {', '.join(new[secret].hosts) if secret in new else 'no host'}"
        for secret in sorted({*old, *new})
        if old.get(secret) != new.get(secret)
    ]
    return lines


def _changed(
    what: str, old: Mapping[_Key, ServicePort], new: Mapping[_Key, ServicePort]
) -> list[str]:
    return [
        f"{what} {' '.join(map(str, key))} → {new.get(key, 'nowhere')}"
        for key in sorted({*old, *new}, key=str)
        if old.get(key) != new.get(key)
    ]


def _turned(
    what: str,
    old: Mapping[ServicePort, _Value],
    new: Mapping[ServicePort, _Value],
    default: _Value,
) -> list[str]:
    return [
        f"{pool} {what} {new.get(pool, default)}"
        for pool in sorted({*old, *new})
        if old.get(pool, default) != new.get(pool, default)
    ]


def _shown(backend: Backend) -> str:
    return f"{backend.name} ({backend.address}:{backend.port})"
