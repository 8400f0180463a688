"""Restart policy and back-off."""

from __future__ import annotations

import pytest

from nodrop.agent.plan.restart import delay_before_s, next_delay_s, policy_of, restarts
from nodrop.agent.plan.spec import Container, RestartPolicy


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


@pytest.mark.parametrize(
    ("pod", "step", "sidecar"),
    [
        ("Always", "OnFailure", "Always"),
        ("OnFailure", "OnFailure", "Always"),
        ("Never", "Never", "Always"),
    ],
)
def test_init_containers_have_a_policy_of_their_own(
    pod: RestartPolicy, step: RestartPolicy, sidecar: RestartPolicy
) -> None:
    assert policy_of(Container(name="a", section="initContainers"), pod) == step
    assert policy_of(Container(name="a", section="initContainers", sidecar=True), pod) == sidecar
    assert policy_of(Container(name="a"), pod) == pod


@pytest.mark.parametrize(
    ("restarts", "before_s", "next_s"),
    [(0, None, 0), (1, 0, 10), (2, 10, 20), (5, 80, 160), (7, 300, 300), (1000, 300, 300)],
)
def test_a_back_off_goes_on_after_a_restart_of_the_engine(
    restarts: int, before_s: float | None, next_s: float
) -> None:
    assert delay_before_s(restarts) == before_s
    assert next_delay_s(delay_before_s(restarts), ran_s=1) == next_s
