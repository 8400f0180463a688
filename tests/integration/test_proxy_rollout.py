"""ProxySync over the real HAProxy: slices in, requests through, pods withdrawn in order."""

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
    """Every pod has a slice of its own here, because each listens on another port."""
    made = endpoint_slice(endpoint(pod.name, ip=pod.address, **conditions), port=pod.port)
    made["metadata"]["name"] = pod.name
    return made


async def roll(feed: ObjectFeed, sync: ProxySync, load: Load, old: Pod) -> None:
    """A lone pod, replaced again and again; its successor is ready only after it was told."""
    for version in range(20):
        new = await Pod(f"v{version}", delay_s=0.003).start()
        feed.put(slice_of(old, ready=False, serving=True, terminating=True))
        feed.put(slice_of(new, ready=False))
        uid = Uid(f"uid-{old.name}")
        async with asyncio.TaskGroup() as group:
            withdrawn = group.create_task(sync.withdraw(uid, "", budget_s=30))
            await load.reached(10)
            assert not withdrawn.done()
            feed.put(slice_of(new))
            assert (await withdrawn).in_flight == 0
        await old.die()
        feed.remove(slice_of(old))
        await sync.forget(uid)
        await load.reached(10)
        old = new


async def test_a_lone_pod_rolled_twenty_times_loses_nothing(tmp_path: Path) -> None:
    """S2 S5 S13 S14: surge 0 even; the old pod serves until the new one is ready."""
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
        first = await Pod("v-first", delay_s=0.003).start()
        feed.put(slice_of(first))
        cache = Cache(feed, KINDS)
        sync = ProxySync(cache, proxy, client=feed)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
            await cache.synced()
            await sync.caught_up()
            async with Load("127.0.0.1", port, "web.example") as load:
                await roll(feed, sync, load, first)
            assert load.lost == []
            assert {f"v{n}" for n in range(20)} <= load.answered.keys()
            for task in tasks:
                task.cancel()
        await proxy.close()
        await Pod.end_all()
        await keeper.shutdown()
