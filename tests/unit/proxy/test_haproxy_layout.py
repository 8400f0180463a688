"""Which pool sits in which slot."""

from __future__ import annotations

import pytest

from nodrop.proxy.haproxy.layout import (
    Layout,
    Needs,
    Placed,
    SlotClass,
    default_layout,
    parse_layout,
    parse_placed,
    place,
    plan_needs,
    render_placed,
)
from nodrop.proxy.protocol import AppProtocol, Listener, Route, RoutingTable, ServicePort

WEB, API = ServicePort("d", "web", 80), ServicePort("d", "api", 80)
HTTP, TCP = SlotClass("http"), SlotClass("tcp")
AT, ANY = Listener("127.9.1.1", 80), Route("", "/", False)


def needs(**http: SlotClass) -> Needs:
    return Needs({ServicePort("d", name, 80): one for name, one in http.items()}, {})


def test_a_layout_is_read_back_and_anything_else_is_none() -> None:
    layout = default_layout(64)
    assert parse_layout(str(layout)) == layout
    assert parse_layout("256") is None
    assert parse_layout("spdy~0*4") is None


def test_numbers_run_through_all_classes() -> None:
    layout = Layout(((HTTP, 2), (TCP, 1)))
    assert (layout.total, layout.classes()) == (3, (HTTP, HTTP, TCP))
    assert (layout.numbers(HTTP), layout.numbers(TCP)) == (range(2), range(2, 3))
    assert layout.numbers(SlotClass("h2c")) == range(0)


def test_what_is_full_doubles_and_what_is_new_begins_small() -> None:
    sticky = SlotClass("http", 60)
    grown = Layout(((HTTP, 2), (TCP, 8))).grown({HTTP: 3, sticky: 1})
    assert dict(grown.counts) == {HTTP: 4, TCP: 8, sticky: 4}


def test_slots_are_kept_and_left_ones_rest_until_empty() -> None:
    two, one = Layout(((HTTP, 2),)), Layout(((HTTP, 1),))
    both, api = needs(web=HTTP, api=HTTP), needs(api=HTTP)
    web_at_0 = Placed({WEB: 0})
    assert place(both, Placed(), two, ()) == Placed({API: 0, WEB: 1})
    assert place(both, web_at_0, two, {0}) == Placed({WEB: 0, API: 1})
    assert place(api, web_at_0, two, {0}) == Placed({API: 1})
    assert place(api, web_at_0, one, {0}) is None
    assert place(both, Placed(), one, ()) is None
    assert place(api, Placed(), two, {0}) == Placed({API: 1})


def test_a_pool_whose_class_changes_gets_another_slot() -> None:
    layout = Layout(((HTTP, 1), (SlotClass("h2c"), 1)))
    assert place(needs(web=SlotClass("h2c")), Placed({WEB: 0}), layout, {0}) == Placed({WEB: 1})


@pytest.mark.parametrize(
    ("protocol", "routed", "before", "http", "tcp"),
    [
        ("http", False, Placed(), {WEB: HTTP}, {}),
        ("h2c", False, Placed(), {WEB: SlotClass("h2c")}, {}),
        ("tcp", False, Placed(), {}, {WEB: TCP}),
        ("tcp", True, Placed(), {WEB: HTTP}, {WEB: TCP}),
        ("https", True, Placed(), {WEB: SlotClass("https")}, {WEB: TCP}),
        # Clients of a Service that has changed its mind go on where they are connected.
        ("tcp", False, Placed({WEB: 0}), {WEB: HTTP}, {WEB: TCP}),
        ("http", False, Placed({}, {WEB: 9}), {WEB: HTTP}, {WEB: TCP}),
    ],
)
def test_needs(
    protocol: AppProtocol,
    routed: bool,
    before: Placed,
    http: dict[ServicePort, SlotClass],
    tcp: dict[ServicePort, SlotClass],
) -> None:
    table = RoutingTable(
        {WEB: frozenset()}, {ANY: WEB} if routed else {}, None, {AT: WEB}, protocols={WEB: protocol}
    )
    found = plan_needs(table, before)
    assert (dict(found.http), dict(found.tcp)) == (http, tcp)


def test_an_ingress_alone_needs_no_slot_for_connections_and_affinity_is_a_class() -> None:
    table = RoutingTable({WEB: frozenset()}, {ANY: WEB}, protocols={WEB: "tcp"}, affinity={WEB: 60})
    found = plan_needs(table, Placed())
    assert (dict(found.http), dict(found.tcp)) == ({WEB: SlotClass("http", 60)}, {})


def test_what_is_placed_is_remembered() -> None:
    placed = Placed({WEB: 1}, {API: 7, WEB: 8})
    assert parse_placed(render_placed(placed)) == placed
    assert parse_placed('[["d", "web", 80, 3]]') == Placed()  # of a version before
    assert parse_placed("{") == Placed()
