"""Every planted loss is found and counted exactly, by its cause (S13, S14: what "lost" means)."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from nodrop.rehearse.load import Load
from nodrop.rehearse.process import LoadFailed, LoadProcess
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import LoadSpec, Mix, target_of
from nodrop.rehearse.summary import Summary

OK = b"HTTP/1.1 200 OK\r\nX-Version: v1\r\nX-Pod: p-1\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[str, bytes, asyncio.StreamWriter], Awaitable[bool]]


async def read_request(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    """(path, body), or None at the connection's end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:-2])
    return head.split()[1].decode(), await reader.readexactly(int(fields.get("Content-Length", 0)))


def reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[str]:
    """A server on a free port; ``answer`` says whether the connection stays open."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await read_request(reader):
                if not await answer(*request, writer):
                    break
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def fault_by_path(path: str, body: bytes, writer: asyncio.StreamWriter) -> bool:
    """What each path plants; says whether the connection stays open."""
    match path:
        case "/ok":
            writer.write(OK)
            return True
        case "/echo":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return True
        case "/wrong-echo":
            changed = body[:-1] + bytes([body[-1] ^ 1])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), changed))
            return True
        case "/close":
            return False
        case "/reset":
            reset(writer)
            return False
        case "/half":
            writer.write(OK[:-1])
            return False
        case "/reset-mid":
            writer.write(OK[:-1])
            await asyncio.sleep(0.05)  # or the reset overtakes what was sent
            reset(writer)
            return False
        case "/hang":
            await asyncio.sleep(600)
            return False
        case "/garbage":
            writer.write(b"SSH-2.0-hello\r\n")
            return False
        case _:
            writer.write(b"HTTP/1.1 %s X\r\nContent-Length: 0\r\n\r\n" % path[1:].encode())
            return True


PLANTED = {
    "/ok": Outcome.OK,
    "/close": Outcome.CLOSED,
    "/reset": Outcome.RESET,
    "/half": Outcome.HALF_ANSWER,
    "/reset-mid": Outcome.RESET_MID_ANSWER,
    "/hang": Outcome.TIMEOUT,
    "/garbage": Outcome.MALFORMED,
    "/404": Outcome.STATUS_4XX,
    "/503": Outcome.STATUS_5XX,
    "/302": Outcome.STATUS_OTHER,
}
GETS = Mix(post_share=0, slow_share=0, fresh_share=1, get_paths=("/ok",))


async def shoot(
    url: str, *, count: int, rate: float = 200, mix: Mix = GETS, timeout_s: float = 20
) -> list[Record]:
    records: list[Record] = []
    load = Load(LoadSpec(target_of(url), rate, mix, timeout_s=timeout_s), records.append)
    await load.run(count=count)
    assert len({record.id for record in records}) == len(records) == load.fired == count
    assert load.in_flight == 0
    return records


def outcomes(records: list[Record]) -> Counter[Outcome]:
    return Counter(record.outcome for record in records)


async def test_each_planted_fault_is_counted_exactly() -> None:
    mix = Mix(post_share=0, slow_share=0, fresh_share=1, get_paths=tuple(PLANTED))
    async with serving(fault_by_path) as url:
        records = await shoot(url, count=20 * len(PLANTED), mix=mix, timeout_s=2)
    assert outcomes(records) == dict.fromkeys(PLANTED.values(), 20)
    by_path = list(PLANTED.values())
    assert all(record.outcome is by_path[record.id % len(by_path)] for record in records)


async def test_a_refused_connection_is_a_loss() -> None:
    async with serving(fault_by_path) as url:
        pass
    records = await shoot(url, count=30)
    assert outcomes(records) == {Outcome.REFUSED: 30}
    assert {record.sent for record in records} == {0.0}


async def test_bodies_are_compared_byte_for_byte() -> None:
    right = Mix(post_share=1, slow_share=0, echo_path="/echo")
    wrong = Mix(post_share=1, slow_share=0, echo_path="/wrong-echo")
    async with serving(fault_by_path) as url:
        assert outcomes(await shoot(url, count=50, mix=right)) == {Outcome.OK: 50}
        assert outcomes(await shoot(url, count=50, mix=wrong)) == {Outcome.WRONG_BODY: 50}


async def test_an_answer_to_another_request_is_a_loss() -> None:
    async with serving(fault_by_path) as url:  # this server never sends X-Request-Id back
        records: list[Record] = []
        spec = LoadSpec(target_of(url), 200, GETS, expect_id=True)
        await Load(spec, records.append).run(count=10)
    assert outcomes(records) == {Outcome.WRONG_BODY: 10}


async def test_a_request_on_a_kept_alive_connection_that_closes_is_a_loss() -> None:
    """Answered once a connection, then closed on the next request: no silent retry."""
    dropped = 0
    answered: set[asyncio.StreamWriter] = set()

    async def answer(_path: str, _body: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal dropped
        if writer in answered:
            dropped += 1
            return False
        answered.add(writer)
        writer.write(OK)
        return True

    mix = Mix(post_share=0, slow_share=0, fresh_share=0)
    async with serving(answer) as url:
        records = await shoot(url, count=100, rate=100, mix=mix)
    assert dropped > 0
    assert outcomes(records) == {
        Outcome.OK: 100 - dropped,
        Outcome.CLOSED_KEEP_ALIVE: dropped,
    }


async def test_a_connection_closed_while_idle_is_replaced_and_nothing_is_lost() -> None:
    connections: set[asyncio.StreamWriter] = set()

    async def answer(_path: str, _body: bytes, writer: asyncio.StreamWriter) -> bool:
        connections.add(writer)
        writer.write(OK)  # promises to stay open, and is closed all the same
        return False

    mix = Mix(post_share=0, slow_share=0, fresh_share=0)
    async with serving(answer) as url:
        records = await shoot(url, count=20, rate=20, mix=mix)
    assert outcomes(records) == {Outcome.OK: 20}
    assert len(connections) == 20


async def test_keep_alive_connections_are_used_again() -> None:
    async with serving(fault_by_path) as url:
        mix = Mix(post_share=0, slow_share=0, fresh_share=0, get_paths=("/ok",))
        kept = await shoot(url, count=100, rate=100, mix=mix)
        fresh = await shoot(url, count=100)
    assert not all(record.fresh for record in kept)
    assert all(record.fresh for record in fresh)
    assert {(record.version, record.pod, record.status) for record in kept} == {("v1", "p-1", 200)}


async def test_a_stall_shows_in_the_latency_of_all_that_were_due() -> None:
    """No coordinated omission: the load goes on by schedule while the service stands still."""
    hundred, go_on = asyncio.Event(), asyncio.Event()
    waiting = 0

    async def answer(_path: str, _body: bytes, writer: asyncio.StreamWriter) -> bool:
        nonlocal waiting
        waiting += 1
        if waiting == 100:
            hundred.set()
        await go_on.wait()
        writer.write(OK)
        return True

    summary = Summary()
    async with serving(answer) as url, asyncio.TaskGroup() as group:
        spec = LoadSpec(target_of(url), 200, Mix(post_share=0, slow_share=0))
        loop = asyncio.get_running_loop()
        started = loop.time()
        group.create_task(Load(spec, summary.add).run(count=300))
        await hundred.wait()
        held_s = loop.time() - started
        go_on.set()
    assert summary.total.lost == 0
    assert summary.total.requests == 300
    slowed = summary.total.latency.percentile_s(99)
    assert slowed > 0.8 * held_s  # the first of the hundred waited the whole stall
    assert summary.total.latency.percentile_s(80) > 0.25 * held_s  # and it wasn't alone


async def test_too_many_in_flight_is_our_limit_and_is_told() -> None:
    async with serving(fault_by_path) as url:
        mix = Mix(post_share=0, slow_share=0, get_paths=("/hang",))
        records: list[Record] = []
        spec = LoadSpec(target_of(url), 500, mix, most_in_flight=10, timeout_s=0.5)
        await Load(spec, records.append).run(count=50)
    assert outcomes(records)[Outcome.UNSENT] >= 10
    assert len(records) == 50


async def test_stop_ends_the_load_and_awaits_what_is_in_flight() -> None:
    async with serving(fault_by_path) as url, asyncio.TaskGroup() as group:
        records: list[Record] = []

        def keep(record: Record) -> None:
            records.append(record)
            if len(records) == 50:
                load.stop()

        load = Load(LoadSpec(target_of(url), 200, GETS), keep)
        group.create_task(load.run())
    assert len(records) == load.fired
    assert outcomes(records) == {Outcome.OK: load.fired}


# The process


async def collect(process: LoadProcess) -> list[Record]:
    return [record async for batch in process.batches() for record in batch]


async def test_the_load_process_streams_the_same_records() -> None:
    async with serving(fault_by_path) as url:
        process = await LoadProcess.start(
            f"--url {url} --rate 300 --count 150 --get /ok --get /503 "
            "--post-share 0 --slow-share 0".split()
        )
        records = await collect(process)
    assert outcomes(records) == {Outcome.OK: 75, Outcome.STATUS_5XX: 75}


async def test_the_load_process_ends_with_its_standard_input() -> None:
    async with serving(fault_by_path) as url:
        process = await LoadProcess.start(["--url", url, "--get", "/ok", "--slow-share", "0"])
        records: list[Record] = []
        async for batch in process.batches():
            records += batch
            if len(records) > 50:
                process.stop()
    assert {record.id for record in records} == set(range(len(records)))
    assert outcomes(records) == {Outcome.OK: len(records)}


async def test_a_load_process_that_fails_says_why() -> None:
    process = await LoadProcess.start(["--url", "http://192.0.2.1/"])
    with pytest.raises(LoadFailed, match="not this machine"):
        await collect(process)


async def test_a_killed_load_process_is_no_success() -> None:
    async with serving(fault_by_path) as url:
        process = await LoadProcess.start(["--url", url, "--get", "/ok", "--slow-share", "0"])
        await anext(process.batches())
        await process.kill()
        with pytest.raises(LoadFailed, match="exit code -9"):
            await collect(process)
