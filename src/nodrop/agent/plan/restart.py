"""When an ended container is started again: restart policy and back-off. Pure."""

from __future__ import annotations

from typing import assert_never

from nodrop.agent.plan.spec import Container, RestartPolicy

FIRST_DELAY_S = 10.0
LONGEST_DELAY_S = 300.0
#: A run this long makes the next failure count as the first again.
FORGOTTEN_AFTER_S = 600.0


def policy_of(container: Container, pod: RestartPolicy) -> RestartPolicy:
    """The restart policy of one container in a pod with policy ``pod``.

    A sidecar always runs again; an init container until it has succeeded, unless Never.
    """
    if container.sidecar:
        return "Always"
    if container.step:
        return "Never" if pod == "Never" else "OnFailure"
    return pod


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


def delay_before_s(restart_count: int) -> float | None:
    """The delay that came before the run with this number, where nothing else is known.

    So a back-off goes on over a restart of ours: 0 → None, 1 → 0, 2 → 10, 3 → 20 …
    """
    delay_s: float | None = None
    for _ in range(min(restart_count, 8)):
        delay_s = next_delay_s(delay_s, ran_s=0)
    return delay_s
