"""What the sync tells about Ingresses, and what it remembers of certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from nodrop.client.cache import Cache
from nodrop.clock import Clock
from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.protocol import Applied, Certificate, RoutingTable
from nodrop.proxy.reports import report_cuts
from nodrop.proxy.sync import KINDS, ProxySync
from tests.unit.proxy.objects import ObjectFeed, ingress, path, service
from tests.unit.proxy.test_routes import secret

OURS = ingress(
    path("/"), host="h.example", tls=[{"hosts": ["h.example"], "secretName": "shop"}]
)  # fmt: skip


@dataclass
class FakeClock:
    at: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc)

    def now(self) -> datetime:
        return self.at


class Refusing(MemoryProxy):
    """Takes every table, and no certificate of the Secrets in ``refuses``."""

    refuses = ""

    async def apply(self, table: RoutingTable) -> Applied:
        await super().apply(table)
        return Applied(uncertified={self.refuses: "no good"} if self.refuses else {})


@asynccontextmanager
async def running(
    feed: ObjectFeed,
    proxy: MemoryProxy,
    kept: tuple[Certificate, ...] = (),
    clock: Clock | None = None,
) -> AsyncIterator[ProxySync]:
    cache = Cache(feed, KINDS)
    sync = ProxySync(cache, proxy, client=feed, clock=clock, recall_certificates=lambda: kept)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
        await cache.synced()
        yield sync
        for task in tasks:
            task.cancel()


async def told(feed: ObjectFeed, sync: ProxySync, count: int) -> list[tuple[str, str, str]]:
    """(object, reason, message) of Events, once there are ``count``."""
    await sync.caught_up()
    async with asyncio.timeout(20):
        while len(feed.emitted) < count:
            await asyncio.sleep(0.005)
    return [(e.regarding["metadata"]["name"], str(e.reason), e.message) for e in feed.emitted]


async def test_a_missing_secret_is_told_once_and_served_when_it_comes() -> None:
    feed, proxy = ObjectFeed(), MemoryProxy()
    feed.put(service(), OURS)
    async with running(feed, proxy) as sync:
        ((name, reason, message),) = await told(feed, sync, 1)
        assert (name, reason) == ("ing", "CertificateUnavailable")
        assert "there is no Secret default/shop" in message
        shop = secret("h.example")
        feed.put({"apiVersion": "v1", **shop})
        async with asyncio.timeout(20):
            while proxy.certificate_for("h.example") is None:
                await asyncio.sleep(0.005)
        feed.remove({"apiVersion": "v1", **shop})
        assert "stays in use" in (await told(feed, sync, 2))[1][2]
        assert proxy.certificate_for("h.example") is not None


async def test_a_certificate_that_expires_is_told() -> None:
    feed, proxy, clock = ObjectFeed(), MemoryProxy(), FakeClock()
    feed.put(service(), OURS, {"apiVersion": "v1", **secret("h.example")})
    clock.at = datetime(4000, 1, 1, tzinfo=timezone.utc)
    async with running(feed, proxy, clock=clock) as sync:
        ((name, reason, message),) = await told(feed, sync, 1)
        assert (name, reason) == ("ing", "CertificateExpired")
        assert message.startswith('spec.tls[0].secretName: "shop": the certificate expired ')
        assert not sync._reports.due()
        clock.at += timedelta(hours=1)
        assert sync._reports.due()


async def test_the_certificate_of_an_engine_before_serves_while_the_secret_is_broken() -> None:
    feed, proxy = ObjectFeed(), MemoryProxy()
    feed.put(service(), OURS)
    kept = Certificate("default/shop", ("h.example",), "pem")
    async with running(feed, proxy, (kept,)) as sync:
        await sync.caught_up()
        assert proxy.certificate_for("h.example") == kept


async def test_a_certificate_that_the_proxy_refuses_is_told_to_its_ingress() -> None:
    feed, proxy = ObjectFeed(), Refusing()
    proxy.refuses = "default/shop"
    feed.put(service(), OURS, {"apiVersion": "v1", **secret("h.example")})
    async with running(feed, proxy) as sync:
        ((name, reason, message),) = await told(feed, sync, 1)
        assert (name, reason) == ("ing", "CertificateUnavailable")
        assert message == 'spec.tls[0].secretName: Invalid value: "shop": no good'


async def test_annotations_are_told_once_and_again_when_they_change() -> None:
    feed, proxy = ObjectFeed(), MemoryProxy()
    plain = ingress(path("/"))

    def with_size(size: str) -> None:
        annotations = {"nodrop.dev/proxy-body-size": size, "nodrop.dev/typo": "1"}
        feed.put({**plain, "metadata": {**plain["metadata"], "annotations": annotations}})

    feed.put(service())
    with_size("big")
    async with running(feed, proxy) as sync:
        first = await told(feed, sync, 2)
        assert [reason for _, reason, _ in first] == ["InvalidAnnotation", "Unsupported"]
        with_size("bigger")
        again = (await told(feed, sync, 3))[2:]
        assert [reason for _, reason, _ in again] == ["InvalidAnnotation"]
        assert '"bigger"' in again[0][2]


async def test_what_a_replaced_proxy_had_to_cut_is_told_of_the_node() -> None:
    feed, cuts = ObjectFeed(), asyncio.Queue[str]()
    feed.put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "here"}})
    telling = asyncio.create_task(report_cuts(cuts, feed))
    cuts.put_nowait("2 long-lived connections were closed")
    async with asyncio.timeout(20):
        while not feed.emitted:
            await asyncio.sleep(0.005)
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    (event,) = feed.emitted
    assert (event.regarding["metadata"]["name"], event.reason) == ("here", "DrainCut")
    assert event.message == "2 long-lived connections were closed"
