"""Cluster-faithful mode: the losses of a cluster, and their mend (S14, S16, S19)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nodrop.rehearse.record import Outcome
from nodrop.wiring.rehearsal import mark_for_rehearsal
from tests.system.harness import Engine, Traffic, Watching, apply, hello


@pytest.fixture
def cluster(new_engine: Callable[[], Engine]) -> Engine:
    engine = new_engine()
    engine.state.root.mkdir(parents=True)
    mark_for_rehearsal(engine.state, "cluster", seed=1)
    return engine.serve()


async def roll(engine: Engine, **change: Any) -> Traffic:
    """v1 → v2 under load."""
    await apply(engine, hello("v1", **change), wait=True)
    async with (
        engine.client() as client,
        Watching(client) as watching,
        Traffic(engine.url, rate=200) as traffic,
    ):
        await traffic.seen(100)
        await apply(engine, hello("v2", **change))
        await watching.until(lambda: watching.rolled_out("v2"))
        await traffic.seen(100)
    return traffic


async def test_s14_an_app_that_ends_at_once_loses_requests_as_in_a_cluster(cluster: Engine) -> None:
    traffic = await roll(cluster, env={"ON_SIGTERM": "exit"})
    refused = [r for r in traffic.lost if r.outcome is Outcome.STATUS_5XX]
    assert refused
    assert {record.status for record in refused} <= {502, 503}


async def test_s16_s19_a_pre_stop_longer_than_the_lag_mends_it(cluster: Engine) -> None:
    """S16, S19: the hook holds SIGTERM back until every proxy has heard of the end."""
    hook = {"lifecycle": {"preStop": {"sleep": {"seconds": 5}}}}
    traffic = await roll(cluster, replicas=2, env={"ON_SIGTERM": "graceful"}, container=hook)
    assert traffic.lost == []


def test_a_serving_engine_refuses_the_mark(engine: Engine, tmp_path: Path) -> None:
    engine.terminate()
    mark_for_rehearsal(engine.state, "cluster", seed=1)
    refused = engine.run("serve", check=False)
    assert refused.returncode == 2
    assert "serving engine" in refused.stderr
    (engine.state.root / "rehearsal.json").unlink()
    engine.serve()
