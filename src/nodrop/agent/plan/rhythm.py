"""When a probe asks: at the ticks of its period, and between them while nothing listens. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nodrop.agent.plan.probes import Outcome
from nodrop.agent.plan.spec import Probe
from nodrop.model.meta import whole_seconds

#: Between ticks it asks again after this share of the time that the container has run: what
#: starts in a second is noticed within an eighth of one, and what starts in a minute is asked
#: once a second, so that a hundred slow programs cost next to nothing.
_PAUSE_SHARE = 1 / 8
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.025, 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One time to ask, in the loop's seconds. Ticks are ``first_s`` + k × period.

    ``at_s`` is when to ask, ``tick_s`` the tick that it belongs to; they differ between ticks.
    """

    first_s: float
    at_s: float
    tick_s: float

    @property
    def early(self) -> bool:
        return self.at_s < self.tick_s


def first_turn(now_s: float) -> Turn:
    """A worker probes at once, then every period."""
    return Turn(now_s, now_s, now_s)


def is_outcome(turn: Turn, outcome: Outcome, ended_s: float) -> bool:
    """Whether what was found counts: at a tick always, between ticks only a success.

    A try between ticks that has no answer yet when the tick comes stands for that tick. So a
    threshold is reached when it would be without such tries, and each tick has its one Event.
    """
    return outcome == "success" or ended_s >= turn.tick_s


def next_turn(
    turn: Turn, probe: Probe, *, now_s: float, ran_s: float, again: bool, passed: bool
) -> Turn:
    """``again``: nothing listened, and that may change before the tick. ``passed``: it succeeded
    now; a success between ticks begins the period anew, so that ``successThreshold`` successes
    still take as many periods."""
    now_s = max(now_s, turn.at_s)
    first_s = now_s if passed and turn.early else turn.first_s
    tick_s = next_tick_s(first_s, probe.period_s, now_s)
    return Turn(first_s, min(now_s + pause_s(ran_s), tick_s) if again else tick_s, tick_s)


def pause_s(ran_s: float) -> float:
    """How long to wait before it is asked again whether a container listens.

    >>> [pause_s(ran_s) for ran_s in (0, 0.4, 4, 60)]
    [0.025, 0.05, 0.5, 1.0]
    """
    return min(max(ran_s * _PAUSE_SHARE, _SHORTEST_PAUSE_S), _LONGEST_PAUSE_S)


def is_due(probe: Probe, ran_s: float) -> bool:
    """Whether a tick probes: not while whole seconds since the start < initialDelaySeconds."""
    return whole_seconds(ran_s) >= probe.initial_delay_s


def next_tick_s(first_s: float, period_s: float, now_s: float) -> float:
    """The next tick of ``first + k × period`` after now: a slow probe drops ticks, shifts none."""
    passed = max(0, int((now_s - first_s) // period_s))
    tick_s = first_s + (passed + 1) * period_s
    # At a tick, rounding may count it as not passed: it would come a second time, at once.
    return tick_s if tick_s > now_s else first_s + (passed + 2) * period_s
