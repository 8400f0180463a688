"""What the bench's sections read from others, and what they make of it."""

from __future__ import annotations

from bench.crash import Crash
from bench.endpoints import addresses, served
from bench.killed import figures
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.summary import Tally


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


def record(outcome: Outcome) -> Record:
    return Record(1, 0.0, 0.0, 0.01, outcome, 200, "GET", "v1", "p-1", False)


def test_what_kills_broke_is_counted_by_cause() -> None:
    load = Tally()
    for outcome in (Outcome.OK, Outcome.RESET, Outcome.RESET, Outcome.REFUSED):
        load.add(record(outcome))
    crashes = [Crash(outage_ms=ms, refused=refused) for ms, refused in ((20, 0), (30, 1), (90, 0))]
    outage, longest, broken, refused = figures(crashes, load)
    assert (outage.value, longest.value, longest.met) == (30, 90, True)
    assert (broken.value, broken.note) == (1, "reset 2, refused 1")
    assert (refused.value, refused.met) == (2, False)
