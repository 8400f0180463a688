"""Traffic counts by service, version and pod: nothing is lost, nothing stays for ever."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodrop.metrics.directory import PodName
from nodrop.metrics.traffic import (
    POD_ENDS_AFTER_S,
    VERSION_ENDS_AFTER_S,
    Ledger,
    PodKey,
    VersionKey,
)
from nodrop.proxy.haproxy.slots import server_name
from nodrop.proxy.haproxy.stats import Counters
from nodrop.proxy.protocol import Backend, PoolStats, ProxyStats, RoutingTable, ServicePort

WEB = ServicePort("default", "web", 80)
V1, V2 = VersionKey(WEB, "1"), VersionKey(WEB, "2")


def name_of(uid: str) -> PodName:
    """Pods are named v<version>-<number>."""
    return PodName(uid, "default", uid, "web", uid[1], "")


def backend(uid: str) -> Backend:
    return Backend(uid, uid, "127.9.0.1", 80)


def counted(requests: int, in_flight: int = 0) -> PoolStats:
    return PoolStats(in_flight, requests, 0, (0, requests, 0, 0, 0))


def seen(now: dict[str, PoolStats], left: dict[str, PoolStats] | None = None) -> ProxyStats:
    return ProxyStats(
        "up",
        backends={(WEB, backend(uid)): stats for uid, stats in now.items()},
        left={(WEB, uid): stats for uid, stats in (left or {}).items()},
    )


def take(ledger: Ledger, stats: ProxyStats, now_s: float, present: str = "") -> None:
    ledger.take(stats, name_of, present=present.split(), now_s=now_s)


def test_pods_and_versions_count_what_the_proxy_counts() -> None:
    ledger = Ledger()
    take(ledger, seen({"v1-0": counted(5, 1), "v1-1": counted(3, 2)}), 0)
    take(ledger, seen({"v1-0": counted(9), "v1-1": counted(3, 2), "v2-0": counted(1)}), 5)
    assert ledger.pods(5)[PodKey(WEB, name_of("v1-0"))].requests == 9
    versions = ledger.versions(5)
    assert (versions[V1].requests, versions[V1].in_flight) == (12, 2)
    assert versions[V2].responses == (0, 1, 0, 0, 0)


def test_a_pod_that_is_gone_ends_after_a_minute_and_its_counts_stay_in_the_version() -> None:
    ledger = Ledger()
    take(ledger, seen({"v1-0": counted(5)}), 0)
    take(ledger, seen({}, left={"v1-0": counted(7)}), 5)
    take(ledger, seen({}, left={"v1-0": counted(7)}), POD_ENDS_AFTER_S)
    assert PodKey(WEB, name_of("v1-0")) in ledger.pods(POD_ENDS_AFTER_S)
    take(ledger, seen({}, left={"v1-0": counted(7)}), POD_ENDS_AFTER_S + 1)
    assert ledger.pods(POD_ENDS_AFTER_S + 1) == {}
    take(ledger, seen({}), 2 * POD_ENDS_AFTER_S)
    assert ledger.versions(2 * POD_ENDS_AFTER_S)[V1].requests == 7


def test_a_pod_lives_on_while_the_api_has_it_or_a_request_is_in_it() -> None:
    ledger = Ledger()
    for now_s in (0.0, 100.0, 200.0):
        take(ledger, seen({}, left={"v1-0": counted(7)}), now_s, present="v1-0")
    assert ledger.pods(200) != {}
    take(ledger, seen({}, left={"v1-0": counted(7, in_flight=1)}), 400)
    assert ledger.pods(400) != {}


def test_a_version_without_pods_ends_after_an_hour() -> None:
    ledger = Ledger()
    take(ledger, seen({"v1-0": counted(5)}), 0)
    take(ledger, seen({"v2-0": counted(5)}), VERSION_ENDS_AFTER_S)
    assert set(ledger.versions(0)) == {V1, V2}
    take(ledger, seen({"v2-0": counted(5)}), VERSION_ENDS_AFTER_S + 1)
    assert set(ledger.versions(0)) == {V2}


def test_nothing_changes_while_the_proxy_can_not_be_asked() -> None:
    ledger = Ledger()
    take(ledger, seen({"v1-0": counted(5)}), 0)
    take(ledger, ProxyStats("down"), 5)
    take(ledger, seen({"v1-0": counted(6)}), 10)
    assert ledger.versions(10)[V1].requests == 6


def test_drained_requests_are_told_once() -> None:
    ledger = Ledger()
    first = ProxyStats("up", drained={"v1-0": 3})
    assert ledger.take(first, name_of, present=(), now_s=0) == {name_of("v1-0"): 3}
    assert ledger.take(first, name_of, present=(), now_s=1) == {}


def see(counters: Counters, pod: str, requests: int, process: int) -> None:
    rows = {("s0", server_name(backend(pod))): counted(requests)}
    counters.see(rows, {"s0": WEB}, process=str(process))


STEPS = st.lists(
    st.tuples(st.sampled_from(["serve", "crash", "swap", "look"]), st.integers(0, 9)), max_size=40
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_the_sums_hold_every_request_over_swaps_and_looks(steps: list[tuple[str, int]]) -> None:
    """Driver's counters and ledger together; a crash may lose what was not yet seen, no more."""
    counters, ledger = Counters(), Ledger()
    pod, version, raw, served, unseen, lost, process = "v1-0", 1, 0, 0, 0, 0, 0
    for now_s, (step, number) in enumerate((*steps, ("look", 0))):
        if step == "serve":
            raw, served, unseen = raw + number, served + number, unseen + number
        elif step == "crash":
            raw, lost, unseen, process = 0, lost + unseen, 0, process + 1
        elif step == "swap":  # the driver looks before it deletes a server
            see(counters, pod, raw, process)
            version, raw, unseen = version % 2 + 1, 0, 0
            pod = f"v{version}-{now_s}"
        else:
            see(counters, pod, raw, process)
            table = RoutingTable(pools={WEB: frozenset({backend(pod)})})
            take(ledger, counters.report(table, up=True), float(now_s))
            unseen = 0
    total = sum(stats.requests for stats in ledger.versions(0).values())
    assert served - lost <= total <= served
