"""ProxySync over the real HAProxy, with one Ingress host, from slices to requests."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from nodrop.client.cache import Cache
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.model.meta import Obj
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


@dataclass(frozen=True, slots=True)
class Front:
    """A keeper, and HAProxy with an Ingress that listens on ``port``."""

    keeper: KeeperClient
    proxy: HAProxy
    port: int


@asynccontextmanager
async def front(tmp_path: Path, *, slots: int = 8) -> AsyncIterator[Front]:
    """HAProxy until the block ends; so do all ``Pod`` of the test."""
    with tempfile.TemporaryDirectory(prefix="nd", dir="/tmp") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        proxy = HAProxy(
            keeper=keeper, folder=tmp_path / "proxy", sockets=Path(sockets),
            binary=find_binary(), ingress_sockets=["ingress/test"], slots=slots,
        )  # fmt: skip
        await proxy.start()
        yield Front(keeper, proxy, port)
        await proxy.close()
        await Pod.end_all()
        await keeper.shutdown()


@dataclass(frozen=True, slots=True)
class Routed:
    """What the tests act on; ``load`` is under way."""

    feed: ObjectFeed
    sync: ProxySync
    load: Load


@asynccontextmanager
async def routed(tmp_path: Path, *pods: Pod) -> AsyncIterator[Routed]:
    """Requests to ``pods`` until the block ends."""
    async with front(tmp_path) as at:
        feed = ObjectFeed()
        feed.put(service(clusterIP="None"), ingress(path("/"), host="web.example"))
        feed.put(*map(slice_of, pods))
        cache = Cache(feed, KINDS)
        sync = ProxySync(cache, at.proxy, client=feed)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
            await cache.synced()
            await sync.caught_up()
            async with Load("127.0.0.1", at.port, "web.example") as load:
                yield Routed(feed, sync, load)
            for task in tasks:
                task.cancel()
