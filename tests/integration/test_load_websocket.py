"""Numbered messages over WebSockets, against a server that is not ours: every planted fault counts.

The server is aiohttp's; what it does with a message is in the message's turn on its connection.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import WSMsgType, web

from nodrop.rehearse.echoes import EchoLoad, EchoSpec
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import End, Ended
from nodrop.rehearse.websocket import WebSocket

#: (socket, request, number of the message on its connection, the message)
Answer = Callable[[web.WebSocketResponse, web.Request, int, bytes], Awaitable[None]]


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[Target]:
    async def serve(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse()
        ws.headers.update({"X-Version": "v1", "X-Pod": "p-1"})
        await ws.prepare(request)
        number = 0
        async for message in ws:
            assert message.type is WSMsgType.BINARY
            number += 1
            await answer(ws, request, number, message.data)
        return ws

    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=503, text="not now")

    app = web.Application()
    app.router.add_get("/ws", serve)
    app.router.add_get("/refuse", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield Target(host, port, f"{host}:{port}")
    finally:
        await runner.cleanup()


async def echo(ws: web.WebSocketResponse, _request: web.Request, _n: int, data: bytes) -> None:
    await ws.send_bytes(data)


async def run(
    target: Target,
    *,
    messages: int,
    again: bool = False,
    connections: int = 1,
    rate: float = 100,
    timeout_s: float = 20,
) -> tuple[list[Record], list[End]]:
    """So many messages in all, quickly."""
    records: list[Record] = []
    ends: list[End] = []
    spec = EchoSpec(
        "WEBSOCKET",
        connections=connections,
        rate=rate,
        timeout_s=timeout_s,
        again_after_cut=again,
    )

    def sink(record: Record) -> None:
        records.append(record)
        if len(records) == messages:
            load.stop()

    load = EchoLoad(
        spec,
        lambda: WebSocket.connect(target, "/ws", timeout_s=20),
        sink=sink,
        on_end=ends.append,
    )
    await load.run()
    return records, ends


async def test_every_message_is_echoed() -> None:
    async with serving(echo) as target:
        records, ends = await run(target, messages=100, connections=4)
    assert Counter(record.outcome for record in records) == {Outcome.OK: len(records)}
    assert len({record.id for record in records}) == len(records) >= 100
    assert {(record.method, record.version, record.pod) for record in records} == {
        ("WEBSOCKET", "v1", "p-1")
    }
    assert sum(record.fresh for record in records) == 4
    assert ends == []


async def test_a_ping_and_a_large_message() -> None:
    async def answer(ws: web.WebSocketResponse, _r: web.Request, _n: int, data: bytes) -> None:
        await ws.ping(b"are you there")
        await ws.send_bytes(data)

    async with serving(answer) as target:
        ws = await WebSocket.connect(target, "/ws", timeout_s=5)
        payload = bytes(range(256)) * 300
        assert await ws.exchange(payload, timeout_s=5) == payload
        await ws.close()
        assert ws.ended is not None
        assert ws.ended.clean


async def test_after_a_clean_close_the_message_that_crossed_it_is_sent_again() -> None:
    async def answer(ws: web.WebSocketResponse, _r: web.Request, n: int, data: bytes) -> None:
        if n == 5:
            await ws.close(code=1001)
        else:
            await ws.send_bytes(data)

    async with serving(answer) as target:
        records, ends = await run(target, messages=20)
    assert {record.outcome for record in records} == {Outcome.OK}
    assert len(ends) >= 4
    assert {(end.clean, end.under_way, end.outcome) for end in ends} == {(True, True, Outcome.OK)}


@pytest.mark.parametrize("again", [False, True])
async def test_a_cut_with_a_message_under_way(again: bool) -> None:
    """Lost, or sent again by a client that numbers its messages; the cut is told both ways."""

    async def answer(ws: web.WebSocketResponse, r: web.Request, n: int, data: bytes) -> None:
        if n == 5:
            assert r.transport is not None
            r.transport.abort()
        else:
            await ws.send_bytes(data)

    async with serving(answer) as target:
        records, ends = await run(target, messages=20, again=again)
    lost = [record for record in records if record.lost]
    assert len(lost) == (0 if again else 4)
    assert {(end.cut, end.under_way) for end in ends} == {(True, True)}


async def test_a_cut_between_messages_loses_none_but_is_told() -> None:
    async def answer(ws: web.WebSocketResponse, r: web.Request, n: int, data: bytes) -> None:
        await ws.send_bytes(data)
        if n == 5:
            assert r.transport is not None
            r.transport.abort()

    async with serving(answer) as target:  # slowly: the cut is seen before a message is due again
        records, ends = await run(target, messages=7, rate=4)
    assert {record.outcome for record in records} == {Outcome.OK}
    assert ends
    assert {(end.cut, end.under_way, end.pod) for end in ends} == {(True, False, "p-1")}


async def test_a_wrong_echo_and_a_second_one_are_losses() -> None:
    async def wrong(ws: web.WebSocketResponse, _r: web.Request, n: int, data: bytes) -> None:
        await ws.send_bytes(data if n != 3 else data[:-1] + bytes([data[-1] ^ 1]))

    async def twice(ws: web.WebSocketResponse, _r: web.Request, n: int, data: bytes) -> None:
        for _ in range(2 if n == 3 else 1):
            await ws.send_bytes(data)

    async with serving(wrong) as target:
        records, _ = await run(target, messages=5)
    assert Counter(record.outcome for record in records)[Outcome.WRONG_BODY] == 1
    async with serving(twice) as target:
        records, _ = await run(target, messages=5)
    assert Counter(record.outcome for record in records)[Outcome.WRONG_BODY] == 1


async def test_no_echo_in_time_is_a_loss_and_its_late_echo_is_not_anothers() -> None:
    async def late(ws: web.WebSocketResponse, _r: web.Request, n: int, data: bytes) -> None:
        if n == 2:
            await asyncio.sleep(1.2)
        await ws.send_bytes(data)

    async with serving(late) as target:
        records, _ = await run(target, messages=3, timeout_s=1)
    assert [record.outcome for record in records[:3]] == [Outcome.OK, Outcome.TIMEOUT, Outcome.OK]


async def test_a_connection_that_can_t_be_had_is_told() -> None:
    async with serving(echo) as target:
        with pytest.raises(Ended) as refused:
            await WebSocket.connect(target, "/refuse", timeout_s=5)
        assert (refused.value.outcome, refused.value.status) == (Outcome.STATUS_5XX, 503)
        with pytest.raises(Ended) as missing:
            await WebSocket.connect(target, "/nothing", timeout_s=5)
        assert missing.value.outcome is Outcome.STATUS_4XX
    with pytest.raises(Ended) as closed:
        await WebSocket.connect(target, "/ws", timeout_s=5)
    assert closed.value.outcome is Outcome.REFUSED
