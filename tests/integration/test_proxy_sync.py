"""ProxySync over a real cache and the data plane in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

import pytest

from nodrop.client.cache import Cache
from nodrop.model.meta import Uid
from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.protocol import (
    Applied,
    InFlight,
    Listener,
    ProxyFailure,
    RoutingTable,
    ServicePort,
)
from nodrop.proxy.sync import KINDS, ProxySync
from tests.unit.proxy.objects import ObjectFeed, endpoint, endpoint_slice, ingress, path, service

WEB = ServicePort("default", "web", 80)


@dataclass
class World:
    feed: ObjectFeed
    proxy: MemoryProxy
    sync: ProxySync

    async def settle(self) -> None:
        """The cache has seen everything put in, and the proxy has acknowledged it."""
        for _ in range(10):
            await asyncio.sleep(0)
        await self.sync.caught_up()

    def pods(self) -> set[str]:
        return {backend.name for backend in self.proxy.table.pools.get(WEB, ())}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    feed, proxy = ObjectFeed(), MemoryProxy()
    feed.put(service(), ingress(path("/")))
    cache = Cache(feed, KINDS)
    sync = ProxySync(cache, proxy, client=feed)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
        await cache.synced()
        yield World(feed, proxy, sync)
        for task in tasks:
            task.cancel()


async def test_the_first_table_waits_for_the_whole_cache(world: World) -> None:
    await world.settle()
    assert len(world.proxy.history) == 1
    assert WEB in world.proxy.table.pools


async def test_a_pod_that_becomes_ready_gets_traffic(world: World) -> None:
    """S2 S7 S8."""
    world.feed.put(endpoint_slice(endpoint("v1", ready=False)))
    await world.settle()
    assert world.pods() == set()
    world.feed.put(endpoint_slice(endpoint("v1")))
    await world.settle()
    assert world.pods() == {"v1"}


async def test_changes_of_one_moment_make_one_apply(world: World) -> None:
    await world.settle()
    before = len(world.proxy.history)
    for number in range(20):
        world.feed.put(endpoint_slice(*(endpoint(f"p{n}") for n in range(number + 1))))
    await world.settle()
    assert len(world.pods()) == 20
    assert len(world.proxy.history) - before <= 3


async def test_withdraw_with_others_ready_is_acknowledged_before_it_returns(world: World) -> None:
    """S13 S14: the slice need not have said anything yet."""
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.settle()
    done = await world.sync.withdraw(Uid("uid-old"), "127.9.2.1", budget_s=5)
    assert world.pods() == {"new"}
    assert done.in_flight == 0


async def test_withdraw_waits_for_what_is_in_flight(world: World) -> None:
    """S13."""
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.settle()
    backend = next(b for b in world.proxy.table.pools[WEB] if b.name == "old")
    world.proxy.begin(WEB, backend)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.sync.withdraw(Uid("uid-old"), "", budget_s=20))
        await world.settle()
        await world.settle()
        assert not task.done()
        assert world.pods() == {"new"}
        await world.proxy.end(backend)
        assert (await task).in_flight == 0


async def test_a_cut_drain_tells_what_is_left(world: World) -> None:
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.settle()
    backend = next(b for b in world.proxy.table.pools[WEB] if b.name == "old")
    world.proxy.begin(WEB, backend)
    done = await world.sync.withdraw(Uid("uid-old"), "", budget_s=0.1)
    assert done.in_flight == 1
    assert done.took_s >= 0.1


async def test_pause_waits_for_the_slice_and_what_is_in_flight_and_bars_nobody(
    world: World,
) -> None:
    """A container restarted in place: out of the table first, back as soon as it is ready."""
    world.feed.put(endpoint_slice(endpoint("a"), endpoint("b")))
    await world.settle()
    backend = next(b for b in world.proxy.table.pools[WEB] if b.name == "a")
    world.proxy.begin(WEB, backend)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.sync.pause(Uid("uid-a"), "", budget_s=20))
        await world.settle()
        assert not task.done()
        world.feed.put(endpoint_slice(endpoint("a", ready=False), endpoint("b")))
        await world.settle()
        await world.settle()
        assert world.pods() == {"b"}
        assert not task.done()
        await world.proxy.end(backend)
        assert (await task).in_flight == 0
    world.feed.put(endpoint_slice(endpoint("a"), endpoint("b")))
    await world.settle()
    assert world.pods() == {"a", "b"}


async def test_pause_is_bounded_and_quick_where_nothing_is_routed(world: World) -> None:
    world.feed.put(endpoint_slice(endpoint("a"), endpoint("b", ready=False)))
    await world.settle()
    stuck = await world.sync.pause(Uid("uid-a"), "", budget_s=0.1)
    assert stuck.in_flight is None
    assert stuck.took_s >= 0.1
    assert (await world.sync.pause(Uid("uid-b"), "", budget_s=60)).in_flight == 0
    assert world.pods() == {"a"}


async def test_a_lone_pod_serves_until_its_replacement_is_ready(world: World) -> None:
    """S5: with surge 0 the old pod serves as long as its grace period allows."""
    world.feed.put(endpoint_slice(endpoint("old")))
    await world.settle()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.sync.withdraw(Uid("uid-old"), "", budget_s=60))
        ending = endpoint("old", ready=False, serving=True, terminating=True)
        world.feed.put(endpoint_slice(ending, endpoint("new", ready=False)))
        await world.settle()
        assert world.pods() == {"old"}
        assert not task.done()
        world.feed.put(endpoint_slice(ending, endpoint("new")))
        await task
    assert world.pods() == {"new"}
    assert not any(not table.pools[WEB] for table in world.proxy.history[2:])


async def test_a_lone_pod_without_a_replacement_goes_after_a_moment(world: World) -> None:
    world.feed.put(endpoint_slice(endpoint("old")))
    await world.settle()
    done = await world.sync.withdraw(Uid("uid-old"), "", budget_s=30)
    assert world.pods() == set()
    assert WEB in world.proxy.table.waiting
    assert 0.9 <= done.took_s < 10


async def test_a_replacement_that_never_gets_ready_takes_no_more_than_the_budget(
    world: World,
) -> None:
    """S15 S20: holding counts against the grace period."""
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new", ready=False)))
    await world.settle()
    done = await world.sync.withdraw(Uid("uid-old"), "", budget_s=0.4)
    assert world.pods() == set()
    assert done.took_s >= 0.3


async def test_an_unknown_pod_returns_and_stays_barred(world: World) -> None:
    await world.settle()
    await world.sync.withdraw(Uid("uid-late"), "", budget_s=5)
    world.feed.put(endpoint_slice(endpoint("late"), endpoint("other")))
    await world.settle()
    assert world.pods() == {"other"}


async def test_a_forgotten_pod_stays_barred_while_a_slice_names_it(world: World) -> None:
    ending = endpoint("old", ready=False, serving=True, terminating=True)
    world.feed.put(endpoint_slice(ending))
    await world.settle()
    await world.sync.withdraw(Uid("uid-old"), "", budget_s=0)
    await world.sync.forget(Uid("uid-old"))
    await world.settle()
    assert world.pods() == set()
    world.feed.put(endpoint_slice())
    await world.settle()
    world.feed.put(endpoint_slice(endpoint("old")))
    await world.settle()
    assert world.pods() == {"old"}


async def test_a_failing_proxy_is_asked_again_until_it_acknowledges(world: World) -> None:
    await world.settle()
    world.proxy.failures = 3
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.sync.withdraw(Uid("uid-old"), "", budget_s=10)
    assert world.proxy.failures == 0
    assert world.pods() == {"new"}


async def test_a_withdrawal_is_never_over_before_its_acknowledgement(world: World) -> None:
    """S13: past its budget too, a pod that the proxy still routes to is not withdrawn."""
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.settle()
    world.proxy.failures = 10_000
    async with asyncio.TaskGroup() as group:
        going = group.create_task(world.sync.withdraw(Uid("uid-old"), "", budget_s=0.1))
        done, _ = await asyncio.wait({going}, timeout=0.4)
        assert not done
        world.proxy.failures = 0
        assert (await going).in_flight == 0
    assert world.pods() == {"new"}


async def test_what_an_engine_before_has_withdrawn_is_in_no_table() -> None:
    """S12 S13: a lone pod that has its signal already is no fall-back after a restart."""
    feed, proxy = ObjectFeed(), MemoryProxy()
    ending = endpoint("old", ready=False, serving=True, terminating=True)
    feed.put(service(), ingress(path("/")), endpoint_slice(ending))
    cache = Cache(feed, KINDS)

    async def recall() -> Collection[str]:
        await asyncio.sleep(0.05)
        return {"uid-old"}

    sync = ProxySync(cache, proxy, client=feed, recall=recall)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
        done = await sync.withdraw(Uid("uid-old"), "", budget_s=60)
        assert done.took_s < 30, "it is not held either"
        assert proxy.history
        assert all(not table.pools[WEB] for table in proxy.history)
        for task in tasks:
            task.cancel()


async def test_a_pod_that_is_out_stays_out_when_its_withdrawal_is_asked_for_again(
    world: World,
) -> None:
    """A second, shorter DELETE during the drain cuts the first call and asks again."""
    ending = endpoint("old", ready=False, serving=True, terminating=True)
    world.feed.put(endpoint_slice(endpoint("old")))
    await world.settle()
    backend = next(b for b in world.proxy.table.pools[WEB] if b.name == "old")
    world.proxy.begin(WEB, backend)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        first = group.create_task(world.sync.withdraw(Uid("uid-old"), "", budget_s=60))
        while world.pods():
            await asyncio.sleep(0.01)
        first.cancel()
    out = len(world.proxy.history)
    world.feed.put(endpoint_slice(ending, endpoint("new", ready=False)))
    done = await world.sync.withdraw(Uid("uid-old"), "", budget_s=0.4)
    assert done.in_flight == 1
    assert all(not table.pools[WEB] for table in world.proxy.history[out - 1 :])


async def test_a_drain_that_the_proxy_fails_is_asked_for_again_until_its_budget_ends(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is signalled early, and nothing is said about requests, for a proxy's failure."""
    world.feed.put(endpoint_slice(endpoint("old"), endpoint("new")))
    await world.settle()
    left: list[ProxyFailure | InFlight] = [ProxyFailure("not now")] * 3

    async def drain(pod: str, timeout_s: float, *, answers_s: float) -> InFlight:
        now = left.pop(0)
        if isinstance(now, ProxyFailure):
            raise now
        return now

    monkeypatch.setattr(world.proxy, "drain", drain)
    left.append(InFlight(0))
    assert (await world.sync.withdraw(Uid("uid-old"), "", budget_s=30)).in_flight == 0
    left[:] = [ProxyFailure("never")] * 1000
    never = await world.sync.withdraw(Uid("uid-old"), "", budget_s=0.3)
    assert never.in_flight is None
    assert never.took_s >= 0.3


