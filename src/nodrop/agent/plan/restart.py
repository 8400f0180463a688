"""When an ended container is started again: restart policy and back-off. Pure."""

from __future__ import annotations

from typing import assert_never

from nodrop.agent.plan.spec import RestartPolicy

FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 300.0
#: A run this long makes the next failure count as the first again.
FORGOTTEN_AFTER_S = 600.0


def restarts(policy: RestartPolicy, exit_code: int) -> bool:
    """Whether a container that ended with ``exit_code`` is started again."""
    match policy:
        case "Always":
            return True
        case "OnFailure":
            return exit_code != 0
        case "Never":
            return False
    assert_never(policy)


def next_delay_s(previous_s: float | None, *, ran_s: float) -> float:
    """Seconds between a container's end and its next start.

    ``previous_s`` is the delay before the run that just ended, None for the first run. So the
    delays are 0, 10, 20, 40, 80, 160, 300, 300 …; after a run of 600 s they begin anew.
    """
    if previous_s is None or ran_s >= FORGOTTEN_AFTER_S:
        return 0.0
    return FIRST_DELAY_S if previous_s == 0 else min(previous_s * 2, LONGEST_DELAY_S)
