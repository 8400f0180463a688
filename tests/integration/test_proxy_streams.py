"""Drain and cut by kind of connection, with the real HAProxy telling them apart (S13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import Backend, InFlight, Route, RoutingTable, ServicePort
from tests.integration.routed import front
from tests.unit.proxy.support import Client, Pod

WEB = ServicePort("default", "web", 80)
_HANDSHAKE = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
_SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)


class Lingering:
    """An app whose answers are as long as the path says, and end when ``told`` is set."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.bodies: list[bytes] = []

    async def start(self) -> Backend:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return Backend("uid-old", "old", "127.0.0.1", port)

    def close(self) -> None:
        self.told.set()
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
            await getattr(self, path.strip("/"))(reader, writer)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def poll(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.told.wait()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")

    async def upload(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.bodies.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")

    async def events(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        writer.write(head + b"transfer-encoding: chunked\r\n\r\n6\r\ndata:1\r\n")
        await self.told.wait()
        writer.write(b"0\r\n\r\n")

    async def download(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndo")
        await self.told.wait()
        writer.write(b"ne")

    async def socket(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(_SWITCHED)
        while data := await reader.read(1000):
            writer.write(data)


class World:
    def __init__(self, proxy: HAProxy, port: int, old: Lingering, new: Pod) -> None:
        self.proxy, self.port, self.old, self.new = proxy, port, old, new

    async def ask(self, path: str, headers: str = "", method: str = "GET") -> Talk:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
        return Talk(reader, writer)

    async def withdraw(self) -> None:
        """Nothing new goes to the old pod: only then what it has in hand is looked at."""
        new = Backend("uid-new", "new", self.new.address, self.new.port)
        await self.proxy.apply(table(new))

    async def left(self, *, answers_s: float) -> InFlight:
        return await self.proxy.drain("uid-old", 0.5, answers_s=answers_s)


class Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def head(self) -> str:
        return (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)).decode()

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), 20)

    def close(self) -> None:
        self.writer.close()


def table(pod: Backend) -> RoutingTable:
    return RoutingTable({WEB: frozenset({pod})}, {Route("", "/", False): WEB})


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with front(tmp_path) as at:
        old, new = Lingering(), await Pod("new").start()
        await at.proxy.apply(table(await old.start()))
        yield World(at.proxy, at.port, old, new)
        old.close()


async def test_a_request_whose_answer_has_not_begun_is_waited_for(world: World) -> None:
    talk = await world.ask("/poll")
    await until_in_hand(world)
    await world.withdraw()
    assert await world.left(answers_s=0.0) == InFlight(1, 0)
    world.old.told.set()
    assert await world.proxy.drain("uid-old", 20) == InFlight(0, 0)
    assert "200" in await talk.head()
    talk.close()


async def test_a_chunked_upload_is_a_request_with_100_continue(world: World) -> None:
    headers = "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"
    talk = await world.ask("/upload", headers, "POST")
    assert "100" in await talk.head()
    talk.writer.write(b"3\r\nabc\r\n")
    await world.withdraw()
    assert await world.left(answers_s=0.0) == InFlight(1, 0)
    talk.writer.write(b"3\r\ndef\r\n0\r\n\r\n")
    assert "200" in await talk.head()
    assert await world.proxy.drain("uid-old", 20) == InFlight(0, 0)
    assert world.old.bodies == [b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"]
    talk.close()


@pytest.mark.parametrize("path", ["/events", "/download"])
async def test_an_answer_that_goes_on_is_waited_for_a_while_and_then_a_stream(
    world: World, path: str
) -> None:
    talk = await world.ask(path)
    await talk.head()
    await world.withdraw()
    assert await world.left(answers_s=60) == InFlight(1, 0)
    assert await world.proxy.drain("uid-old", 20, answers_s=0.2) == InFlight(0, 1)
    world.old.told.set()  # what SIGTERM does: the app itself ends it well
    last = b"0\r\n\r\n" if path == "/events" else b"ne"
    assert await asyncio.wait_for(talk.reader.readuntil(last), 20)
    assert await world.proxy.cut("uid-old", 0) == 0
    talk.close()


async def test_a_websocket_is_a_stream_at_once_and_serves_on_until_it_is_cut(world: World) -> None:
    talks = [await world.ask("/socket", _HANDSHAKE) for _ in range(5)]
    for talk in talks:
        assert "101" in await talk.head()
    await world.withdraw()
    assert await world.proxy.drain("uid-old", 20, answers_s=60) == InFlight(0, 5)
    for talk in talks:
        talk.writer.write(b"still here")
        assert await asyncio.wait_for(talk.reader.readexactly(10), 20) == b"still here"
    ends: list[float] = []

    async def until_ended(talk: Talk) -> None:
        assert await talk.rest() == b""
        ends.append(asyncio.get_running_loop().time())

    async with asyncio.TaskGroup() as group:
        for talk in talks:
            group.create_task(until_ended(talk))
        assert await world.proxy.cut("uid-old", 0.8) == 5
    assert max(ends) - min(ends) > 0.2  # not all at once
    for talk in talks:
        talk.close()
    client = Client("127.0.0.1", world.port)
    assert await client.request("/") == (200, "new")
    await client.close()


async def test_a_cut_that_is_broken_off_tells_what_it_has_closed(world: World) -> None:
    """An app that waits for its connections ends with the last one: the agent waits no longer."""
    talks = [await world.ask("/socket", _HANDSHAKE) for _ in range(4)]
    for talk in talks:
        assert "101" in await talk.head()
    await world.withdraw()
    cut = asyncio.create_task(world.proxy.cut("uid-old", 60))
    ends = [asyncio.create_task(talk.rest()) for talk in talks]
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    cut.cancel()
    closed = await cut
    assert 1 <= closed < 4
    assert await world.proxy.drain("uid-old", 20) == InFlight(0, 4 - closed)
    assert await world.proxy.cut("uid-old", 0) == 4 - closed
    assert await asyncio.gather(*ends) == [b""] * 4
    for talk in talks:
        talk.close()


async def test_streams_of_a_replaced_process_are_counted_and_cut_too(world: World) -> None:
    """A new HAProxy has taken over; the one before goes on with its last connections."""
    talk = await world.ask("/socket", _HANDSHAKE)
    assert "101" in await talk.head()
    await world.proxy.replace(find_binary())
    await world.withdraw()
    assert await world.proxy.drain("uid-old", 20) == InFlight(0, 1)
    assert await world.proxy.cut("uid-old", 0) == 1
    assert await talk.rest() == b""
    talk.close()


async def until_in_hand(world: World) -> None:
    for _ in range(2000):
        stats = await world.proxy.stats()
        if any(one.in_flight for one in stats.backends.values()):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the request did not arrive")