async def test_a_refused_listener_is_told_to_the_service(world: World) -> None:
    await world.settle()
    taken = Listener("127.9.1.7", 80)
    world.proxy.unavailable = {taken: "the port is in use"}
    udp = [{"port": 53, "protocol": "UDP"}]
    world.feed.put(service("api", ip="127.9.1.7"), service("dns", ip="127.9.1.8", ports=udp))
    await world.settle()
    await world.settle()
    told = {event.regarding["metadata"]["name"]: event.message for event in world.feed.emitted}
    assert told == {"api": "the port is in use", "dns": "port 53 is UDP: only TCP is served"}
    assert all(event.reason == "PortUnavailable" for event in world.feed.emitted)
    assert set(world.sync.refused) == {taken, Listener("127.9.1.8", 53)}


async def test_what_a_pool_cannot_serve_is_told_to_its_service_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def apply(table: RoutingTable) -> Applied:
        return Applied(unserved={WEB: "Ingress path '/a b' is not served"})

    monkeypatch.setattr(world.proxy, "apply", apply)
    for name in ("a", "b"):
        world.feed.put(endpoint_slice(endpoint(name)))
        await world.settle()
        await world.settle()
    told = [(event.regarding["metadata"]["name"], event.message) for event in world.feed.emitted]
    assert told == [("web", "Ingress path '/a b' is not served")]
