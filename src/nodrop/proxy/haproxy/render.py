"""HAProxy configuration texts and map entries from a routing table; pure.

Requests find their pool ("slot", a spare backend section) through maps, so that a new Service,
host or path needs no reload. The longest-prefix map holds one kind of key for both path types::

    Prefix /api  at shop.example   shop.example/api/
    Exact  /api  at shop.example   shop.example/api/#

A request is looked up as host + path + ``/#``: whole path elements match, the longest wins, and
an Exact path is longer than the equal Prefix. ``#`` can't be part of a request's path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodrop.proxy.protocol import Backend, Listener, Route, RoutingTable, ServicePort

#: File names of the maps, relative to the folder that HAProxy runs in.
PATHS, HOSTS, WILDCARDS, SERVICES = "paths.map", "hosts.map", "wildcards.map", "services.map"
MAPS = (PATHS, HOSTS, WILDCARDS, SERVICES)

#: The server that refuses every connection: while it is the only one, requests are retried.
HOLD = "hold"
_ANY = "*"
_DEFAULT = "/"  # no host contains it

Slots = Mapping[ServicePort, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class MainShape:
    """What of the main process's configuration is fixed while it runs.

    The fds are inherited listening sockets; what arrives at ``services_fd`` comes from the edge.
    ``max_connections`` fits the limit of open files.
    """

    admin_socket: str
    services_fd: int
    web_fds: tuple[int, ...]
    slots: int
    max_connections: int


def quote(text: str) -> str:
    """A word of a configuration file, whatever it holds."""
    return "'" + text.replace("'", "'\\''") + "'"


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


# Maps.


def render_maps(table: RoutingTable, slots: Slots) -> dict[str, dict[str, str]]:
    """The contents of all maps: file name → key → value."""
    return {
        PATHS: {_path_key(route): slot_name(slots[pool]) for route, pool in table.routes.items()},
        HOSTS: _hosts(table, slots),
        WILDCARDS: {
            route.host.removeprefix("*."): route.host
            for route in table.routes
            if route.host.startswith("*.")
        },
        SERVICES: {
            _listener_key(listener): slot_name(slots[pool])
            for listener, pool in table.listeners.items()
        },
    }


def render_map(entries: Mapping[str, str]) -> str:
    return "".join(f"{key} {value}\n" for key, value in sorted(entries.items()))


def _hosts(table: RoutingTable, slots: Slots) -> dict[str, str]:
    hosts = {
        route.host: route.host
        for route in table.routes
        if route.host and not route.host.startswith("*.")
    }
    if table.default is not None:
        hosts[_DEFAULT] = slot_name(slots[table.default])
    return hosts


def _path_key(route: Route) -> str:
    host = route.host or _ANY
    if route.exact:
        return f"{host}{route.path}/#"
    return f"{host}{route.path.rstrip('/')}/"


def _listener_key(listener: Listener) -> str:
    if listener.host in ("0.0.0.0", "::"):
        return f"{_ANY}:{listener.port}"
    return f"{listener.host}:{listener.port}"


# Configuration files.


def render_main(shape: MainShape, table: RoutingTable, slots: Slots) -> str:
    """The main process: Ingress and Services, HTTP, every slot with its present servers."""
    pool_of = {slot: pool for pool, slot in slots.items()}
    lines = [
        *_global(shape.admin_socket, shape.max_connections),
        *_MAIN_DEFAULTS,
        "frontend web",
        *(f"  bind fd@{fd}" for fd in shape.web_fds),
        *_WEB_RULES,
        "frontend services",
        f"  bind fd@{shape.services_fd} accept-proxy",
        *_SERVICES_RULES,
        *_UNROUTED,
        "backend nowhere",
    ]
    for slot in range(shape.slots):
        pool = pool_of.get(slot)
        if pool is None:
            lines += _slot(slot, (), False)
        else:
            lines += _slot(slot, table.pools.get(pool, ()), pool in table.waiting)
    return "\n".join(lines) + "\n"


def _slot(slot: int, backends: Iterable[Backend], waiting: bool) -> list[str]:
    hold = f"  server {HOLD} 127.0.0.1:1 backup" + ("" if waiting else " disabled")
    servers = [
        f"  server {server_name(backend)} {server_address(backend)}" for backend in sorted(backends)
    ]
    return [f"backend {slot_name(slot)}", "  balance roundrobin", *servers, hold]


def render_edge(
    *, admin_socket: str, main_address: str, fds: Sequence[int], max_connections: int
) -> str:
    """The L4 tier: accepts on every Service address and passes on, with the address asked for.

    It knows no pods, so a new one replaces it while connections through the old one go on.
    """
    lines = [
        *_global(admin_socket, max_connections),
        "  nbthread 1",
        *_EDGE_DEFAULTS,
        "frontend services",
        *(f"  bind fd@{fd}" for fd in fds),
        "  default_backend main",
        "backend main",
        f"  server main {main_address} send-proxy-v2",
    ]
    return "\n".join(lines) + "\n"


#: How long a process that was replaced may go on for its last connections: as long as an answer
#: may take (timeout server). Tunnels (WebSockets) that are older are cut then.
HARD_STOP = "1h"


def _global(admin_socket: str, max_connections: int) -> list[str]:
    return [
        "global",
        f"  stats socket {quote('unix@' + admin_socket)} mode 600 level admin",
        "  stats timeout 1d",
        f"  maxconn {max_connections}",
        f"  hard-stop-after {HARD_STOP}",
    ]


_UNREADY = "nodrop: no pod of this Service is ready"

# timeout server is long because a slow request is not a lost one; tunnels are WebSockets.
# retries: a connection that a pod refuses or drops before answering goes to another pod, and
# requests to a pool that waits for its first pod are held: one try a second.
_MAIN_DEFAULTS = [
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
    f'  http-error status 503 content-type text/plain string "{_UNREADY}\\n"',
]

# Whatever was executed twice can't be undone: only safe methods are sent again.
_ONLY_SAFE_AGAIN = "  http-request disable-l7-retry unless { method GET HEAD OPTIONS TRACE }"
_HOST = "req.hdr(host),host_only,rtrim(.),lower"
_BY_PATH = f"concat(,txn.path,/#),map_beg({PATHS}),set-var(txn.slot)"
_SLOT = "%[var(txn.slot)]"
_LOST = "unless { var(txn.slot) -m found }"

# One lookup answers a host with rules, inside the condition: fewer and cheaper steps than variables
# set one by one (measured). Then: the wildcard above it, rules for any host, the default backend.
# A host that has rules of its own never falls back to another's. The rules for any host are asked
# apart where there is no wildcard to ask for: without a Host header, or a dot in it.
_WEB_RULES = [
    "  http-request del-header x-forwarded- -m beg",
    "  http-request del-header forwarded",
    "  http-request add-header X-Forwarded-For %[src]",
    "  http-request add-header X-Forwarded-Proto http",
    _ONLY_SAFE_AGAIN,
    "  http-request set-var(txn.path) path",
    f"  use_backend {_SLOT} if {{ '{_HOST},set-var(txn.host),{_BY_PATH}' -m found }}",
    f"  use_backend {_SLOT} if !{{ var(txn.host),map_str({HOSTS}),set-var(txn.own) -m found }}"
    f" {{ 'var(txn.host),field(2,.,0),map_str({WILDCARDS},{_ANY}),set-var(txn.group),{_BY_PATH}'"
    " -m found }",
    f"  use_backend {_SLOT} if !{{ var(txn.own) -m found }} !{{ var(txn.group) -m found }}"
    f" {{ 'str({_ANY}),{_BY_PATH}' -m found }}",
    f"  use_backend {_SLOT} if {{ str({_DEFAULT}),map_str({HOSTS}),set-var(txn.slot) -m found }}",
    "  default_backend unrouted",
]

_UNROUTED = [
    "backend unrouted",
    '  http-request return status 404 content-type text/plain lf-string "nodrop: no Ingress rule'
    ' for %[req.hdr(host)]%[path]\\n"',
]

_SERVICES_RULES = [
    _ONLY_SAFE_AGAIN,
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
