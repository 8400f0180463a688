"""Numbered events over Server-Sent Events: every planted fault is found, resuming costs nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.sse import Event, EventLoad, EventReader, EventSpec
from nodrop.rehearse.stream import End

#: (request, answer, number of the event that is due); returns when the stream is over
Serve = Callable[[web.Request, web.StreamResponse, int], Awaitable[None]]


async def send(answer: web.StreamResponse, number: int) -> None:
    await answer.write(f"id: {number}\ndata: {number}\n\n".encode())


async def read(
    serve: Serve, *, events: int, silence_s: float = 60
) -> tuple[list[Record], list[End]]:
    """What a reader found in so many records."""

    async def handle(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"X-Pod": "p-1", "Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await serve(request, answer, int(request.headers.get("Last-Event-ID", 0)) + 1)
        return answer

    application = web.Application()
    application.router.add_get("/events", handle)
    records: list[Record] = []
    ends: list[End] = []

    def sink(record: Record) -> None:
        records.append(record)
        if len(records) == events:
            load.stop()

    async with TestServer(application) as server:
        assert server.port is not None
        target = Target("127.0.0.1", server.port, "events.test")
        spec = EventSpec(
            connections=1, silence_s=silence_s, is_right=lambda n, data: data == str(n)
        )
        load = EventLoad(spec, target, sink=sink, on_end=ends.append)
        await load.run()
    return records[:events], ends


async def test_a_stream_that_ends_is_resumed() -> None:
    async def five(_request: web.Request, answer: web.StreamResponse, number: int) -> None:
        for each in range(number, number + 5):
            await send(answer, each)

    records, ends = await read(five, events=20)
    assert [record.id for record in records] == list(range(1, 21))
    assert {(record.outcome, record.pod) for record in records} == {(Outcome.OK, "p-1")}
    assert [end.clean for end in ends[:3]] == [True] * 3


async def test_a_cut_stream_is_resumed_and_the_cut_is_told() -> None:
    async def cut(request: web.Request, answer: web.StreamResponse, number: int) -> None:
        await send(answer, number)
        await asyncio.sleep(0.02)  # or the reset overtakes what was sent
        assert request.transport is not None
        request.transport.abort()

    records, ends = await read(cut, events=4)
    assert [record.outcome for record in records] == [Outcome.OK] * 4
    assert [end.cut for end in ends[:3]] == [True] * 3


@pytest.mark.parametrize("numbers", [(1, 2, 4), (1, 2, 2)], ids=["gap", "twice"])
async def test_a_number_that_is_missing_or_comes_twice_is_a_loss(numbers: tuple[int, ...]) -> None:
    async def serve(_request: web.Request, answer: web.StreamResponse, _number: int) -> None:
        for each in numbers:
            await send(answer, each)

    records, _ = await read(serve, events=3)
    assert [record.outcome for record in records] == [Outcome.OK, Outcome.OK, Outcome.WRONG_BODY]


async def test_silence_and_refusals_are_losses() -> None:
    async def silent(_request: web.Request, answer: web.StreamResponse, number: int) -> None:
        await send(answer, number)
        await asyncio.sleep(1)

    records, _ = await read(silent, events=3, silence_s=0.3)
    assert Counter(record.outcome for record in records)[Outcome.TIMEOUT] >= 1

    target = Target("127.0.0.1", 1, "nobody.test")
    found: list[Record] = []
    load = EventLoad(EventSpec(connections=1), target, sink=found.append)
    await load.run(duration_s=0.3)
    assert {record.outcome for record in found} == {Outcome.REFUSED}


def test_events_are_read_as_the_standard_says() -> None:
    reader = EventReader()
    lines = b": comment\nid: 7\ndata: a\ndata:b\nretry: 3\n\n\nid: x\ndata:\n\n".splitlines(True)
    found = [event for line in lines if (event := reader.feed(line))]
    assert found == [Event(7, "a\nb"), Event(0, "")]
