"""What an app does by itself, read from requests around its SIGTERM."""

from __future__ import annotations

from nodrop.rehearse.alone import facts_of
from nodrop.rehearse.lives import Life
from nodrop.rehearse.record import Outcome, Record

POD = Life("a", "v1", 0.0, started=0.1, ready=1.3, deleting=10.0, withdrawn=10.0, signalled=10.0,
           exited=12.5, exit_code=0, gone=12.6)  # fmt: skip


def record(sent: float, done: float, outcome: Outcome = Outcome.OK) -> Record:
    return Record(1, sent, sent, done, outcome, 200, "GET", "", "", True)


def test_an_app_that_drains_by_itself() -> None:
    asked = [record(at, at + 0.01) for at in (9.0, 10.5, 11.9)]
    asked.append(record(12.6, 12.6, Outcome.REFUSED))
    health = [record(9.0, 9.01), record(10.2, 10.21, Outcome.STATUS_5XX)]
    slow = [record(9.5, 11.0), record(8.0, 9.0)]
    facts = facts_of(POD, asked=asked, health=health, slow=slow)
    assert (facts.start_s, facts.exit_s, facts.exit_code) == (1.2, 2.5, 0)
    assert facts.accepts_s == 1.9
    assert (facts.finishes, facts.in_flight) == (True, 1)
    assert facts.unready_first is True
    assert facts.plan_options() == "--startup-s 1.2 --term-s 2.5"


def test_an_app_that_ends_at_once() -> None:
    refused = [record(9.9, 9.91), record(10.1, 10.1, Outcome.REFUSED)]
    slow = [record(9.5, 9.98, Outcome.RESET)]  # heard of just before the Event came
    facts = facts_of(POD, asked=refused, health=refused, slow=slow)
    assert (facts.accepts_s, facts.finishes, facts.in_flight) == (0.0, False, 1)
    assert facts.unready_first is False
    assert "takes no new connection after SIGTERM" in "\n".join(facts.lines())


def test_without_a_probe_the_first_answer_tells_when_it_has_started() -> None:
    pod = Life("a", "v1", 0.0, started=0.5, ready=0.5, is_probed=False)
    asked = [record(1.0, 1.0, Outcome.REFUSED), record(2.0, 2.1)]
    assert facts_of(pod, asked=asked, health=[], slow=[]).start_s == 1.6


def test_what_was_not_seen_is_not_claimed() -> None:
    facts = facts_of(Life("a", "v1", 0.0), asked=[], health=[], slow=[])
    assert (facts.start_s, facts.accepts_s, facts.finishes, facts.unready_first) == (
        None, None, None, None,
    )  # fmt: skip
    assert facts.plan_options() == ""
