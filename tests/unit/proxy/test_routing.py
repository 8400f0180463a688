"""The routing table from API objects: semantics 4.2, 4.3 and 4.4 row by row."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.meta import Obj
from nodrop.proxy.pools import plan_refusals, pods_in_slices
from nodrop.proxy.protocol import Backend, Listener, Route, RoutingTable, ServicePort
from nodrop.proxy.routing import diff_tables, plan_table
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import endpoint, endpoint_slice, ingress, path, service

WEB = ServicePort("default", "web", 80)


def members(table: RoutingTable, pool: ServicePort = WEB) -> set[str]:
    return {backend.name for backend in table.pools.get(pool, ())}


def plan(*endpoints: Obj, **more: Any) -> RoutingTable:
    sources = Sources(services=[service()], slices=[endpoint_slice(*endpoints)], **more)
    return plan_table(sources)


READY = endpoint("a")
UNREADY = endpoint("b", ready=False)
ENDING = endpoint("c", ready=False, serving=True, terminating=True)
ENDED = endpoint("d", ready=False, serving=False, terminating=True)


@pytest.mark.parametrize(
    ("endpoints", "expected"),
    [
        ([READY, UNREADY, ENDING, ENDED], {"a"}),
        ([UNREADY, ENDING, ENDED], {"c"}),
        ([UNREADY, ENDED], set()),
        ([endpoint("a"), endpoint("e", ip="127.9.2.2")], {"a", "e"}),
        ([], set()),
    ],
)
def test_ready_pods_else_serving_terminating_ones(endpoints: list[Obj], expected: set[str]) -> None:
    """S8, semantics 4.2."""
    assert members(plan(*endpoints)) == expected


def test_a_pod_marked_terminating_here_gives_way_to_ready_ones() -> None:
    """S13: without waiting for its slice."""
    both = [endpoint("a"), endpoint("e")]
    assert members(plan(*both, terminating={"uid-a"})) == {"e"}
    assert members(plan(endpoint("a"), terminating={"uid-a"})) == {"a"}


def test_a_barred_pod_never_serves() -> None:
    assert members(plan(READY, barred={"uid-a"})) == set()
    assert members(plan(ENDING, barred={"uid-c"})) == set()


def test_missing_conditions_mean_ready() -> None:
    bare = {"addresses": ["10.0.0.1"]}
    assert plan(bare).pools[WEB] == {Backend("10.0.0.1", "10.0.0.1", "10.0.0.1", 8080)}


@pytest.mark.parametrize(
    ("endpoints", "served", "waiting"),
    [
        ([], set(), False),
        ([UNREADY], set(), True),
        ([ENDED], set(), False),
        ([], {WEB}, True),
        ([READY], {WEB}, False),
        ([UNREADY, ENDING], set(), False),
    ],
)
def test_a_pool_waits_while_a_pod_is_on_its_way(
    endpoints: list[Obj], served: set[ServicePort], waiting: bool
) -> None:
    assert (WEB in plan(*endpoints, served=served).waiting) is waiting


def test_target_ports_come_from_the_slice_port_of_the_same_name() -> None:
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 90}]
    slices = [
        endpoint_slice(endpoint("a"), port=8080, port_name="http"),
        endpoint_slice(endpoint("old"), port=8000, port_name="http"),
        endpoint_slice(endpoint("a"), port=9090, port_name="admin"),
    ]
    table = plan_table(Sources(services=[service(ports=ports)], slices=slices))
    assert {(b.name, b.port) for b in table.pools[WEB]} == {("a", 8080), ("old", 8000)}
    assert {b.port for b in table.pools[ServicePort("default", "web", 90)]} == {9090}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, {Listener("127.9.1.1", 80)}),
        ({"clusterIP": "None"}, set()),
        ({"type": "ExternalName"}, set()),
        ({"clusterIPs": ["127.9.1.1", "::1"]}, {Listener("127.9.1.1", 80), Listener("::1", 80)}),
        (
            {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
            {Listener("127.9.1.1", 80), Listener("127.0.0.1", 30080)},
        ),
        ({"ports": [{"port": 53, "protocol": "UDP"}]}, set()),
    ],
)
def test_listeners(spec: Obj, expected: set[Listener]) -> None:
    """Semantics 4.3."""
    obj = service()
    obj["spec"].update(spec)
    assert set(plan_table(Sources(services=[obj])).listeners) == expected


def test_node_ports_are_listened_on_at_every_address_that_was_bound() -> None:
    obj = service()
    obj["spec"].update({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]})
    table = plan_table(Sources(services=[obj], node_addresses=("192.0.2.1", "::1")))
    assert set(table.listeners) == {
        Listener("127.9.1.1", 80),
        Listener("192.0.2.1", 30080),
        Listener("::1", 30080),
    }


def test_udp_is_refused_with_a_sentence() -> None:
    obj = service(ports=[{"port": 53, "protocol": "UDP"}])
    assert plan_refusals([obj]) == {Listener("127.9.1.1", 53): "port 53 is UDP: only TCP is served"}


API = service("api", ip="127.9.1.2", ports=[{"name": "http", "port": 81}])


def routes(*ingresses: Obj, classes: tuple[Obj, ...] = ()) -> dict[tuple[str, str, bool], str]:
    table = plan_table(Sources(services=[service(), API], ingresses=ingresses, classes=classes))
    return {
        (route.host, route.path, route.exact): str(pool) for route, pool in table.routes.items()
    }


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (ingress(path("/")), {("", "/", False): "default/web:80"}),
        (ingress(path("/foo/")), {("", "/foo", False): "default/web:80"}),
        (ingress(path("/foo/", kind="Exact")), {("", "/foo/", True): "default/web:80"}),
        (
            ingress(path("/x", kind="ImplementationSpecific")),
            {("", "/x", False): "default/web:80"},
        ),
        (ingress(path(""), host="A.example"), {("a.example", "/", False): "default/web:80"}),
        (ingress(path("/"), host="*.x.example"), {("*.x.example", "/", False): "default/web:80"}),
        (ingress(path("/", "api", port={"name": "http"})), {("", "/", False): "default/api:81"}),
        (ingress(path("/", "api", port={"name": "no"})), {("", "/", False): "default/api:0"}),
        (ingress(path("/", "gone")), {("", "/", False): "default/gone:80"}),
        (ingress(), {}),
    ],
)
def test_ingress_rules(obj: Obj, expected: dict[tuple[str, str, bool], str]) -> None:
    """S1, semantics 4.4."""
    assert routes(obj) == expected


def test_a_rule_without_its_service_keeps_an_empty_pool() -> None:
    table = plan_table(Sources(ingresses=[ingress(path("/", "gone"))]))
    assert table.pools == {ServicePort("default", "gone", 80): frozenset()}


def test_exact_and_prefix_of_one_path_live_side_by_side() -> None:
    both = ingress(path("/a"), path("/a", "api", "Exact", {"number": 81}))
    assert routes(both) == {("", "/a", False): "default/web:80", ("", "/a", True): "default/api:81"}


def test_the_older_ingress_wins_a_path() -> None:
    young = ingress(path("/", "api"), name="a", created="2026-02-02T00:00:00Z")
    old = ingress(path("/"), name="z", created="2026-01-01T00:00:00Z")
    assert routes(young, old) == {("", "/", False): "default/web:80"}


def test_default_backend() -> None:
    obj = ingress(defaultBackend={"service": {"name": "web", "port": {"number": 80}}})
    table = plan_table(Sources(services=[service()], ingresses=[obj]))
    assert table.default == WEB
    assert WEB in table.pools


def test_pools_that_nothing_reaches_are_left_out() -> None:
    headless = service(clusterIP="None")
    assert plan_table(Sources(services=[headless])).pools == {}


def test_pods_in_slices() -> None:
    assert pods_in_slices([endpoint_slice(READY, ENDED)]) == {"uid-a", "uid-d"}


def test_diff_says_what_changed() -> None:
    before = plan(READY)
    after = plan_table(
        Sources(
            services=[service(), API],
            slices=[endpoint_slice(endpoint("z"))],
            ingresses=[ingress(path("/"))],
        )
    )
    assert diff_tables(before, after) == [
        "default/web:80 + z (127.9.2.1:8080)",
        "default/web:80 - a (127.9.2.1:8080)",
        "route  / False → default/web:80",
        "listener 127.9.1.2 81 → default/api:81",
    ]
    assert diff_tables(after, after) == []
    assert diff_tables(RoutingTable({}, {Route("", "/", False): WEB}), RoutingTable()) == [
        "route  / False → nowhere"
    ]
