"""The soak's short form: every kind of application rolled under every kind of client (S2, S5, S12).

50,000 requests and messages, each checked byte for byte, the control plane killed once in between.
``./dev soak`` is the long form.
"""

from __future__ import annotations

import pytest

from bench.soak import Plan, soak
from bench.soak_load import EVERY_KIND
from bench.soak_service import KINDS

_ENOUGH = 50_000
_ENOUGH_OF_EACH = 50


@pytest.mark.timeout(600)
@pytest.mark.xdist_group("load")
async def test_s5_rollouts_back_to_back_lose_nothing_on_any_protocol() -> None:
    """S2, S5, S12, S13, S15: nothing lost, no stream cut that its application would close."""
    found = await soak(Plan(requests=_ENOUGH, rate=500))
    assert found.verdict.result == "pass", found.as_json()
    assert found.requests >= _ENOUGH
    counts = {name: tally.requests for name, tally in found.by_client.items()}
    assert counts.keys() == {"GET", "POST", *EVERY_KIND}
    assert min(counts.values()) >= _ENOUGH_OF_EACH, counts
    assert set(found.rollouts) == {kind.name for kind in KINDS}
    assert found.kills >= 1
    assert not found.leftovers.any
    assert found.survivors == []
