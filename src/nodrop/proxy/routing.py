"""From API objects to the routing table; pure. Pools and routes have their own modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from nodrop.proxy.pools import (
    Endpoints,
    choose_backends,
    has_coming,
    plan_endpoints,
    plan_listeners,
)
from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort
from nodrop.proxy.routes import plan_routes
from nodrop.proxy.sources import Sources

_Key = TypeVar("_Key", bound=tuple[object, ...])


def plan_table(sources: Sources) -> RoutingTable:
    """The table for the present objects."""
    return table_of(sources, plan_endpoints(sources))


def table_of(sources: Sources, endpoints: Endpoints) -> RoutingTable:
    """The table, given the endpoints; only pools that can be reached are in it."""
    listeners = plan_listeners(sources)
    routes, default = plan_routes(sources)
    reached = {*listeners.values(), *routes.values(), *([default] if default else ())}
    pools = {
        pool: choose_backends(endpoints.get(pool, ()), sources.barred) for pool in sorted(reached)
    }
    waiting = frozenset(
        pool
        for pool, backends in pools.items()
        if not backends and (pool in sources.served or has_coming(endpoints.get(pool, ())))
    )
    return RoutingTable(pools, routes, default, listeners, waiting)


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
    if before.default != after.default:
        lines.append(f"default backend → {after.default}")
    return lines


def _changed(
    what: str, old: Mapping[_Key, ServicePort], new: Mapping[_Key, ServicePort]
) -> list[str]:
    return [
        f"{what} {' '.join(map(str, key))} → {new.get(key, 'nowhere')}"
        for key in sorted({*old, *new}, key=str)
        if old.get(key) != new.get(key)
    ]


def _shown(backend: Backend) -> str:
    return f"{backend.name} ({backend.address}:{backend.port})"
