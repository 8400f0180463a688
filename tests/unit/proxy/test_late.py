"""What a cluster's proxies still route to after a pod was told to end (S14)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodrop.proxy.late import LONGEST_S, LateRemovals, lag_s, share_of
from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort

WEB = ServicePort("default", "web", 80)


def table(*pods: str, waiting: bool = False) -> RoutingTable:
    backends = frozenset(Backend(pod, pod, "127.9.0.1", 80) for pod in pods)
    return RoutingTable(pools={WEB: backends}, waiting=frozenset({WEB} if waiting else ()))


def pods(shown: RoutingTable) -> set[str]:
    return {backend.pod for backend in shown.pools[WEB]}


def test_a_removal_is_seen_late_and_an_addition_at_once_s14() -> None:
    late = LateRemovals(seed=1)
    assert pods(late.show(table("a"), 0.0)[0]) == {"a"}
    shown, again_s = late.show(table("b"), 10.0)
    assert pods(shown) == {"a", "b"}
    assert again_s is not None
    assert 0.05 <= again_s <= LONGEST_S
    assert pods(late.show(table("b"), 10.0 + again_s * 0.9)[0]) == {"a", "b"}
    shown, none = late.show(table("b"), 10.0 + again_s)
    assert (pods(shown), none) == ({"b"}, None)


def test_a_pod_that_comes_back_in_time_was_never_gone() -> None:
    late = LateRemovals(seed=1)
    late.show(table("a", "b"), 0.0)
    late.show(table("b"), 1.0)
    assert late.show(table("a", "b"), 1.01)[1] is None
    assert pods(late.show(table("a", "b"), 99.0)[0]) == {"a", "b"}


def test_requests_are_not_held_for_a_pod_that_is_coming() -> None:
    assert LateRemovals(seed=1).show(table(waiting=True), 0.0)[0].waiting == frozenset()


@given(seed=st.integers(0, 2**32), first=st.integers(0, 1000))
def test_eight_removals_in_a_row_are_spread_over_the_whole_distribution(
    seed: int, first: int
) -> None:
    shares = sorted(share_of(number, seed) for number in range(first, first + 8))
    gaps = [b - a for a, b in zip(shares, [*shares[1:], shares[0] + 1], strict=True)]
    assert max(gaps) < 0.26
    assert all(0.05 <= lag_s(share) <= 3.0 for share in shares)


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from("abcd")), st.floats(0.001, 4)), min_size=1, max_size=30
    )
)
def test_who_is_wanted_is_always_shown_and_nobody_stays_beyond_the_longest_lag(
    steps: list[tuple[set[str], float]],
) -> None:
    late, now = LateRemovals(seed=3), 0.0
    wanted_at: dict[str, float] = {}
    for wanted, pause_s in steps:
        now += pause_s
        shown = pods(late.show(table(*wanted), now)[0])
        wanted_at |= dict.fromkeys(wanted, now)
        assert wanted <= shown <= wanted_at.keys()
    last = pods(late.show(table(), now)[0])
    assert pods(late.show(table(), now + LONGEST_S + 0.001)[0]) == set()
    assert last <= wanted_at.keys()
