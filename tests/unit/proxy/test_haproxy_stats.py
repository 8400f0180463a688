"""HAProxy's counters: read from CSV, and kept over deleted servers, restarts and reused slots."""

from __future__ import annotations

from nodrop.proxy.haproxy.stats import Counters, add, parse_process, parse_stats
from nodrop.proxy.protocol import Backend, PoolStats, RoutingTable, ServicePort

WEB, API = ServicePort("default", "web", 80), ServicePort("default", "api", 80)
ONE = Backend("u1", "web-1", "127.9.0.1", 8080)
TWO = Backend("u2", "web-2", "127.9.0.2", 8080)
TABLE = RoutingTable(pools={WEB: frozenset({ONE, TWO})})
S1, S2 = "u1_127.9.0.1_8080", "u2_127.9.0.2_8080"


def counted(requests: int, in_flight: int = 0) -> PoolStats:
    return PoolStats(in_flight, requests, 0, (0, requests, 0, 0, 0), 10 * requests)


def test_stats_are_read_by_column_name_and_missing_columns_are_zero() -> None:
    text = "# pxname,svname,qcur,scur,stot,econ,eresp,\ns0,u1,1,2,30,4,5,\ns0,hold,0,0,,,,\n"
    assert parse_stats(text) == {
        ("s0", "u1"): PoolStats(in_flight=3, requests=30, errors=9, connection_errors=4)
    }
    assert parse_stats("") == {}
    assert parse_stats(text + "s1,u2,,,,,,\n", {"s1"}) == {("s1", "u2"): PoolStats(0, 0, 0)}


def test_responses_bytes_and_retries_are_read_and_other_sections_are_not() -> None:
    text = (
        "# pxname,svname,qcur,scur,stot,bin,bout,wretr,wredis,cli_abrt,srv_abrt,"
        "hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,\n"
        "s7,BACKEND,0,1,9,100,200,3,2,1,4,0,5,1,2,1,\n"
        "services,FRONTEND,0,1,9,100,200,3,2,1,4,0,5,1,2,1,\n"
        "web,FRONTEND,0,1,9,1,2,3,2,1,4,0,5,1,2,1,\n"
    )
    (found,) = parse_stats(text).items()
    assert found == (
        ("s7", "BACKEND"),
        PoolStats(1, 9, 0, (0, 5, 1, 2, 1), 100, 200, 3, 2, 0, 1, 4),
    )


def test_what_a_deleted_server_has_counted_stays_in_the_sums() -> None:
    counters = Counters()
    counters.see({("s0", S1): counted(5), ("s0", S2): counted(7, in_flight=1)}, {"s0": WEB})
    counters.see({("s0", S1): counted(6)}, {"s0": WEB})
    report = counters.report(RoutingTable(pools={WEB: frozenset({ONE})}), up=True)
    assert report.backends == {(WEB, ONE): counted(6)}
    assert report.ended == {WEB: counted(7)}
    assert report.left == {(WEB, "u2"): counted(7)}


def test_a_pod_that_is_drained_is_among_those_that_left_with_what_is_in_flight() -> None:
    counters = Counters()
    counters.see({("s0", S1): counted(5), ("s0", S2): counted(7, in_flight=2)}, {"s0": WEB})
    report = counters.report(RoutingTable(pools={WEB: frozenset({ONE})}), up=True)
    assert report.left == {(WEB, "u2"): counted(7, in_flight=2)}
    assert report.ended == {}


def test_a_restarted_process_counts_on_from_what_was_seen() -> None:
    counters = Counters()
    counters.see({("s0", S1): counted(5), ("s0", "BACKEND"): counted(6)}, {"s0": WEB})
    counters.see({("s0", S1): counted(2), ("s0", "BACKEND"): counted(2)}, {"s0": WEB})
    report = counters.report(TABLE, up=True)
    assert add(report.left[(WEB, "u1")], report.backends[(WEB, ONE)]) == counted(7)
    assert report.pools == {WEB: counted(8)}


def test_a_restarted_process_is_known_even_if_it_has_counted_as_much_again() -> None:
    first, second = (parse_process(f"Name: H\nPid: {pid}\nStart_time_sec: 5\n") for pid in (7, 8))
    counters = Counters()
    counters.see(
        {("s0", S1): counted(5), ("s0", "BACKEND"): counted(5)}, {"s0": WEB}, process=first
    )
    counters.see(
        {("s0", S1): counted(5), ("s0", "BACKEND"): counted(6)}, {"s0": WEB}, process=second
    )
    report = counters.report(TABLE, up=True)
    assert report.ended == {WEB: counted(5)}
    assert report.pools == {WEB: counted(11)}


def test_a_slot_that_another_pool_takes_does_not_bring_the_old_counts_along() -> None:
    counters = Counters()
    counters.see({("s0", "BACKEND"): counted(6)}, {"s0": WEB})
    counters.see({("s0", "BACKEND"): counted(9)}, {"s0": API})
    assert counters.report(TABLE, up=True).pools == {WEB: counted(6), API: counted(3)}
    counters.see({("s0", "BACKEND"): counted(1)}, {"s0": API})
    assert counters.report(TABLE, up=True).pools == {WEB: counted(6), API: counted(4)}


def test_what_is_remembered_of_pods_that_left_is_bounded() -> None:
    counters = Counters()
    for number in range(1_500):
        counters.see({("s0", f"u{number}_127.9.0.1_1"): counted(1)}, {"s0": WEB})
        counters.note_drained(f"u{number}", 1)
    report = counters.report(TABLE, up=False)
    assert report.state == "down"
    assert len(report.left) <= 1_001
    assert report.ended == {WEB: counted(1_499)}
    assert len(report.drained) == 1_000


def test_both_sections_of_a_slot_count_for_the_pool_and_the_pod() -> None:
    counters = Counters()
    owners = {"s0": WEB, "s0u": WEB}
    rows = {("s0", S1): counted(5, in_flight=1), ("s0u", S1): counted(2, in_flight=1)}
    counters.see({**rows, ("s0", "BACKEND"): counted(5), ("s0u", "BACKEND"): counted(2)}, owners)
    table = RoutingTable(pools={WEB: frozenset({ONE})})
    report = counters.report(table, up=True)
    assert report.backends == {(WEB, ONE): counted(7, in_flight=2)}
    assert report.pools == {WEB: counted(7)}
    counters.see({("s0", S1): counted(6)}, owners)  # deleted from one of them
    report = counters.report(table, up=True)
    assert add(report.left[(WEB, "u1")], report.backends[(WEB, ONE)]).requests == 8
