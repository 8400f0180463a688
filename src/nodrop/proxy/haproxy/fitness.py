"""What of a table HAProxy can be told: the rest would break out of a line of its files; pure.

The registry refuses such objects; a store may hold some that were written before it did.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from nodrop.proxy.protocol import (
    UNMATCHED,
    Backend,
    Certificate,
    Listener,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)

_POD = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_HOST = re.compile(r"[a-z0-9.*_-]*")
#: Printable ASCII: anything else arrives percent-encoded. ``#`` ends the keys of Exact paths.
_PATH = re.compile(r"/[!-~]*")
_SECRET = re.compile(r"[a-z0-9./-]*")
_NOT_IN_PATHS = frozenset("#\\")
#: A route is a line of a map, which must fit one command and one line of a file (16,384 bytes).
#: What is longer would end the connection, and with it every change of the table, for ever.
_LONGEST_ROUTE = 8_000


def fit_table(
    table: RoutingTable,
) -> tuple[RoutingTable, dict[Listener, str], dict[ServicePort, str]]:
    """The part of ``table`` that can be served, and why listeners and parts of pools can't."""
    refused = {at: f"{at.host!r} is no address" for at in table.listeners if not _is_ip(at.host)}
    backends = {
        (pool, backend): why
        for pool, members in table.pools.items()
        for backend in members
        if (why := _backend_trouble(backend))
    }
    routes = {
        route: why
        for route in table.routes
        if (why := _route_trouble(route, table.options.get(route)))
    }
    default = table.default
    if default and (why := _route_trouble(Route("", "/", False), table.options.get(UNMATCHED))):
        routes[UNMATCHED] = why
    certificates = tuple(filter(_is_fit, map(_fit_certificate, table.certificates)))
    if not refused and not backends and not routes and certificates == table.certificates:
        return table, {}, {}
    unserved = {pool: why for (pool, _), why in backends.items()}
    pools = {**table.routes, UNMATCHED: default} if default else table.routes
    unserved |= {pools[route]: why for route, why in routes.items()}
    fit = replace(
        table,
        pools={
            pool: frozenset(backend for backend in members if (pool, backend) not in backends)
            for pool, members in table.pools.items()
        },
        routes={route: pool for route, pool in table.routes.items() if route not in routes},
        options={route: one for route, one in table.options.items() if route not in routes},
        default=None if UNMATCHED in routes else default,
        certificates=certificates,
        listeners={at: pool for at, pool in table.listeners.items() if at not in refused},
    )
    return fit, refused, unserved


@lru_cache(maxsize=16_384)
def _backend_trouble(backend: Backend) -> str:
    if not _POD.fullmatch(backend.pod):
        return f"endpoint {backend.name!r} is not served: {backend.pod!r} is no uid"
    if not _is_ip(backend.address):
        return f"endpoint {backend.name!r} is not served: {backend.address!r} is no address"
    if not 1 <= backend.port <= 65535:
        return f"endpoint {backend.name!r} is not served: {backend.port} is no port"
    if backend.tls and not _NAME.fullmatch(backend.tls.name):
        return f"endpoint {backend.name!r} is not served: {backend.tls.name!r} is no host"
    return ""


def _route_trouble(route: Route, options: RouteOptions | None) -> str:
    if not _HOST.fullmatch(route.host):
        return f"Ingress rule for {route.host!r} is not served: that is no host"
    if not _PATH.fullmatch(route.path) or _NOT_IN_PATHS & set(route.path):
        return f"Ingress path {route.path!r} is not served: it can't be part of a URL's path"
    if len(route.host) + len(route.path) + _length_of(options) > _LONGEST_ROUTE:
        return f"Ingress path {route.path[:50]}… is not served: it or an annotation is too long"
    return ""


def _length_of(options: RouteOptions | None) -> int:
    """Of all texts in it that somebody chose."""
    if options is None:
        return 0
    texts = [options.upstream_host]
    texts += [options.cookie.name, options.cookie.attributes] if options.cookie else []
    texts += [options.rewrite.pattern, options.rewrite.target] if options.rewrite else []
    texts += [options.canary.header, options.canary.header_value] if options.canary else []
    return sum(map(len, texts))


def _is_fit(certificate: Certificate) -> bool:
    return bool(certificate.hosts and _SECRET.fullmatch(certificate.secret))


def _fit_certificate(certificate: Certificate) -> Certificate:
    """Only for hosts that can be asked for."""
    hosts = tuple(host for host in certificate.hosts if host and _HOST.fullmatch(host))
    return certificate if hosts == certificate.hosts else replace(certificate, hosts=hosts)


def _is_ip(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text
