"""The probers against real sockets: upstream's rules for HTTP, TCP and exec."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme
from aiohttp import web

from nodrop.agent.plan.probes import HttpTarget, TcpTarget, Unusable
from nodrop.agent.probers.every import EveryProber
from nodrop.clock import SystemClock
from tests.unit.agent.fakes import FakeRuntime


@pytest.fixture
async def prober() -> AsyncIterator[EveryProber]:
    made = EveryProber(FakeRuntime(SystemClock()))
    yield made
    await made.close()


@asynccontextmanager
async def server(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def target(port: int, path: str = "/", **fields: Any) -> HttpTarget:
    return HttpTarget("127.0.0.1", port, path, **fields)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, "success"), (204, "success"), (304, "success"), (404, "failure"), (503, "failure")],
)
async def test_success_is_200_to_399(prober: EveryProber, status: int, outcome: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with server(answer) as port:
        result = await prober.probe(target(port), timeout_s=5)
    assert result.outcome == outcome
    assert result.answered
    if outcome == "failure":
        assert result.message == f"HTTP probe failed with statuscode: {status}"


async def test_headers_are_upstreams_unless_overridden(prober: EveryProber) -> None:
    seen: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append({name.lower(): value for name, value in request.headers.items()})
        return web.Response()

    async with server(answer) as port:
        await prober.probe(target(port), timeout_s=5)
        own = (("accept", ""), ("User-Agent", "mine"), ("Host", "web.example"), ("X-A", "1"))
        await prober.probe(target(port, headers=own), timeout_s=5)
    first, second = seen
    assert first["user-agent"].startswith("kube-probe/")
    assert first["accept"] == "*/*"
    assert first["connection"] == "close"
    assert "accept-encoding" not in first
    assert "accept" not in second
    assert (second["user-agent"], second["host"], second["x-a"]) == ("mine", "web.example", "1")


async def test_redirects_are_followed_on_the_same_host(prober: EveryProber) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/here":
            raise web.HTTPFound("/there")
        if request.path == "/away":
            raise web.HTTPFound("http://other.invalid/")
        if request.path == "/round":
            raise web.HTTPFound("/round")
        return web.Response(status=200 if request.path == "/there" else 500)

    async with server(answer) as port:
        here = await prober.probe(target(port, "/here"), timeout_s=5)
        away = await prober.probe(target(port, "/away"), timeout_s=5)
        around = await prober.probe(target(port, "/round"), timeout_s=5)
    assert (here.outcome, here.warning) == ("success", "")
    assert away.outcome == "success"
    assert away.warning == "Probe terminated redirects, Response body: 302: Found"
    assert around.message == (f'Get "http://127.0.0.1:{port}/round": stopped after 10 redirects')


async def test_tls_is_not_verified(prober: EveryProber) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("other.invalid").configure_cert(context)
    async with server(answer, context) as port:
        result = await prober.probe(target(port, scheme="HTTPS"), timeout_s=5)
    assert result.outcome == "success"


async def test_transport_errors_and_silence_are_failures(prober: EveryProber) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(hang, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    async with silent:
        slow = await prober.probe(target(port), timeout_s=0.5)
        connected = await prober.probe(TcpTarget("127.0.0.1", port), timeout_s=5)
    assert (slow.outcome, slow.answered) == ("failure", False)
    assert slow.message == (
        f'Get "http://127.0.0.1:{port}/": '
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    )
    assert connected.outcome == "success"
    refused = await prober.probe(target(port), timeout_s=5)
    assert (refused.outcome, refused.answered) == ("failure", False)
    dial = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert refused.message == f'Get "http://127.0.0.1:{port}/": {dial}'
    closed = await prober.probe(TcpTarget("127.0.0.1", port), timeout_s=5)
    assert (closed.outcome, closed.message) == ("failure", dial)
    assert (refused.refused, closed.refused, slow.refused) == (True, True, False)


async def test_a_redirect_to_where_nothing_listens_has_touched_the_application(
    prober: EveryProber,
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        there = closed.getsockname()[1]

        async def answer(request: web.Request) -> web.Response:
            raise web.HTTPFound(f"http://127.0.0.1:{there}/")

        async with server(answer) as port:
            result = await prober.probe(target(port), timeout_s=5)
    assert result.message.endswith("connect: connection refused")
    assert not result.refused


@pytest.mark.parametrize(
    ("linger", "why"), [(True, "read: connection reset by peer"), (False, "EOF")]
)
async def test_a_server_that_hangs_up_is_told_as_upstream_does(
    prober: EveryProber, linger: bool, why: str
) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if linger:  # close with a reset
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort() if linger else writer.close()

    rude = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = rude.sockets[0].getsockname()[1]
    async with rude:
        result = await prober.probe(target(port, "/x"), timeout_s=5)
    assert result.message == f'Get "http://127.0.0.1:{port}/x": {why}'


async def test_plain_http_where_tls_is_asked_for(prober: EveryProber) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    async with server(answer) as port:
        result = await prober.probe(target(port, scheme="HTTPS"), timeout_s=5)
    assert result.message.endswith(": http: server gave HTTP response to HTTPS client")


async def test_what_cannot_be_probed_says_why(prober: EveryProber) -> None:
    result = await prober.probe(Unusable("couldn't find port: web"), timeout_s=1)
    assert (result.outcome, result.message) == ("failure", "couldn't find port: web")
