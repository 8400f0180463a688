"""Rollouts of real processes behind the real proxy under load: nothing is lost (S2, S5, S12-14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodrop.model.intstr import resolve_fenceposts
from nodrop.model.meta import is_deleting
from tests.system.harness import Engine, Traffic, Watching, apply, hello, is_ready


@pytest.mark.parametrize("on_sigterm", ["graceful", "exit", "ignore"])
async def test_s2_s12_s13_s14_a_rollout_under_load_loses_nothing(
    engine: Engine, on_sigterm: str
) -> None:
    """S2, S12, S13, S14: whatever the app does on SIGTERM, with slow requests in flight."""
    env = {"ON_SIGTERM": on_sigterm}
    pod = {"terminationGracePeriodSeconds": 3}
    await apply(engine, hello("v1", env=env, pod=pod), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        async with Traffic(engine.url, rate=200) as traffic:
            await traffic.seen(100)
            assert traffic.versions() == {"v1"}
            await apply(engine, hello("v2", env=env, pod=pod))
            await watching.until(lambda: watching.rolled_out("v2"))
            await traffic.seen(100)
        assert traffic.lost == []
        assert traffic.versions() == {"v1", "v2"}
        last = [r.version for r in sorted(traffic.records, key=lambda r: r.intended)[-50:]]
        assert set(last) == {"v2"}


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas"),
    [(1, 0, 3), (0, 1, 3), ("50%", "50%", 4), ("25%", "25%", 1), (2, "34%", 3)],
)
async def test_s3_s4_s5_floor_and_ceiling_hold_at_every_instant(
    engine: Engine, surge: int | str, unavailable: int | str, replicas: int
) -> None:
    """S3, S4, S5: asserted from the watch stream after every event, and no request is lost."""
    strategy = {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
    }
    change: dict[str, Any] = {"replicas": replicas, "spec": {"strategy": strategy}}
    await apply(engine, hello("v1", **change), wait=True)
    up, down = resolve_fenceposts(surge, unavailable, replicas)
    async with engine.client() as client, Watching(client) as watching:

        def within_bounds() -> None:
            live = [pod for pod in watching.pods() if not is_deleting(pod)]
            available = [pod for pod in live if is_ready(pod)]
            assert len(live) <= replicas + up, f"{len(live)} pods of {replicas} + {up}"
            assert len(available) >= replicas - down, f"{len(available)} available"

        watching.always(within_bounds)
        async with Traffic(engine.url, rate=100) as traffic:
            await apply(engine, hello("v2", **change))
            await watching.until(lambda: watching.rolled_out("v2"))
            await traffic.seen(20)
        assert watching.broken == []
        assert traffic.lost == []
        assert len(watching.history) > 10


async def test_a_slow_request_in_flight_is_over_before_the_first_signal(
    new_engine: Callable[[], Engine],
) -> None:
    """S13: the app exits at once on SIGTERM; a 2 s request started just before still ends well."""
    from nodrop.rehearse.schedule import Mix

    engine = new_engine().serve()
    change: dict[str, Any] = {"replicas": 2, "env": {"ON_SIGTERM": "exit"}}
    await apply(engine, hello("v1", **change), wait=True)
    mix = Mix(slow_share=0.5, slow_s=2.0, post_share=0.2)
    async with engine.client() as client, Watching(client) as watching:
        async with Traffic(engine.url, rate=40, mix=mix) as traffic:
            await traffic.seen(30)
            await apply(engine, hello("v2", **change))
            await watching.until(lambda: watching.rolled_out("v2"))
        assert traffic.lost == []
        assert sum(r.asked_s > 0 for r in traffic.records) > 20


async def test_undo_under_load_reuses_the_old_replica_set(engine: Engine) -> None:
    """S2 backwards: ``nodrop rollout undo`` loses nothing and renumbers the old revision."""
    import asyncio

    await apply(engine, hello("v1"), wait=True)
    await apply(engine, hello("v2"), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        async with Traffic(engine.url, rate=100) as traffic:
            done = await asyncio.to_thread(engine.run, "rollout", "undo", "hello")
            assert "rolled back to revision 1" in done.stdout
            await watching.until(lambda: watching.rolled_out("v1"))
            await traffic.seen(20)
        assert traffic.lost == []
    assert "3 " in engine.run("rollout", "history", "hello").stdout
