"""When a pod that is being ended goes on serving."""

from __future__ import annotations

import pytest

from nodrop.proxy.pools import Endpoint
from nodrop.proxy.protocol import Backend, ServicePort
from nodrop.proxy.withdrawal import hold_longer_s

POOL, OTHER = ServicePort("d", "web", 80), ServicePort("d", "web", 81)


def point(pod: str, state: str) -> Endpoint:
    backend = Backend(pod, pod, "127.0.0.1", 80)
    return Endpoint(
        backend,
        ready=state == "ready",
        serving=state in ("ready", "ending"),
        terminating=state in ("ending", "ended"),
    )


OLD = point("old", "ending")
CASES = [
    # others in the pool, waited, budget → seconds to hold on
    ([point("new", "ready")], 0.0, 30.0, None),
    ([point("new", "starting")], 0.0, 30.0, 22.5),
    ([point("new", "starting")], 20.0, 30.0, 2.5),
    ([point("new", "starting")], 22.5, 30.0, None),
    ([], 0.0, 30.0, 1.0),
    ([], 0.6, 30.0, 0.4),
    ([], 1.0, 30.0, None),
    ([point("twin", "ending")], 0.0, 30.0, 1.0),
    ([point("twin", "ended")], 1.0, 30.0, None),
    ([], 0.0, 0.4, 0.3),
    ([point("new", "starting")], 0.0, 0.0, None),
]


@pytest.mark.parametrize(("others", "waited_s", "budget_s", "expected"), CASES)
def test_hold(
    others: list[Endpoint], waited_s: float, budget_s: float, expected: float | None
) -> None:
    endpoints = {POOL: (OLD, *others)}
    held = hold_longer_s("old", endpoints, waited_s=waited_s, budget_s=budget_s)
    assert held == (None if expected is None else pytest.approx(expected))


def test_a_pod_that_serves_nothing_is_not_held() -> None:
    for endpoints in ({}, {POOL: (point("old", "ended"),)}, {POOL: (point("x", "starting"),)}):
        assert hold_longer_s("old", endpoints, waited_s=0, budget_s=30) is None


def test_one_pool_in_need_is_enough() -> None:
    endpoints = {POOL: (OLD, point("new", "ready")), OTHER: (OLD, point("new", "starting"))}
    assert hold_longer_s("old", endpoints, waited_s=0, budget_s=40) == 30
