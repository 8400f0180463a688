"""Slots, the spare backend sections that pools are served from, their servers and file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort

#: The server that refuses every connection: while it is the only one, requests are retried.
HOLD = "hold"

Slots = Mapping[ServicePort, int]

#: Whatever was executed twice can't be undone: only safe methods are sent again.
ONLY_SAFE_AGAIN = "  http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE }"


def slot_name(slot: int) -> str:
    return f"s{slot}"


def server_name(backend: Backend) -> str:
    """Names a server after all that it is, so that it can be read back from HAProxy."""
    return f"{backend.pod}_{backend.address}_{backend.port}"


def pod_of_server(name: str) -> str:
    """The pod uid in a server's name."""
    return name.rsplit("_", 2)[0]


def server_address(backend: Backend) -> str:
    host = f"[{backend.address}]" if ":" in backend.address else backend.address
    return f"{host}:{backend.port} {SERVER_OPTIONS}"


#: A pooled connection unused for this long is closed: apps that close idle connections early
#: would otherwise race with the next request (measured: 100 ms lost none, 500 ms some).
SERVER_OPTIONS = "pool-purge-delay 100ms"


def render_slots(total: int, table: RoutingTable, slots: Slots) -> list[str]:
    """All backend sections, with the present servers of those that are in use."""
    pool_of = {slot: pool for pool, slot in slots.items()}
    lines = []
    for slot in range(total):
        pool = pool_of.get(slot)
        if pool is None:
            lines += _slot(slot, (), False)
        else:
            lines += _slot(slot, table.pools.get(pool, ()), pool in table.waiting)
    return lines


# The file that says, to an engine that starts, which pool has which slot.


def name_slots(slots: Slots) -> str:
    return json.dumps([[*pool, slot] for pool, slot in sorted(slots.items())])


def read_slots(path: Path) -> dict[ServicePort, int]:
    """The slots as last written; without a readable file every pool gets a slot anew."""
    try:
        named = json.loads(path.read_text())
        return {ServicePort(namespace, name, port): slot for namespace, name, port, slot in named}
    except (OSError, ValueError, TypeError):
        return {}


# Private


def _slot(slot: int, backends: Iterable[Backend], waiting: bool) -> list[str]:
    hold = f"  server {HOLD} 127.0.0.1:1 backup" + ("" if waiting else " disabled")
    servers = [
        f"  server {server_name(backend)} {server_address(backend)}" for backend in sorted(backends)
    ]
    return [f"backend {slot_name(slot)}", "  balance roundrobin", *servers, hold]
