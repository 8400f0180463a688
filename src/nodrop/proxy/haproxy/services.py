"""The frontend of Services with its map, and the edge in front of it; pure."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.proxy.haproxy.opening import render_global
from nodrop.proxy.haproxy.slots import ONLY_SAFE_AGAIN, Slots, slot_name
from nodrop.proxy.protocol import Listener, RoutingTable

#: File name of the map, relative to the folder that HAProxy runs in.
SERVICES = "services.map"

_ANY = "*"


def render_services(fd: int) -> list[str]:
    """The frontend that takes from the edge, and where it sends what has no Service."""
    return [
        "frontend services",
        f"  bind fd@{fd} accept-proxy",
        *_SERVICES_RULES,
        "backend nowhere",
    ]


def services_map(table: RoutingTable, slots: Slots) -> dict[str, str]:
    """Listener → slot."""
    return {
        _listener_key(listener): slot_name(slots[pool])
        for listener, pool in table.listeners.items()
    }


def render_edge(
    *, admin_socket: str, main_address: str, fds: Sequence[int], max_connections: int
) -> str:
    """The L4 tier: accepts on every Service address and passes on, with the address asked for.

    It knows no pods, so a new one replaces it while connections through the old one go on.
    """
    lines = [
        *render_global(admin_socket, max_connections),
        "  nbthread 1",
        *_EDGE_DEFAULTS,
        "frontend services",
        *(f"  bind fd@{fd}" for fd in fds),
        "  default_backend main",
        "backend main",
        f"  server main {main_address} send-proxy-v2",
    ]
    return "\n".join(lines) + "\n"


_LOST = "unless { var(txn.slot) -m found }"

_SERVICES_RULES = [
    ONLY_SAFE_AGAIN,
    '  http-request set-var-fmt(txn.key) "%[dst]:%[dst_port]"',
    f"  http-request set-var(txn.slot) var(txn.key),map_str({SERVICES})",
    f'  http-request set-var-fmt(txn.key) "{_ANY}:%[dst_port]" {_LOST}',
    f"  http-request set-var(txn.slot) var(txn.key),map_str({SERVICES}) {_LOST}",
    "  use_backend %[var(txn.slot)]",
    "  default_backend nowhere",
]

# While main is being restarted, connections to it wait in the queue of its held socket.
_EDGE_DEFAULTS = [
    "defaults",
    "  mode tcp",
    "  timeout client 24h",
    "  timeout server 24h",
    "  timeout connect 10s",
]


def _listener_key(listener: Listener) -> str:
    if listener.host in ("0.0.0.0", "::"):
        return f"{_ANY}:{listener.port}"
    return f"{listener.host}:{listener.port}"
