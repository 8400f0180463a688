"""ProxySync over the real HAProxy: slices in, requests through, pods withdrawn in order."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nodrop.model.meta import Uid
from tests.integration.routed import Routed, routed, slice_of
from tests.unit.proxy.support import Pod


async def roll(rig: Routed, old: Pod) -> None:
    """A lone pod, replaced again and again; its successor is ready only after it was told."""
    for version in range(20):
        new = await Pod(f"v{version}", delay_s=0.003).start()
        rig.feed.put(slice_of(old, ready=False, serving=True, terminating=True))
        rig.feed.put(slice_of(new, ready=False))
        uid = Uid(f"uid-{old.name}")
        async with asyncio.TaskGroup() as group:
            withdrawn = group.create_task(rig.sync.withdraw(uid, "", budget_s=30))
            await rig.load.reached(10)
            assert not withdrawn.done()
            rig.feed.put(slice_of(new))
            assert (await withdrawn).in_flight == 0
        await old.die()
        rig.feed.remove(slice_of(old))
        await rig.sync.forget(uid)
        await rig.load.reached(10)
        old = new


async def test_a_lone_pod_rolled_twenty_times_loses_nothing(tmp_path: Path) -> None:
    """S2 S5 S13 S14: surge 0 even; the old pod serves until the new one is ready."""
    first = await Pod("v-first", delay_s=0.003).start()
    async with routed(tmp_path, first) as rig:
        await roll(rig, first)
    assert rig.load.lost == []
    assert {f"v{n}" for n in range(20)} <= rig.load.answered.keys()
