"""The frontends of the Ingress, HTTP and HTTPS, and how they find a request's slot; pure.

Requests find their pool ("slot", a spare backend section) through maps, so that a new Service,
host or path needs no reload. The longest-prefix map holds one kind of key for both path types::

    Prefix /api  at shop.example   shop.example/api/
    Exact  /api  at shop.example   shop.example/api/#

A request is looked up as host + path + ``/#``: whole path elements match, the longest wins, and
an Exact path is longer than the equal Prefix. ``#`` can't be part of a request's path.

What it finds is a slot (``s7``), and the request is on its way; or the record of a route with
options, which are carried out by rules that other requests never reach: see options.py.

A host with rules but none for every path has what answers its other paths under ``shop.example/``:
the default backend, or no slot at all. So whatever finds nothing is another host's.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.proxy.haproxy.options import OPTION_RULES, RECORD_RULES, RESPONSE_RULES, record_of
from nodrop.proxy.haproxy.slots import USE_SLOT, Slots, slot_name
from nodrop.proxy.protocol import UNMATCHED, Route, RoutingTable

#: File names of the maps, relative to the folder that HAProxy runs in. HTTP and HTTPS have their
#: own paths, since a redirect and the like concern only one of them.
PATHS, PATHS_TLS = "paths.map", "paths-tls.map"
WILDCARDS = "wildcards.map"
#: The certificates by SNI, and the folder of their files.
CERTIFICATES, CERTIFICATE_FOLDER = "certificates.list", "tls"

_ANY = "*"
_DEFAULT = "DEFAULT"  # hosts are looked up in lower case
_NO_SLOT = "s-"  # looks like one; there is no such section


def render_web(fds: Iterable[int], tls_fds: Iterable[int], tls_port: int) -> list[str]:
    """The frontends, and where they send what no Ingress has a rule for."""
    binds = [f"fd@{fd}" for fd in tls_fds]
    lines = [
        "frontend web",
        *(f"  bind fd@{fd}" for fd in fds),
        *_forwarded("http"),
        *_rules(PATHS, _redirect(tls_port)),
    ]
    if binds:  # in one line: they share one set of certificates in memory
        lines += [
            "frontend web-tls",
            f"  bind {','.join(binds)} ssl crt-list {CERTIFICATES} alpn h2,http/1.1",
            *_forwarded("https"),
            *_rules(PATHS_TLS, []),
        ]
    return [*lines, *_UNROUTED]


def web_maps(table: RoutingTable, slots: Slots) -> dict[str, dict[str, str]]:
    """The contents of the maps: file name → key → value."""
    wildcards = {route.host for route in table.routes if route.host.startswith("*.")}
    return {
        PATHS: _paths(table, slots, tls=False),
        PATHS_TLS: _paths(table, slots, tls=True),
        WILDCARDS: {host.removeprefix("*."): host for host in wildcards},
    }


# Private


#: Without a path: HAProxy 2.6 takes ``Host: shop.example/admin``, and its letters would choose the
#: route of another path.
_HOST = "req.fhdr(host),field(1,/),host_only,rtrim(.),lower"
_LOST = "!{ var(txn.slot) -m found }"

#: Names of headers that only a proxy may set.
_CLAIMED = "^(x[-_]forwarded|x[-_]real[-_]ip$|forwarded$)"

_UNROUTED = [
    "backend unrouted",
    '  http-request return status 404 content-type text/plain lf-string "nodrop: no Ingress rule'
    ' for %[req.hdr(host)]%[var(txn.path)]\\n"',
]


def _forwarded(scheme: str) -> list[str]:
    """What the pod is told about the client; what the client claims itself is dropped.

    Also with underscores in any place: CGI and WSGI make the same variable of ``X-Forwarded_For``.
    One expression for all (names are in lower case) costs less than a rule for each. The address
    becomes text once a connection: to do so costs twice what a header does.
    """
    return [
        "  tcp-request session set-var-fmt(sess.client) %[src]",
        f"  http-request del-header '{_CLAIMED}' -m reg",
        "  http-request add-header X-Forwarded-For %[var(sess.client)]",
        f"  http-request add-header X-Forwarded-Proto {scheme}",
        "  http-request add-header X-Forwarded-Host %[req.fhdr(host)]",
        "  http-request add-header X-Real-IP %[var(sess.client)]",
    ]


def _rules(paths: str, redirect: list[str]) -> list[str]:
    """From request to backend.

    One lookup answers a host with rules: fewer and cheaper steps than variables set one by one
    (measured). Then: the wildcard above it, rules for any host, the default backend. A host that
    has rules of its own never falls back to another's: its first lookup finds something. The rules
    for any host are asked apart where there is no wildcard to ask for: without a Host header, or a
    dot in it. ``allow`` ends the rules for a request that has found a slot: it pays for nothing
    that comes after.
    """
    by_path = f"concat(,txn.path,/#),map_beg({paths}),set-var(txn.slot)"
    return [
        "  http-request set-var(txn.path) path",
        f"  http-request allow if {{ '{_HOST},set-var(txn.host),{by_path}' -m beg s }}",
        f"  http-request allow if {_LOST}"
        f" {{ 'var(txn.host),field(2,.,0),map_str({WILDCARDS},{_ANY}),{by_path}' -m beg s }}",
        f"  http-request allow if {_LOST} {{ 'str({_ANY}),{by_path}' -m beg s }}",
        f"  http-request allow if {_LOST}"
        f" {{ 'str({_DEFAULT}/),map_beg({paths}),set-var(txn.slot)' -m beg s }}",
        f"  http-request allow if {_LOST}",
        *RECORD_RULES,
        *redirect,  # before a rewrite changes the path
        *OPTION_RULES,
        *USE_SLOT,
        "  default_backend unrouted",
        *RESPONSE_RULES,
    ]


def _redirect(tls_port: int) -> list[str]:
    """To the port of HTTPS; to none where the client sees none (a port 80 in front of ours).

    Challenges of certificate authorities come by HTTP and must be answered there.
    """
    port = "" if tls_port in (0, 443) else f":{tls_port}"
    needed = "{ var(txn.flags) -m sub r } !{ path_beg /.well-known/acme-challenge/ }"
    to = "https://%[var(txn.host)]{}%[pathq]"
    rule = "  http-request redirect code 308 location {} if {}"
    return [
        rule.format(to.format(port), f"{needed} {{ req.hdr(host),port_only gt 0 }}"),
        rule.format(to.format(""), needed),
    ]


def _paths(table: RoutingTable, slots: Slots, *, tls: bool) -> dict[str, str]:
    others = _NO_SLOT
    entries = {}
    if table.default is not None:
        slot = slot_name(slots[table.default])
        others = record_of(table.options.get(UNMATCHED), slot, slots, tls)
        entries[f"{_DEFAULT}/"] = others
    entries |= {f"{route.host}/": others for route in table.routes if route.host}
    return entries | {
        _path_key(route): record_of(table.options.get(route), slot_name(slots[pool]), slots, tls)
        for route, pool in table.routes.items()
    }


def _path_key(route: Route) -> str:
    host = route.host or _ANY
    if route.exact:
        return f"{host}{route.path}/#"
    return f"{host}{route.path.rstrip('/')}/"
