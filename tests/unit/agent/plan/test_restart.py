"""Restart policy and back-off."""

from __future__ import annotations

import pytest

from nodrop.agent.plan.restart import next_delay_s, restarts
from nodrop.agent.plan.spec import RestartPolicy


@pytest.mark.parametrize(
    ("policy", "exit_code", "again"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 143, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_policy(policy: RestartPolicy, exit_code: int, again: bool) -> None:
    assert restarts(policy, exit_code) is again


def test_delays_double_to_five_minutes() -> None:
    delay_s: float | None = None
    delays = []
    for _ in range(9):
        delay_s = next_delay_s(delay_s, ran_s=1)
        delays.append(delay_s)
    assert delays == [0, 10, 20, 40, 80, 160, 300, 300, 300]


def test_a_long_run_forgets_them() -> None:
    assert next_delay_s(300, ran_s=600) == 0
    assert next_delay_s(20, ran_s=599) == 40
