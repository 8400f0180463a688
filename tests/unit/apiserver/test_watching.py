"""A watch's answer in virtual time: bookmarks, batches, and a client that takes nothing."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from multidict import MultiDict

from nodrop.apiserver.parameters import list_options
from nodrop.apiserver.reader import Reader
from nodrop.apiserver.rendering import PlainRendering
from nodrop.apiserver.watching import LineCache, WatchStream
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import Obj, Revision
from nodrop.registry.interface import Allocation
from nodrop.registry.verbs import Registry
from nodrop.sim.loop import VirtualClock, run_virtual
from nodrop.store.sqlite import SqliteStore


@dataclass
class Client:
    """What one client has taken, write by write, with the time; it may stop reading."""

    reads: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[tuple[float, list[Obj]]] = field(default_factory=list)
    cut_s: float | None = None
    ended: bool = False

    async def write(self, data: bytes) -> None:
        lines = [msgspec.json.decode(line) for line in data.splitlines()]
        self.taken.append((asyncio.get_running_loop().time(), lines))
        await self.reads.wait()

        if self.cut_s is not None:
            raise ConnectionResetError

    async def write_eof(self) -> None:
        await self.reads.wait()
        self.ended = True

    def cut(self) -> None:
        self.cut_s = asyncio.get_running_loop().time()
        self.reads.set()

    def sizes(self) -> list[int]:
        return [len(lines) for _, lines in self.taken]

    def types(self) -> list[list[str]]:
        return [[line["type"] for line in lines] for _, lines in self.taken]


@asynccontextmanager
async def watching(
    client: Client,
    first: tuple[Obj, ...] = (),
    marked: Revision | None = None,
    timeout_s: int = 10_000,
) -> AsyncIterator[Registry]:
    """A watch of ConfigMaps that ``client`` gets, for the length of the block."""
    store = SqliteStore(":memory:")
    allocation = Allocation("127.64.0.0/16", "127.65.0.0/24")
    registry = Registry(store, VirtualClock(), allocation, random.Random(1))
    stream = WatchStream(registry, CONFIGMAP, PlainRendering(CONFIGMAP), LineCache())
    query = MultiDict({"watch": "1", "allowWatchBookmarks": "1", "timeoutSeconds": str(timeout_s)})
    options = list_options(query, "default")
    reader = Reader(client)
    since = registry.revision()
    events = registry.watch(CONFIGMAP, options.scope, since=since)
    async with asyncio.TaskGroup() as group:
        answering: Coroutine[Any, Any, None] = stream._answer(
            reader, options, first, since, marked, events
        )
        answer = group.create_task(answering)
        await asyncio.sleep(0)
        with reader.or_cut(client.cut):
            yield registry
        answer.cancel()
    store.close()


def make(registry: Registry, *names: str) -> None:
    for name in names:
        registry.create(CONFIGMAP, "default", {"metadata": {"name": name}})


def test_bookmarks_come_once_a_minute() -> None:
    async def scenario() -> None:
        client = Client()
        client.reads.set()
        async with watching(client) as registry:
            for second in range(185):
                if second == 90:
                    make(registry, "a")
                await asyncio.sleep(1)
            revision = str(registry.revision())
        marks = [(at, lines[0]) for at, lines in client.taken if lines[0]["type"] == "BOOKMARK"]
        began = marks[0][0] - 60
        assert [round(at - began) for at, _ in marks] == [60, 120, 180]
        told = [mark["object"]["metadata"]["resourceVersion"] for _, mark in marks]
        assert told == [str(int(revision) - 1), revision, revision]

    run_virtual(scenario())


def test_who_lags_gets_what_has_come_in_one_write() -> None:
    async def scenario() -> None:
        client = Client()
        async with watching(client) as registry:
            make(registry, "a")
            await asyncio.sleep(0.1)  # its write waits for the client
            make(registry, "b", "c", "d")
            await asyncio.sleep(0.1)
            assert client.types() == [["ADDED"]]
            client.reads.set()
            await asyncio.sleep(0.1)
            assert client.types() == [["ADDED"], ["ADDED"] * 3]
            names = [line["object"]["metadata"]["name"] for _, all in client.taken for line in all]
            assert names == ["a", "b", "c", "d"]

    run_virtual(scenario())


def test_one_write_is_bounded() -> None:
    """However far a watcher lags: each has a copy of what is being written to it."""

    async def scenario() -> None:
        client = Client()
        async with watching(client) as registry:
            make(registry, *(f"n{number}" for number in range(300)))
            client.reads.set()
            await asyncio.sleep(0.1)
            assert [len(lines) for _, lines in client.taken] == [128, 128, 44]

    run_virtual(scenario())


def test_one_write_of_large_objects_is_bounded_by_their_size() -> None:
    async def scenario() -> None:
        client = Client()
        async with watching(client) as registry:
            for number in range(5):
                large = {"metadata": {"name": f"n{number}"}, "data": {"a": "x" * 200_000}}
                registry.create(CONFIGMAP, "default", large)
            client.reads.set()
            await asyncio.sleep(0.1)
            assert [len(lines) for _, lines in client.taken] == [2, 2, 1]

    run_virtual(scenario())


def configmaps(count: int, size: int) -> tuple[Obj, ...]:
    return tuple({"metadata": {"name": f"n{n}"}, "data": {"a": "x" * size}} for n in range(count))


def test_the_state_as_it_is_comes_in_bounded_writes_each_when_the_one_before_is_taken() -> None:
    async def scenario() -> None:
        client = Client()
        async with watching(client, configmaps(300, 10), marked=Revision(7)):
            await asyncio.sleep(1)
            assert client.sizes() == [128]  # and nothing more is made for who takes nothing
            client.reads.set()
            await asyncio.sleep(1)
            assert client.sizes() == [128, 128, 45]
            types = [line["type"] for _, lines in client.taken for line in lines]
            assert types == ["ADDED"] * 300 + ["BOOKMARK"]
            mark = client.taken[-1][1][-1]["object"]["metadata"]
            assert mark["annotations"] == {"k8s.io/initial-events-end": "true"}

    run_virtual(scenario())


def test_the_state_as_it_is_is_bounded_by_size() -> None:
    async def scenario() -> None:
        client = Client()
        client.reads.set()
        async with watching(client, configmaps(5, 200_000)):
            await asyncio.sleep(1)
            assert client.sizes() == [2, 2, 1]

    run_virtual(scenario())


def test_a_client_that_takes_nothing_is_cut_off_within_two_minutes() -> None:
    async def scenario() -> None:
        client, over = Client(), False
        try:
            async with watching(client) as registry:
                await asyncio.sleep(30)
                make(registry, "a")
                await asyncio.sleep(50)
                make(registry, "b")
                await asyncio.sleep(1000)
        except* ConnectionResetError:
            over = True
        assert over
        assert client.types() == [["ADDED"]]
        assert client.cut_s is not None
        assert 60 <= client.cut_s - client.taken[0][0] < 120

    run_virtual(scenario())


def test_no_bookmark_stands_before_events_that_wait_for_a_client() -> None:
    """Cut off after it, the client would go on from there and never hear of them."""

    async def scenario() -> None:
        client = Client()
        async with watching(client) as registry:
            await asyncio.sleep(30)
            make(registry, "a")
            await asyncio.sleep(20)
            make(registry, "b")
            await asyncio.sleep(20)
            client.reads.set()
            await asyncio.sleep(60)
            revision = str(registry.revision())
        assert client.types() == [["ADDED"], ["ADDED"], ["BOOKMARK"]]
        assert client.taken[-1][1][0]["object"]["metadata"]["resourceVersion"] == revision

    run_virtual(scenario())


@pytest.mark.parametrize("listed", [0, 300])
def test_a_watch_whose_time_is_up_tells_only_of_what_its_client_was_sent(listed: int) -> None:
    async def scenario() -> None:
        client, first = Client(), configmaps(listed, 10)
        async with watching(client, first, timeout_s=50) as registry:
            await asyncio.sleep(30)
            make(registry, "a")
            sent = str(registry.revision())
            await asyncio.sleep(1)
            make(registry, "b")
            await asyncio.sleep(29)
            client.reads.set()
            await asyncio.sleep(1)
        assert client.ended
        if listed:  # in the middle of the initial list: no revision says what was sent
            assert client.types() == [["ADDED"] * 128]
        else:
            assert client.types() == [["ADDED"], ["BOOKMARK"]]
            assert client.taken[-1][1][0]["object"]["metadata"]["resourceVersion"] == sent

    run_virtual(scenario())


@pytest.mark.parametrize("reads", [True, False])
def test_an_engine_that_ends_ends_the_answer_and_waits_for_nobody(reads: bool) -> None:
    """A watch that is only cut off looks like a failure to its client."""

    async def scenario() -> None:
        client, loop = Client(), asyncio.get_running_loop()
        if reads:
            client.reads.set()
        async with watching(client):
            await asyncio.sleep(30)
            began_s = loop.time()
        assert client.ended == reads
        assert loop.time() - began_s < 1

    run_virtual(scenario())
