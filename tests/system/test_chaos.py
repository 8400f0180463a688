"""The control plane killed and the proxy replaced at random, during rollouts under load."""

from __future__ import annotations

import pytest

from bench.chaos import Plan, chaos


@pytest.mark.timeout(400)
@pytest.mark.xdist_group("load")
async def test_random_kills_and_reloads_lose_nothing() -> None:
    """S2 S13; the long form: ./dev soak chaos --kills 200 --reloads 50."""
    plan = Plan(kills=4, reloads=4, crashes=1, rate=150, seed=7)
    found = await chaos(plan)
    assert found.load.total.lost == 0
    assert found.load.total.requests > 500
    assert (found.kills, found.reloads) == (4, 4)
    assert found.rollouts >= 2
    assert found.restarted == []
    assert not found.leftovers.any, found.leftovers
    assert found.survivors == []
    assert found.proxies == 2
    for crash in found.crashes:
        print(crash)
        assert crash.refused == 0, "the keeper holds the listening sockets"
        assert crash.requests > crash.broken
