"""The main process's configuration and maps from a routing table; pure.

Frontends, slots and the edge have their own modules: web, services, slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodrop.proxy.haproxy.layout import Layout, Placed
from nodrop.proxy.haproxy.log import render_logging, render_ring, with_logging
from nodrop.proxy.haproxy.manner import Manner
from nodrop.proxy.haproxy.opening import render_global
from nodrop.proxy.haproxy.options import COOKIES, HEADERS, REWRITES, option_maps
from nodrop.proxy.haproxy.services import (
    SERVICES,
    STREAMS,
    render_services,
    render_streams,
    services_map,
    streams_map,
)
from nodrop.proxy.haproxy.slots import render_slots
from nodrop.proxy.haproxy.web import PATHS, PATHS_TLS, WILDCARDS, render_web, web_maps
from nodrop.proxy.protocol import RoutingTable

#: All maps: files relative to the folder that HAProxy runs in.
MAPS = (REWRITES, COOKIES, HEADERS, PATHS, PATHS_TLS, WILDCARDS, SERVICES, STREAMS)


@dataclass(frozen=True, slots=True, kw_only=True)
class MainShape:
    """What of the main process's configuration is fixed while it runs.

    The fds are inherited listening sockets; what arrives at ``services_fd`` (requests) and
    ``streams_fd`` (connections of TCP Services) comes from the edge, what arrives at ``tls_fds``
    is to be TLS; clients know it by ``tls_port``.
    ``max_connections`` fits the limit of open files.
    """

    admin_socket: str
    services_fd: int
    streams_fd: int
    web_fds: tuple[int, ...]
    tls_fds: tuple[int, ...] = ()
    tls_port: int = 0
    layout: Layout
    max_connections: int
    manner: Manner = field(default_factory=Manner)
    log_socket: str = ""
    """Where lines about requests go; empty: none are written."""
    access_log: bool = False
    """Every request with all that is known of it, instead of a sample."""


def render_maps(table: RoutingTable, placed: Placed) -> dict[str, dict[str, str]]:
    """The contents of all maps: file name → key → value; referred to before referring."""
    return {
        **option_maps(table),
        **web_maps(table, placed.http),
        SERVICES: services_map(table, placed.http),
        STREAMS: streams_map(table, placed.tcp),
    }


def render_map(entries: Mapping[str, str]) -> str:
    """The file of a map."""
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def render_main(shape: MainShape, table: RoutingTable, placed: Placed) -> str:
    """The main process: Ingress and Services, every slot with its present servers."""
    lines = [
        *render_global(shape.admin_socket, shape.max_connections),
        *(_TLS if shape.tls_fds else ()),
        *(render_ring(shape.log_socket) if shape.log_socket else ()),
        *_DEFAULTS,
        *shape.manner.defaults(),
        *render_web(shape.web_fds, shape.tls_fds, shape.tls_port),
        *render_services(shape.services_fd),
        *render_streams(shape.streams_fd),
    ]
    logging = render_logging(whole=shape.access_log) if shape.log_socket else ()
    slots = render_slots(shape.layout, table, placed, shape.manner)
    return "\n".join(with_logging(lines, logging)) + "\n" + slots


# Sessions are resumed by tickets, which clients keep; the cache is for who takes none. HAProxy's
# own 20,000 places are 5 MB, in use or not.
_TLS = ["  tune.ssl.cachesize 1000"]
_UNREADY = "nodrop: no pod of this Service is ready"
_MAYBE = "nodrop: the pod ended before it answered; this request may have been processed"
#: Tells a client that sending the request again could do its work twice.
_STATE = "Nodrop-Request-State maybe-processed"

# timeout server is long because a slow request is not a lost one; tunnels are WebSockets.
# retries: a connection that a pod refuses or drops before answering goes to another pod, and
# requests to a pool that waits for its first pod are held: one try a second.
_DEFAULTS = [
    "defaults",
    "  mode http",
    "  timeout client 60s",
    "  timeout http-request 30s",
    "  timeout http-keep-alive 60s",
    "  timeout connect 5s",
    "  timeout server 1h",
    "  timeout tunnel 24h",
    "  option idle-close-on-response",
    "  option redispatch 1",
    "  retries 5",
    "  retry-on conn-failure empty-response",
    f'  http-error status 502 content-type text/plain string "{_MAYBE}\\n" hdr {_STATE}',
    f'  http-error status 503 content-type text/plain string "{_UNREADY}\\n"',
]
