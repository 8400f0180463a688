"""Addresses of pods: free, stable, and not used again at once."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from ipaddress import IPv4Network

import pytest

from nodrop.agent.plan.addresses import REST_S, AddressPool, next_address

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("taken", "after", "found"),
    [
        (set(), None, "127.9.0.2"),
        (set(), "127.9.0.2", "127.9.0.3"),
        ({"127.9.0.3"}, "127.9.0.2", "127.9.0.4"),
        (set(), "127.9.0.6", "127.9.0.2"),  # the last but one: go round
        ({"127.9.0.2", "127.9.0.3", "127.9.0.4", "127.9.0.5"}, "127.9.0.3", "127.9.0.6"),
        ({f"127.9.0.{n}" for n in range(2, 7)}, "127.9.0.4", None),
    ],
)
def test_next(taken: set[str], after: str | None, found: str | None) -> None:
    assert next_address(IPv4Network("127.9.0.0/29"), taken, after) == found


def test_a_pod_keeps_its_address_and_others_never_get_it() -> None:
    pool = AddressPool("127.9.0.0/29")
    pool.keep("old", "127.9.0.3")
    given = [pool.address_of(uid, NOON) for uid in ("a", "b", "a", "old")]
    assert given == ["127.9.0.4", "127.9.0.5", "127.9.0.4", "127.9.0.3"]


def test_a_released_address_rests() -> None:
    pool = AddressPool("127.9.0.0/30")  # room for one
    assert pool.address_of("a", NOON) == "127.9.0.2"
    assert pool.address_of("b", NOON) is None
    pool.release("a", NOON)
    assert pool.address_of("b", NOON + timedelta(seconds=REST_S - 1)) is None
    assert pool.address_of("b", NOON + timedelta(seconds=REST_S)) == "127.9.0.2"


def test_after_a_restart_the_address_of_a_pod_that_has_just_ended_still_rests() -> None:
    before = AddressPool("127.9.0.0/24")
    kept = before.address_of("kept", NOON)
    ended = before.address_of("ended", NOON)
    assert kept is not None
    before.release("ended", NOON)

    after = AddressPool("127.9.0.0/24")
    after.keep("kept", kept)
    after.leave_gap()
    assert after.address_of("new", NOON) not in (kept, ended)


def test_a_gap_goes_round_at_the_end_of_the_network() -> None:
    pool = AddressPool("127.9.0.0/24")
    pool.keep("kept", "127.9.0.250")
    pool.leave_gap()
    assert pool.address_of("new", NOON) == "127.9.0.2"
