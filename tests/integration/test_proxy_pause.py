"""A container restarted in place under load, over the real HAProxy: nothing is lost."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from nodrop.client.cache import Cache
from nodrop.keeper.client import ensure_keeper
from nodrop.model.meta import Obj, Uid
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.sync import KINDS, ProxySync
from tests.unit.proxy.objects import ObjectFeed, endpoint, endpoint_slice, ingress, path, service
from tests.unit.proxy.support import Load, Pod


def slice_of(pod: Pod, **conditions: bool) -> Obj:
    made = endpoint_slice(endpoint(pod.name, ip=pod.address, **conditions), port=pod.port)
    made["metadata"]["name"] = pod.name
    return made


async def restart(feed: ObjectFeed, sync: ProxySync, load: Load, first: Pod, second: Pod) -> None:
    """Each in turn says it isn't ready, is ended as soon as ``pause`` returns, and comes back."""
    pods = [first, second]
    for turn in range(20):
        pod = pods[turn % 2]
        feed.put(slice_of(pod, ready=False))
        paused = await sync.pause(Uid(f"uid-{pod.name}"), pod.address, budget_s=20)
        assert paused.in_flight == 0
        await pod.die()
        await load.reached(5)
        pods[turn % 2] = again = await Pod(pod.name, delay_s=0.003).start()
        feed.put(slice_of(again))
        await sync.caught_up()
        await load.reached(5)


async def test_restarts_in_place_lose_nothing(tmp_path: Path) -> None:
    """S13 for a liveness restart: no signal before the acknowledged table and the drain."""
    with tempfile.TemporaryDirectory(prefix="nd") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        proxy = HAProxy(
            keeper=keeper, folder=tmp_path / "proxy", sockets=Path(sockets),
            binary=find_binary(), ingress_sockets=["ingress/test"], slots=8,
        )  # fmt: skip
        await proxy.start()
        feed = ObjectFeed()
        feed.put(service(clusterIP="None"), ingress(path("/"), host="web.example"))
        first = await Pod("a", delay_s=0.003).start()
        second = await Pod("b", delay_s=0.003).start()
        feed.put(slice_of(first))
        feed.put(slice_of(second))
        cache = Cache(feed, KINDS)
        sync = ProxySync(cache, proxy, client=feed)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
            await cache.synced()
            await sync.caught_up()
            async with Load("127.0.0.1", port, "web.example") as load:
                await restart(feed, sync, load, first, second)
            assert load.lost == []
            assert load.answered.keys() == {"a", "b"}
            for task in tasks:
                task.cancel()
        await proxy.close()
        await Pod.end_all()
        await keeper.shutdown()
