"""The soak's application and its clients, without a proxy between: what a soak's counts rest on.

A graceful end costs nothing on any protocol; one that is not is seen and told as what it is.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trustme

from bench.clients import http1, http2, rpc, tcp
from bench.engine import free_port, until_answered
from bench.soak_app import event_data
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.rehearse.echoes import Connect, EchoConnection, EchoLoad, EchoSpec
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.sse import EventLoad, EventSpec
from nodrop.rehearse.stream import End, Ended
from nodrop.rehearse.websocket import WebSocket


@dataclass(frozen=True, slots=True)
class App:
    process: asyncio.subprocess.Process
    web: Target
    tcp: Target
    grpc: Target


@asynccontextmanager
async def app(ports: tuple[int, int, int], on_sigterm: str) -> AsyncIterator[App]:
    web, plain, grpc = ports
    env = {"PORT": str(web), "TCP_PORT": str(plain), "GRPC_PORT": str(grpc)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.soak_app"),
        env={**env, "ON_SIGTERM": on_sigterm, "VERSION": "v1", "POD_NAME": "p-1"},
    )
    try:
        await until_answered(f"http://127.0.0.1:{web}")
        yield App(process, *(Target("127.0.0.1", port, f"127.0.0.1:{port}") for port in ports))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_ports() -> tuple[int, int, int]:
    return free_port(), free_port(), free_port()


CONNECTS: dict[str, Callable[[App], Connect]] = {
    "WEBSOCKET": lambda app: partial(WebSocket.connect, app.web, "/ws", timeout_s=10),
    "TCP": lambda app: partial(tcp.Tcp.connect, app.tcp),
    "CHUNKED": lambda app: partial(http1.Http1.connect, app.web, http1.chunked),
    "CONTINUE": lambda app: partial(http1.Http1.connect, app.web, http1.expecting),
    "PIPELINED": lambda app: partial(http1.Http1.connect, app.web, http1.pipelined),
    "DOWNLOAD": lambda app: partial(http1.Http1.connect, app.web, http1.download(100_000, 0.05)),
    "GRPC": lambda app: partial(rpc.Rpc.connect, app.grpc, "Echo"),
    "GRPC-STREAM": lambda app: partial(rpc.Rpc.connect, app.grpc, "Split"),
}


@pytest.mark.parametrize("kind", CONNECTS)
async def test_every_byte_comes_back(kind: str) -> None:
    records: list[Record] = []
    ends: list[End] = []
    spec = EchoSpec(kind, connections=3, rate=50, payload_bytes=3000)
    async with app(free_ports(), "graceful") as running:

        def sink(record: Record) -> None:
            records.append(record)
            if len(records) == 60:
                load.stop()

        load = EchoLoad(spec, CONNECTS[kind](running), sink=sink, on_end=ends.append)
        await load.run()
    assert Counter(record.outcome for record in records) == {Outcome.OK: len(records)}
    assert {(record.version, record.pod) for record in records} == {("v1", "p-1")}
    assert ends == []


@pytest.mark.parametrize("kind", ["WEBSOCKET", "TCP"])
async def test_a_graceful_end_is_clean_and_costs_no_message(kind: str) -> None:
    """Old process told to end, new one on the same port at once: no echo is lost."""
    ports = free_ports()
    records: list[Record] = []
    ends: list[End] = []
    seen = asyncio.Event()

    def sink(record: Record) -> None:
        records.append(record)
        if len(records) == 40:
            seen.set()

    async with app(ports, "graceful") as old:
        load = EchoLoad(
            EchoSpec(kind, connections=4, rate=100, timeout_s=20),
            patient(CONNECTS[kind](old)),
            sink=sink,
            on_end=ends.append,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(load.run())
            await seen.wait()
            old.process.send_signal(signal.SIGTERM)
            assert await old.process.wait() == 0
            async with app(ports, "graceful"):
                before = len(records)
                while len(records) < before + 40:
                    await asyncio.sleep(0.01)
                load.stop()
                await running
    assert Counter(record.outcome for record in records) == {Outcome.OK: len(records)}
    assert [end.clean for end in ends] == [True] * 4


TLS_FRONT = """\
global
  maxconn 500
  hard-stop-after 20s
