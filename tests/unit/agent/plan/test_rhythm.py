"""When probes ask: at ticks, and between them while nothing listens; budgets stay upstream's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.agent.plan.probes import Outcome, awaits_first, first_state, next_state
from nodrop.agent.plan.rhythm import (
    Turn,
    first_turn,
    is_due,
    is_outcome,
    next_tick_s,
    next_turn,
    pause_s,
)
from nodrop.agent.plan.spec import Probe, TcpSocket


@pytest.mark.parametrize(
    ("delay_s", "passed_s", "due"),
    [(0, 0, True), (5, 4.99, False), (5, 5.0, True), (1, 0.9, False)],
)
def test_ticks_before_the_initial_delay_are_skipped(
    delay_s: int, passed_s: float, due: bool
) -> None:
    probe = Probe(handler=TcpSocket(1), initial_delay_s=delay_s)
    assert is_due(probe, passed_s) is due


@pytest.mark.parametrize(
    ("now_s", "tick_s"), [(100.0, 110.0), (101.5, 110.0), (110.0, 120.0), (125.0, 130.0)]
)
def test_slow_probes_drop_ticks_and_shift_none(now_s: float, tick_s: float) -> None:
    assert next_tick_s(100.0, 10.0, now_s) == tick_s


def test_rounding_gives_no_tick_twice() -> None:
    """At 0.025 + 1, (now - first) // period is 0: the tick is over all the same."""
    assert next_tick_s(0.025, 1.0, 0.025 + 1.0) == 0.025 + 2.0


@pytest.mark.parametrize(
    ("turn", "outcome", "ended_s", "counts"),
    [
        (Turn(0, 10, 10), "failure", 10, True),
        (Turn(0, 10, 10), "success", 10, True),
        (Turn(0, 4, 10), "success", 4, True),
        (Turn(0, 4, 10), "failure", 5, False),
        (Turn(0, 9.9, 10), "failure", 10.4, True),  # it stands for the tick that it went past
    ],
)
def test_s7_between_ticks_only_a_success_counts(
    turn: Turn, outcome: Outcome, ended_s: float, counts: bool
) -> None:
    assert is_outcome(turn, outcome, ended_s) is counts


@pytest.mark.parametrize(
    ("turn", "now_s", "again", "passed", "then"),
    [
        (Turn(0, 0, 0), 0.0, True, False, Turn(0, 0.025, 10)),
        (Turn(0, 2, 10), 2.0, True, False, Turn(0, 2.25, 10)),
        (Turn(0, 9.5, 10), 9.5, True, False, Turn(0, 10, 10)),  # never past the tick
        (Turn(0, 0, 0), 0.0, False, False, Turn(0, 10, 10)),
        (Turn(0, 3, 10), 3.0, False, False, Turn(0, 10, 10)),  # answered, but not well
        (Turn(0, 3, 10), 3.5, False, True, Turn(3.5, 13.5, 13.5)),  # the period begins anew
        (Turn(0, 10, 10), 10.5, False, True, Turn(0, 20, 20)),
        (Turn(0, 9.9, 10), 10.4, False, False, Turn(0, 20, 20)),
    ],
)
def test_s7_the_next_time_to_ask(
    turn: Turn, now_s: float, again: bool, passed: bool, then: Turn
) -> None:
    probe = Probe(handler=TcpSocket(1))
    found = next_turn(turn, probe, now_s=now_s, ran_s=now_s, again=again, passed=passed)
    assert found == then


def test_a_slow_program_is_asked_once_a_second() -> None:
    tries, at_s = 0, 0.0
    while at_s < 60:
        tries, at_s = tries + 1, at_s + pause_s(at_s)
    assert tries < 100


def play(
    probe: Probe, listens_s: float, *, early: bool, took_s: float = 0.001, until_s: float = 400
) -> tuple[list[tuple[float, Outcome]], float | None]:
    """A readiness or startup probe of a program that listens from then on and answers well:
    what was counted when, and when it passed for the first time."""
    state, turn, counted = first_state("readiness"), first_turn(0.0), []
    while turn.at_s < until_s:
        again = passed = False
        if is_due(probe, turn.at_s):
            refused = turn.at_s < listens_s
            outcome: Outcome = "failure" if refused else "success"
            now_s = turn.at_s + (0 if refused else took_s)
            if is_outcome(turn, outcome, now_s):
                state = next_state(state, outcome, probe)
                counted.append((turn.at_s, outcome))
            again = early and refused and awaits_first("readiness", state)
            passed = not refused
            if state.passed:
                return counted, now_s
        turn = next_turn(turn, probe, now_s=turn.at_s, ran_s=turn.at_s, again=again, passed=passed)
    return counted, None


PROBES = st.builds(
    Probe,
    handler=st.just(TcpSocket(1)),
    period_s=st.integers(1, 30).map(float),
    initial_delay_s=st.integers(0, 20),
    success_threshold=st.integers(1, 3),
    failure_threshold=st.integers(1, 5),
)


@given(PROBES, st.floats(0, 100))
def test_s7_s8_the_first_success_comes_earlier_and_no_failure_does(
    probe: Probe, listens_s: float
) -> None:
    """S7, S8: against upstream's rhythm the same failures at the same times, and the pod is ready
    no later; with no threshold and no delay left, within an eighth of its start or a second."""
    upstream, upstream_s = play(probe, listens_s, early=False)
    ours, ours_s = play(probe, listens_s, early=True)
    assert upstream_s is not None
    assert ours_s is not None
    assert ours_s <= upstream_s
    failed = [one for one in upstream if one[1] == "failure"]
    assert [one for one in ours if one[1] == "failure"] == failed
    if probe.success_threshold == 1 and failed:
        assert ours_s <= listens_s + pause_s(listens_s) + 0.01
    least_s = (probe.success_threshold - 1) * probe.period_s
    first_s = next(at_s for at_s, outcome in ours if outcome == "success")
    assert ours_s - first_s >= least_s - 1e-6
