"""What the bench's sections read from others, and what they make of it."""

from __future__ import annotations

import pytest

from bench.endpoints import addresses, served
from bench.killed import figures, outage_s
from nodrop.rehearse.record import Outcome, Record


def row(section: str, address: str, admin: int) -> str:
    return f"9 {section} 2 uid_{address}_80 {address} 2 {admin} 1 1 17 1 0 0 8 0 0 0 - 80 - 0"


def test_an_endpoint_is_served_once_it_is_ready_in_every_section() -> None:
    first, second = addresses(0, 2)
    lines = [row("s0", first, 0), row("s0-once", first, 0), row("s0", second, 0)]
    assert served("\n".join([*lines, row("s0-once", second, 1)])) == 1
    assert served("\n".join([*lines, row("s0-once", second, 0)])) == 2
    assert served("1\n# be_id be_name\n9 s0 1 hold 127.0.0.1 0 5") == 0


def test_every_address_is_another() -> None:
    found = list(addresses(0, 1001))
    assert len(set(found)) == 1001
    assert all(0 < int(part) < 255 for address in found for part in [address.split(".")[3]])


def record(sent: float, done: float, outcome: Outcome = Outcome.OK) -> Record:
    return Record(1, sent, sent, done, outcome, 200, "GET", "v1", "p-1", False)


def test_an_outage_lasts_until_a_request_sent_after_the_kill_is_answered() -> None:
    before, broken = record(9.99, 10.001), record(9.995, 10.0, Outcome.RESET)
    after = [record(10.002, 10.031), record(10.02, 10.03)]
    assert outage_s(10.0, [before, broken, *after]) == pytest.approx(0.03)
    made = figures([10.0], [before, broken, *after])
    assert [figure.value for figure in made] == [pytest.approx(30), pytest.approx(30), 1, 0]
    assert made[2].note == "reset 1"
