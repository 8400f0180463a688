"""A container restarted in place under load, over the real HAProxy: nothing is lost."""

from __future__ import annotations

from pathlib import Path

from nodrop.model.meta import Uid
from tests.integration.routed import Routed, routed, slice_of
from tests.unit.proxy.support import Pod


async def restart(rig: Routed, first: Pod, second: Pod) -> None:
    """Each in turn says it isn't ready, is ended as soon as ``pause`` returns, and comes back."""
    pods = [first, second]
    for turn in range(20):
        pod = pods[turn % 2]
        rig.feed.put(slice_of(pod, ready=False))
        paused = await rig.sync.pause(Uid(f"uid-{pod.name}"), pod.address, budget_s=20)
        assert paused.in_flight == 0
        await pod.die()
        await rig.load.reached(5)
        pods[turn % 2] = again = await Pod(pod.name, delay_s=0.003).start()
        rig.feed.put(slice_of(again))
        await rig.sync.caught_up()
        await rig.load.reached(5)


async def test_restarts_in_place_lose_nothing(tmp_path: Path) -> None:
    """S13 for a liveness restart: no signal before the acknowledged table and the drain."""
    first = await Pod("a", delay_s=0.003).start()
    second = await Pod("b", delay_s=0.003).start()
    async with routed(tmp_path, first, second) as rig:
        await restart(rig, first, second)
    assert rig.load.lost == []
    assert rig.load.answered.keys() == {"a", "b"}
