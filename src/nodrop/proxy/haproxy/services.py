"""The frontends of Services with their maps, and the edge in front of them; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nodrop.proxy.haproxy.opening import render_global
from nodrop.proxy.haproxy.slots import USE_SLOT, Slots, slot_name, stream_slot_name
from nodrop.proxy.protocol import Listener, RoutingTable

#: File names of the maps, relative to the folder that HAProxy runs in: for requests, for TCP.
SERVICES, STREAMS = "services.map", "streams.map"

_ANY = "*"


def render_services(fd: int) -> list[str]:
    """The frontend that takes requests from the edge, and where it sends what has no Service.

    A client may begin with HTTP/2 without TLS: HAProxy knows it by its preface.
    """
    return [
        "frontend services",
        f"  bind fd@{fd} accept-proxy",
        *_SERVICES_RULES,
        "backend nowhere",
    ]


def render_streams(fd: int) -> list[str]:
    """The frontend that takes connections of TCP Services from the edge."""
    return [
        "frontend streams",
        "  mode tcp",
        "  no option idle-close-on-response",
        "  timeout client 24h",
        f"  bind fd@{fd} accept-proxy",
        *_STREAMS_RULES,
        "backend nobody",
        "  mode tcp",
    ]


def services_map(table: RoutingTable, slots: Slots) -> dict[str, str]:
    """Listener → slot, of those whose pool has one for requests."""
    return {
        _listener_key(listener): slot_name(slots[pool])
        for listener, pool in table.listeners.items()
        if pool in slots
    }


def streams_map(table: RoutingTable, slots: Slots) -> dict[str, str]:
    """Listener → slot, of those whose pool has one for connections."""
    return {
        _listener_key(listener): stream_slot_name(slots[pool])
        for listener, pool in table.listeners.items()
        if pool in slots
    }


@dataclass(frozen=True, slots=True)
class EdgeLane:
    """Listening sockets, and where main takes what comes in there."""

    main_address: str
    fds: Sequence[int]


def render_edge(
    *,
    admin_socket: str,
    requests: EdgeLane,
    streams: EdgeLane,
    max_connections: int,
) -> str:
    """The L4 tier: accepts on every Service address and passes on, with the address asked for.

    It knows no pods, so a new one replaces it while connections through the old one go on.
    """
    lines = [
        *render_global(admin_socket, max_connections),
        "  nbthread 1",
        *_EDGE_DEFAULTS,
        *_lane("services", requests),
        *_lane("streams", streams),
    ]
    return "\n".join(lines) + "\n"


def _lane(name: str, lane: EdgeLane) -> list[str]:
    if not lane.fds:
        return []
    return [
        f"frontend {name}",
        *(f"  bind fd@{fd}" for fd in lane.fds),
        f"  default_backend main-{name}",
        f"backend main-{name}",
        f"  server main {lane.main_address} send-proxy-v2",
    ]


_LOST = "unless { var(txn.slot) -m found }"

# Addresses become text once a connection: that costs more than everything else here.
_SERVICES_RULES = [
    '  tcp-request session set-var-fmt(sess.key) "%[dst]:%[dst_port]"',
    f'  tcp-request session set-var-fmt(sess.any) "{_ANY}:%[dst_port]"',
    f"  http-request set-var(txn.slot) var(sess.key),map_str({SERVICES})",
    f"  http-request set-var(txn.slot) var(sess.any),map_str({SERVICES}) {_LOST}",
    *USE_SLOT,
    "  default_backend nowhere",
]

_STREAMS_RULES = [
    '  tcp-request content set-var-fmt(txn.key) "%[dst]:%[dst_port]"',
    f"  tcp-request content set-var(txn.slot) var(txn.key),map_str({STREAMS})",
    f'  tcp-request content set-var-fmt(txn.key) "{_ANY}:%[dst_port]" {_LOST}',
    f"  tcp-request content set-var(txn.slot) var(txn.key),map_str({STREAMS}) {_LOST}",
    "  use_backend %[var(txn.slot)]",
    "  default_backend nobody",
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
