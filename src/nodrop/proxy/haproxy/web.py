"""The frontend of the Ingress and its maps; pure.

Requests find their pool ("slot", a spare backend section) through maps, so that a new Service,
host or path needs no reload. The longest-prefix map holds one kind of key for both path types::

    Prefix /api  at shop.example   shop.example/api/
    Exact  /api  at shop.example   shop.example/api/#

A request is looked up as host + path + ``/#``: whole path elements match, the longest wins, and
an Exact path is longer than the equal Prefix. ``#`` can't be part of a request's path.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.proxy.haproxy.slots import MARK_UNSAFE, SLOT, Slots, slot_name
from nodrop.proxy.protocol import Route, RoutingTable

#: File names of the maps, relative to the folder that HAProxy runs in.
PATHS, HOSTS, WILDCARDS = "paths.map", "hosts.map", "wildcards.map"

_ANY = "*"
_DEFAULT = "/"  # no host contains it


def render_web(fds: Iterable[int]) -> list[str]:
    """The frontend, and where it sends what no Ingress has a rule for."""
    return ["frontend web", *(f"  bind fd@{fd}" for fd in fds), *_WEB_RULES, *_UNROUTED]


def web_maps(table: RoutingTable, slots: Slots) -> dict[str, dict[str, str]]:
    """The contents of the maps: file name → key → value."""
    return {
        PATHS: {_path_key(route): slot_name(slots[pool]) for route, pool in table.routes.items()},
        HOSTS: _hosts(table, slots),
        WILDCARDS: {
            route.host.removeprefix("*."): route.host
            for route in table.routes
            if route.host.startswith("*.")
        },
    }


_HOST = "req.hdr(host),host_only,rtrim(.),lower"
_BY_PATH = f"concat(,txn.path,/#),map_beg({PATHS}),set-var(txn.slot)"

# One lookup answers a host with rules, inside the condition: fewer and cheaper steps than variables
# set one by one (measured). Then: the wildcard above it, rules for any host, the default backend.
# A host that has rules of its own never falls back to another's. The rules for any host are asked
# apart where there is no wildcard to ask for: without a Host header, or a dot in it.
_WEB_RULES = [
    "  http-request del-header x-forwarded- -m beg",
    "  http-request del-header forwarded",
    "  http-request add-header X-Forwarded-For %[src]",
    "  http-request add-header X-Forwarded-Proto http",
    MARK_UNSAFE,
    "  http-request set-var(txn.path) path",
    f"  use_backend {SLOT} if {{ '{_HOST},set-var(txn.host),{_BY_PATH}' -m found }}",
    f"  use_backend {SLOT} if !{{ var(txn.host),map_str({HOSTS}),set-var(txn.own) -m found }}"
    f" {{ 'var(txn.host),field(2,.,0),map_str({WILDCARDS},{_ANY}),set-var(txn.group),{_BY_PATH}'"
    " -m found }",
    f"  use_backend {SLOT} if !{{ var(txn.own) -m found }} !{{ var(txn.group) -m found }}"
    f" {{ 'str({_ANY}),{_BY_PATH}' -m found }}",
    f"  use_backend {SLOT} if {{ str({_DEFAULT}),map_str({HOSTS}),set-var(txn.slot) -m found }}",
    "  default_backend unrouted",
]

_UNROUTED = [
    "backend unrouted",
    '  http-request return status 404 content-type text/plain lf-string "nodrop: no Ingress rule'
    ' for %[req.hdr(host)]%[path]\\n"',
]


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