defaults
  mode http
  timeout client 60s
  timeout connect 5s
  timeout server 60s
frontend tls
  bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
  default_backend app
backend app
  server app {app.address}:{app.port}
"""


@asynccontextmanager
async def tls_front(app: Target, folder: Path) -> AsyncIterator[tuple[Target, int]]:
    """HAProxy that speaks HTTP/2 in front of ``app``; where it listens, and its pid."""
    port = free_port()
    pem = folder / "server.pem"
    trustme.CA().issue_cert("soak.test").private_key_and_cert_chain_pem.write_to_path(pem)
    config = folder / "front.cfg"
    config.write_text(TLS_FRONT.format(port=port, pem=pem, app=app))
    process = await asyncio.create_subprocess_exec(str(find_binary()), "-db", "-f", str(config))
    try:
        yield Target("127.0.0.1", port, f"127.0.0.1:{port}"), process.pid
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_http2_verifies_every_byte_and_a_goaway_is_clean(tmp_path: Path) -> None:
    """The server's good-bye, with requests under way, costs none of them; then nobody listens."""
    records: list[Record] = []
    ends: list[End] = []
    async with app(free_ports(), "graceful") as behind, tls_front(behind.web, tmp_path) as front:
        target, pid = front

        def sink(record: Record) -> None:
            records.append(record)
            if len(records) == 60:
                os.kill(pid, signal.SIGUSR1)
            if record.lost:
                load.stop()

        load = EchoLoad(
            EchoSpec("HTTP2", connections=3, rate=50, payload_bytes=3000),
            patient(partial(http2.Http2.connect, target), tries=20),
            sink=sink,
            on_end=ends.append,
        )
        await load.run()
    good = [record for record in records if not record.lost]
    assert len(good) >= 60
    assert {(record.version, record.pod) for record in good} == {("v1", "p-1")}
    assert {record.outcome for record in records} == {Outcome.OK, Outcome.REFUSED}
    assert all(end.clean for end in ends)


def patient(connect: Connect, *, tries: int = 1000) -> Connect:
    """Connects as soon as somebody listens."""

    async def connected() -> EchoConnection:
        nonlocal tries
        while True:
            try:
                return await connect()
            except Ended as ended:
                tries -= 1
                if ended.outcome is not Outcome.REFUSED or tries < 0:
                    raise
                await asyncio.sleep(0.05)

    return connected


async def test_an_app_that_exits_at_once_cuts() -> None:
    ends: list[End] = []
    records: list[Record] = []
    async with app(free_ports(), "exit") as running:
        load = EchoLoad(
            EchoSpec("TCP", connections=2, rate=50),
            CONNECTS["TCP"](running),
            sink=records.append,
            on_end=ends.append,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            while len(records) < 10:
                await asyncio.sleep(0.01)
            running.process.send_signal(signal.SIGTERM)
            while len(ends) < 2:
                await asyncio.sleep(0.01)
            load.stop()
    assert all(end.cut for end in ends)
    assert any(record.outcome is Outcome.REFUSED for record in records)


async def test_events_resume_after_a_clean_end() -> None:
    """Two processes one after the other: each event once, in order, checked."""
    ports = free_ports()
    records: list[Record] = []
    ends: list[End] = []
    spec = EventSpec(
        path="/events?every_ms=5",
        connections=1,
        is_right=lambda number, data: data == event_data(number),
    )
    async with app(ports, "graceful") as old:
        load = EventLoad(spec, old.web, sink=records.append, on_end=ends.append)
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            while len(records) < 50:
                await asyncio.sleep(0.01)
            old.process.send_signal(signal.SIGTERM)
            await old.process.wait()
            async with app(ports, "graceful"):
                before = good(records)
                while good(records) < before + 50:
                    await asyncio.sleep(0.01)
                load.stop()
    assert [record.id for record in records if not record.lost] == list(range(1, good(records) + 1))
    assert {record.outcome for record in records} <= {Outcome.OK, Outcome.REFUSED}
    assert ends[0].clean


def good(records: list[Record]) -> int:
    return sum(not record.lost for record in records)
