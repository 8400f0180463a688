"""From API objects to the routing table; pure. Pools and routes have their own modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from nodrop.proxy.pools import (
    Endpoints,
    choose_backends,
    has_coming,
    plan_affinity,
    plan_endpoints,
    plan_listeners,
    plan_protocols,
)
from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort
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
    pools = {
        pool: choose_backends(endpoints.get(pool, ()), sources.barred) for pool in sorted(reached)
    }
    waiting = frozenset(
        pool
        for pool, backends in pools.items()
        if not backends and (pool in sources.served or has_coming(endpoints.get(pool, ())))
    )
    protocols, affinity = plan_protocols(sources.services), plan_affinity(sources.services)
    return replace(
        wanted,
        pools=pools,
        waiting=waiting,
        protocols={pool: one for pool, one in protocols.items() if pool in reached},
        affinity={pool: one for pool, one in affinity.items() if pool in reached},
    )


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
