"""Hosts of ExternalNames: looked up again and again, told when that fails, nobody else hurt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from nodrop.client.cache import Cache
from nodrop.model.meta import Obj
from nodrop.proxy.external import Answer
from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.names import Names, Unresolved, system_lookup
from nodrop.proxy.protocol import ServicePort
from nodrop.proxy.sync import KINDS, ProxySync
from tests.unit.proxy.objects import ObjectFeed, endpoint, endpoint_slice, ingress, path, service

AWAY, WEB = ServicePort("default", "away", 80), ServicePort("default", "web", 80)


@dataclass
class Resolver:
    """``says`` maps a host to its addresses, or to why there are none; others never answer."""

    says: dict[str, Answer | Unresolved] = field(default_factory=dict)

    async def lookup(self, host: str) -> Answer:
        while host not in self.says:
            await asyncio.sleep(0.005)
        said = self.says[host]
        if isinstance(said, Unresolved):
            raise said
        return said


def away(name: str) -> Obj:
    made = service("away", type="ExternalName", externalName=name, ports=[])
    del made["spec"]["clusterIP"]
    return made


@pytest.fixture
async def names() -> AsyncIterator[tuple[Names, Resolver, asyncio.Event]]:
    resolver, changed = Resolver(), asyncio.Event()
    names = Names(resolver.lookup, changed=changed.set, every_s=0.01)
    task = asyncio.create_task(names.run())
    yield names, resolver, changed
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _answer(names: Names, host: str, wanted: Answer) -> None:
    async with asyncio.timeout(20):
        while names.answers.get(host) != wanted:
            await asyncio.sleep(0.005)


async def test_addresses_follow_and_a_failure_keeps_them_unless_the_name_is_gone(
    names: tuple[Names, Resolver, asyncio.Event],
) -> None:
    followed, resolver, changed = names
    resolver.says["a.example"] = Answer(("192.0.2.1",))
    followed.follow({"a.example", "silent.example"})
    await _answer(followed, "a.example", Answer(("192.0.2.1",)))
    assert changed.is_set()
    assert "silent.example" not in followed.answers, "nobody waits for who does not answer"
    resolver.says["a.example"] = Answer(("192.0.2.2",))
    await _answer(followed, "a.example", Answer(("192.0.2.2",)))
    resolver.says["a.example"] = Unresolved("no server")
    await _answer(followed, "a.example", Answer(("192.0.2.2",), trouble="no server"))
    resolver.says["a.example"] = Unresolved("no such name", gone=True)
    await _answer(followed, "a.example", Answer(trouble="no such name"))
    followed.follow(())
    assert followed.answers == {}


async def test_settled_waits_for_all_and_not_for_ever(
    names: tuple[Names, Resolver, asyncio.Event],
) -> None:
    followed, resolver, _ = names
    resolver.says["a.example"] = Answer(("192.0.2.1",))
    followed.follow({"a.example"})
    await followed.settled(20)
    assert set(followed.answers) == {"a.example"}
    followed.follow({"a.example", "silent.example"})
    await followed.settled(0.05)
    assert set(followed.answers) == {"a.example"}


async def test_the_system_is_asked() -> None:
    answer = await system_lookup("localhost")
    assert answer.addresses in (("127.0.0.1",), ("::1",))
    assert answer.own == set(answer.addresses)
    with pytest.raises(Unresolved):
        await system_lookup("no-such-name.invalid")
    with pytest.raises(Unresolved):
        await system_lookup("a" * 70 + ".example")


async def test_a_name_that_cannot_be_found_is_told_and_hurts_nobody_else() -> None:
    feed, proxy, resolver = ObjectFeed(), MemoryProxy(), Resolver()
    feed.put(service(), endpoint_slice(endpoint("a")), away("shop.example"))
    feed.put(ingress(path("/"), path("/away", "away")))
    resolver.says["shop.example"] = Unresolved("name or service not known", gone=True)
    cache = Cache(feed, KINDS)
    sync = ProxySync(cache, proxy, client=feed, lookup=resolver.lookup)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
        async with asyncio.timeout(20):
            while not feed.emitted:
                await asyncio.sleep(0.005)
            (event,) = feed.emitted
            assert event.regarding["metadata"]["name"] == "away"
            assert event.reason == "ExternalNameUnavailable"
            assert event.message == "spec.externalName shop.example: name or service not known"
            assert (len(proxy.table.pools[WEB]), len(proxy.table.pools[AWAY])) == (1, 0)
            assert proxy.table.waiting == frozenset()
            feed.put(away("other.example"))
            resolver.says["other.example"] = Answer(("192.0.2.9",))
            while not proxy.table.pools[AWAY]:
                await asyncio.sleep(0.005)
        assert {backend.address for backend in proxy.table.pools[AWAY]} == {"192.0.2.9"}
        for task in tasks:
            task.cancel()


async def test_the_first_table_has_the_hosts_that_were_served_before() -> None:
    """An engine that starts anew takes no address away while it looks the names up."""
    feed, proxy, resolver = ObjectFeed(), MemoryProxy(), Resolver()
    feed.put(away("shop.example"), ingress(path("/away", "away")))
    resolver.says["shop.example"] = Answer(("192.0.2.9",))
    cache = Cache(feed, KINDS)
    sync = ProxySync(cache, proxy, client=feed, lookup=resolver.lookup)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(cache.run()), group.create_task(sync.run())]
        async with asyncio.timeout(20):
            while not proxy.history:
                await asyncio.sleep(0.005)
        assert len(proxy.history[0].pools[AWAY]) == 1
        for task in tasks:
            task.cancel()
