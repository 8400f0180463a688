"""What an app does by itself, from watching one pod of it start and end. Pure.

The pod is asked directly, past the proxy, so what is seen is the app's doing alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodrop.rehearse.lives import Life
from nodrop.rehearse.record import Outcome, Record

_HEARD_WITHIN_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """Seconds; None where it could not be seen.

    ``accepts_s`` is how long after SIGTERM new connections were still answered. ``finishes`` tells
    whether requests in flight at SIGTERM were all answered, out of ``in_flight``.
    ``unready_first``: the readiness path failed while others were still answered.
    """

    start_s: float | None
    accepts_s: float | None
    finishes: bool | None
    in_flight: int
    unready_first: bool | None
    exit_code: int | None
    exit_s: float | None

    def lines(self) -> list[str]:
        """The facts as sentences."""
        return [
            line
            for line in (
                _start(self),
                _end(self),
                _accepts(self),
                _finishes(self),
                _unready(self),
                _options(self),
            )
            if line
        ]

    def figures(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "start_s": self.start_s,
            "accepts_after_sigterm_s": self.accepts_s,
            "finishes_in_flight": self.finishes,
            "in_flight_at_sigterm": self.in_flight,
            "unready_first": self.unready_first,
            "exit_code": self.exit_code,
            "exit_s": self.exit_s,
            "lines": self.lines(),
        }

    def plan_options(self) -> str:
        """What to tell ``nodrop plan``: rounded up to tenths."""
        told = {"--startup-s": self.start_s, "--term-s": self.exit_s}
        return " ".join(
            f"{name} {math.ceil(value * 10) / 10:g}"
            for name, value in told.items()
            if value is not None
        )


def facts_of(
    life: Life, *, asked: Sequence[Record], health: Sequence[Record], slow: Sequence[Record]
) -> AppFacts:
    """Put together what was seen. ``asked`` and ``health`` are new connections, to the app's path
    and to its readiness path; ``slow`` are long requests."""
    signal, end = life.signalled_at, life.end
    finishes, in_flight = _in_flight(slow, signal)
    return AppFacts(
        start_s=_started(life, asked),
        accepts_s=_accepted_until(asked, signal),
        finishes=finishes,
        in_flight=in_flight,
        unready_first=_turned_unready(asked, health, signal),
        exit_code=life.exit_code,
        exit_s=None if signal is None or end is None else _rounded(max(0.0, end - signal)),
    )


def _started(life: Life, asked: Sequence[Record]) -> float | None:
    """Until the probe passed; without one until the first answer."""
    since = life.started if life.started is not None else life.seen
    answered = min((each.done for each in asked if not each.lost), default=None)
    until = life.ready if life.is_probed else answered
    return None if until is None else _rounded(until - since)


def _accepted_until(asked: Sequence[Record], signal: float | None) -> float | None:
    if signal is None or not asked:
        return None
    last = max((each.sent for each in asked if not each.lost and each.sent > signal), default=None)
    return 0.0 if last is None else _rounded(last - signal)


def _in_flight(slow: Sequence[Record], signal: float | None) -> tuple[bool | None, int]:
    """(whether all were answered, how many there were)."""
    if signal is None:
        return None, 0
    caught = [each for each in slow if _met(each, signal)]
    return (all(not each.lost for each in caught) if caught else None), len(caught)


def _met(record: Record, signal: float) -> bool:
    """Whether a request was in flight at the signal. We hear of that a moment late, so one that
    broke off just before has met it too, and one that was sent just before may not have."""
    if not record.sent or record.sent > signal - _HEARD_WITHIN_S:
        return False
    return record.done > (signal - _HEARD_WITHIN_S if record.lost else signal)


def _turned_unready(
    asked: Sequence[Record], health: Sequence[Record], signal: float | None
) -> bool | None:
    """Whether the readiness path said no (in words, not by a refused connection) while the app
    still answered on the other path afterwards."""
    if signal is None or not health:
        return None
    said_no = [
        each.done
        for each in health
        if each.done > signal and each.outcome in (Outcome.STATUS_5XX, Outcome.STATUS_4XX)
    ]
    answered = [each.done for each in asked if not each.lost]
    return bool(said_no) and any(at > min(said_no) for at in answered)


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


def _start(facts: AppFacts) -> str:
    return "" if facts.start_s is None else f"ready {facts.start_s:.2f} s after its start"


def _end(facts: AppFacts) -> str:
    if facts.exit_s is None:
        return ""
    code = f" with exit code {facts.exit_code}" if facts.exit_code is not None else ""
    killed = ": killed, since it did not end by itself" if facts.exit_code == 137 else ""
    return f"ends {facts.exit_s:.2f} s after SIGTERM{code}{killed}"


def _accepts(facts: AppFacts) -> str:
    if facts.accepts_s is None:
        return ""
    if facts.accepts_s < 0.1:
        return "takes no new connection after SIGTERM: what a cluster still sends is lost"
    return f"goes on answering new connections for {facts.accepts_s:.2f} s after SIGTERM"


def _finishes(facts: AppFacts) -> str:
    if facts.finishes is None:
        return "requests in flight at SIGTERM: not seen (name long requests with --slow PATH)"
    done = "finishes" if facts.finishes else "does not finish"
    return f"{done} requests in flight at SIGTERM ({facts.in_flight} seen)"


def _unready(facts: AppFacts) -> str:
    if facts.unready_first is None:
        return ""
    if facts.unready_first:
        return "says that it is not ready while it still answers: it drains by itself"
    return "its readiness path never says no before it stops answering"


def _options(facts: AppFacts) -> str:
    if not (told := facts.plan_options()):
        return ""
    start = f"; nodrop check --start-up-s {facts.start_s:.1f}" if facts.start_s else ""
    return f"to use these figures: nodrop plan {told}{start}"
