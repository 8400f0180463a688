"""What HAProxy can't be told never reaches it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodrop.model.ingressoptions import Cookie
from nodrop.model.ingresspaths import Rewrite
from nodrop.proxy.haproxy.admin_socket import is_one_command
from nodrop.proxy.haproxy.fitness import fit_table
from nodrop.proxy.haproxy.plan import parse_server_names
from nodrop.proxy.pools import plan_endpoints
from nodrop.proxy.protocol import (
    UNMATCHED,
    Backend,
    Listener,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import endpoint, endpoint_slice, service

WEB = ServicePort("d", "web", 80)
GOOD = Backend("3f2a-1", "web-1", "127.9.2.1", 8080)


def with_backend(backend: Backend) -> RoutingTable:
    return RoutingTable({WEB: frozenset({GOOD, backend})})


@pytest.mark.parametrize(
    "backend",
    [
        GOOD._replace(pod="a b"),
        GOOD._replace(pod="a\nb"),
        GOOD._replace(pod=""),
        GOOD._replace(address="shop.example"),
        GOOD._replace(address="fe80::1%eth0"),
        GOOD._replace(port=0),
        GOOD._replace(port=-1),
        GOOD._replace(port=65536),
    ],
)
def test_a_backend_that_does_not_fit_is_left_out(backend: Backend) -> None:
    fit, refused, unserved = fit_table(with_backend(backend))
    assert fit.pools == {WEB: frozenset({GOOD})}
    assert refused == {}
    assert "is not served" in unserved[WEB]


@pytest.mark.parametrize(
    "backend",
    [GOOD, GOOD._replace(pod="::1", address="::1"), GOOD._replace(pod="10.1.2.3", port=65535)],
)
def test_a_backend_that_fits_changes_nothing(backend: Backend) -> None:
    table = with_backend(backend)
    assert fit_table(table) == (table, {}, {})


@pytest.mark.parametrize(
    ("path", "fits"),
    [
        ("/", True),
        ("/a%20b/~c;d='e'\"", True),
        ("/a b", False),
        ("/a\tb", False),
        ("/a\n\nb", False),
        ("/a#b", False),
        ("/a\\b", False),
        ("/ä", False),
        ("a", False),
    ],
)
def test_paths(path: str, fits: bool) -> None:
    table = RoutingTable({WEB: frozenset()}, {Route("a.example", path, False): WEB})
    fit, _, unserved = fit_table(table)
    assert (len(fit.routes), len(unserved)) == ((1, 0) if fits else (0, 1))


@pytest.mark.parametrize(
    "options",
    [
        RouteOptions(cookie=Cookie(name="c", attributes="; Path=/" + "a" * 8000)),
        RouteOptions(rewrite=Rewrite("/", "/" + "a" * 8000)),
        RouteOptions(rewrite=Rewrite("/" + "a" * 8000, "/")),
        RouteOptions(upstream_host="a" * 8000),
    ],
)
def test_a_route_that_fits_no_command_is_left_out(options: RouteOptions) -> None:
    """It would break every change of the table, not only its own."""
    good, bad = Route("a.example", "/", False), Route("b.example", "/", False)
    table = RoutingTable({WEB: frozenset()}, {good: WEB, bad: WEB}, default=WEB)
    table = replace(table, options={bad: options, UNMATCHED: options})
    fit, _, unserved = fit_table(table)
    assert (dict(fit.routes), fit.default, dict(fit.options)) == ({good: WEB}, None, {})
    assert "too long" in unserved[WEB]


def test_a_path_that_fits_no_command_is_left_out() -> None:
    long = Route("a.example", "/" + "a" * 8000, True)
    fit, _, unserved = fit_table(RoutingTable({WEB: frozenset()}, {long: WEB}, default=WEB))
    assert (dict(fit.routes), fit.default) == ({}, WEB)
    assert len(unserved[WEB]) < 200


def test_hosts_and_listeners() -> None:
    bad, good = Listener("x y", 80), Listener("127.9.1.1", 80)
    table = RoutingTable(
        {WEB: frozenset()}, {Route("a b", "/", False): WEB}, listeners={bad: WEB, good: WEB}
    )
    fit, refused, unserved = fit_table(table)
    assert (set(fit.listeners), set(refused)) == ({good}, {bad})
    assert (dict(fit.routes), set(unserved)) == ({}, {WEB})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("show stat -1 4 -1", True),
        ("add map @1 paths.map <<\na s0\nb s1\n", True),
        ("add map @1 paths.map <<\na s0\n\nb s1\n", False),
        ("add map @1 paths.map <<\na s0", False),
        ("add map @1 paths.map <<\n", False),
        ("add server s0/a b\nshutdown", False),
        ("set server s0/a state ready; shutdown", False),
        ("show info\n", False),
        ("show\rinfo", False),
    ],
)
def test_is_one_command(text: str, expected: bool) -> None:
    assert is_one_command(text) is expected


def test_parse_server_names() -> None:
    config = "backend s0\n  server u1_127.9.2.1_80 127.9.2.1:80\n  server hold x\n# server u2_x_1\n"
    assert parse_server_names(config) == {"u1_127.9.2.1_80", "u2_x_1"}


def test_names_in_slices_are_no_endpoints() -> None:
    named = endpoint_slice(endpoint("a")) | {"addressType": "FQDN"}
    sources = Sources(services=[service()], slices=[named])
    assert all(not members for members in plan_endpoints(sources).values())
