"""Every protocol through the real HAProxy: HTTP/2, TCP, affinity, and changes of mind."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import ClassVar

import h2.config
import h2.connection
import h2.events
import pytest
import trustme

from bench.engine import free_port
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import (
    AppProtocol,
    Backend,
    Listener,
    Route,
    RoutingTable,
    ServicePort,
)
from tests.integration.routed import front
from tests.unit.proxy.support import Client, Load, Pod

WEB = ServicePort("default", "web", 80)
ANY = Route("", "/", False)


class World:
    def __init__(self, proxy: HAProxy, port: int) -> None:
        self.proxy, self.port = proxy, port


def listener() -> Listener:
    return Listener("127.0.0.1", free_port())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with front(tmp_path, slots=16) as at:
        yield World(at.proxy, at.port)
    await EchoPod.end_all()


class EchoPod:
    """Says its name and sends back what it gets; ``H2Pod`` speaks HTTP/2."""

    alive: ClassVar[set[EchoPod]] = set()

    def __init__(self, name: str) -> None:
        self.name = name
        self.address, self.port = "127.0.0.1", 0
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> EchoPod:
        self._server = await asyncio.start_server(self._serve, self.address, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        EchoPod.alive.add(self)
        return self

    @staticmethod
    async def end_all() -> None:
        for pod in set(EchoPod.alive):
            pod.die()
        await asyncio.sleep(0)

    def die(self) -> None:
        EchoPod.alive.discard(self)
        if self._server is not None:
            self._server.close()
        for writer in set(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.connections += 1
        try:
            await self.speak(reader, writer)
        except OSError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{self.name}\n".encode())
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class H2Pod(EchoPod):
    """An HTTP/2 server without TLS: answers its name and the body, with trailers as gRPC does."""

    def answer(self, body: bytes) -> bytes:
        return self.name.encode() + b" " + body

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        bodies: dict[int, bytes] = {}
        while data := await reader.read(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    bodies[event.stream_id] = b""
                elif isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] += event.data
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, h2.events.StreamEnded):
                    stream, body = event.stream_id, bodies.pop(event.stream_id)
                    answer = self.answer(body)
                    length = ("content-length", str(len(answer)))
                    connection.send_headers(stream, [(":status", "200"), length])
                    connection.send_data(stream, answer)
                    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
            writer.write(connection.data_to_send())
            await writer.drain()


def _texts(headers: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    return {str(name): str(value) for name, value in headers}  # decoded: header_encoding


class H2Client:
    """One HTTP/2 connection with prior knowledge."""

    def __init__(self, host: str, port: int) -> None:
        self._at = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.goaway = False
        self.connections = 0

    async def call(self, path: str, body: bytes) -> tuple[str, bytes, dict[str, str]]:
        """(status, body, trailers)."""
        if self._streams is None or self.goaway:
            self._connection = h2.connection.H2Connection(
                h2.config.H2Configuration(header_encoding="utf-8")
            )
            self._connection.initiate_connection()
            await self.close()
            self._streams = await asyncio.open_connection(*self._at)
            self._pending = b""
            self.goaway = False
            self.connections += 1
        reader, writer = self._streams
        connection = self._connection
        stream = connection.get_next_available_stream_id()
        connection.send_headers(
            stream,
            [(":method", "POST"), (":path", path), (":scheme", "http"), (":authority", "x"),
             ("te", "trailers"), ("content-type", "application/grpc")],
            end_stream=not body,
        )  # fmt: skip
        if body:
            connection.send_data(stream, body, end_stream=True)
        writer.write(connection.data_to_send())
        status, answer = "", b""
        trailers: dict[str, str] = {}
        while True:
            data = await asyncio.wait_for(reader.read(65536), 20)
            if not data:
                raise ConnectionResetError("closed in a call")
            for event in connection.receive_data(self._without_goaway(data)):
                if isinstance(event, h2.events.ResponseReceived):
                    status = _texts(event.headers)[":status"]
                elif isinstance(event, h2.events.DataReceived):
                    answer += event.data
                    connection.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = _texts(event.headers)
                elif isinstance(event, h2.events.StreamReset):
                    raise ConnectionResetError("stream reset")
                elif isinstance(event, h2.events.StreamEnded):
                    writer.write(connection.data_to_send())
                    return status, answer, trailers

    def _without_goaway(self, data: bytes) -> bytes:
        """Whole frames but GOAWAY (type 7): after one the library refuses the answers that follow,
        though calls that were made before are still to be answered."""
        self._pending += data
        frames = b""
        while len(self._pending) >= 9:
            end = 9 + int.from_bytes(self._pending[:3])
            if len(self._pending) < end:
                break
            frame, self._pending = self._pending[:end], self._pending[end:]
            if frame[3] == 7:
                self.goaway = True
            else:
                frames += frame
        return frames

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def backend(pod: Pod | EchoPod) -> Backend:
    return Backend(f"uid-{pod.name}", pod.name, pod.address, pod.port)


def table(
    *pods: Pod | EchoPod,
    at: Listener | None = None,
    speaks: AppProtocol = "http",
    affinity_s: int = 0,
    routed: bool = True,
) -> RoutingTable:
    return RoutingTable(
        pools={WEB: frozenset(map(backend, pods))},
        routes={ANY: WEB} if routed else {},
        listeners={at: WEB} if at else {},
        protocols={WEB: speaks} if speaks != "http" else {},
        affinity={WEB: affinity_s} if affinity_s else {},
    )


async def test_http2_from_end_to_end_through_ingress_and_service(world: World) -> None:
    """gRPC: h2c to the pod, trailers and all; both ways in, and across replacements of the pod."""
    at = listener()
    old = await H2Pod("v0").start()
    await world.proxy.apply(table(old, at=at, speaks="h2c"))
    clients = [H2Client("127.0.0.1", world.port), H2Client(*at)]
    for version in range(1, 6):
        for client in clients:
            status, body, trailers = await client.call("/pkg.Service/Call", b"hi")
            assert (status, body, trailers["grpc-status"]) == (
                "200",
                f"{old.name} hi".encode(),
                "0",
            )
        new = await H2Pod(f"v{version}").start()
        await world.proxy.apply(table(old, new, at=at, speaks="h2c"))
        await world.proxy.apply(table(new, at=at, speaks="h2c"))
        assert (await world.proxy.drain(f"uid-{old.name}", 10)).requests == 0
        old.die()
        old = new
    for client in clients:
        await client.close()


async def test_an_http2_client_reaches_an_http1_pod(world: World) -> None:
    at = listener()
    pod = await Pod("v1").start()
    await world.proxy.apply(table(pod, at=at))
    for where in (Listener("127.0.0.1", world.port), at):
        client = H2Client(*where)
        assert (await client.call("/x", b""))[:2] == ("200", b"v1")
        await client.close()
    assert pod.requests == ["POST /x", "POST /x"]


async def test_an_open_http2_connection_is_told_to_go_away_when_haproxy_is_replaced(
    world: World,
) -> None:
    """GOAWAY after an answer, never a cut under a call; withdrawn pods get nothing from it."""
    old, new = await Pod("old").start(), await Pod("new").start()
    await world.proxy.apply(table(old))
    client = H2Client("127.0.0.1", world.port)
    assert (await client.call("/", b"x"))[1] == b"old"
    await world.proxy.replace(find_binary())
    await world.proxy.apply(table(new))
    assert (await world.proxy.drain("uid-old", 20)).requests == 0
    await old.die()
    for _ in range(3):
        assert (await client.call("/", b"x"))[:2] == ("200", b"new")
    assert client.connections == 2
    await client.close()


class TcpClient:
    async def open(self, at: Listener) -> str:
        """The name of the pod that it is connected to."""
        self._reader, self._writer = await asyncio.open_connection(*at)
        return (await asyncio.wait_for(self._reader.readline(), 20)).decode().strip()

    async def echo(self, data: bytes) -> bool:
        """Whether all came back."""
        self._writer.write(data)
        return await asyncio.wait_for(self._reader.readexactly(len(data)), 20) == data

    async def ended(self) -> bool:
        try:
            return await asyncio.wait_for(self._reader.read(1), 20) == b""
        except OSError:
            return True

    def close(self) -> None:
        self._writer.close()


async def test_tcp_connections_stay_where_they_are_and_new_ones_go_to_the_new_pod(
    world: World,
) -> None:
    """S13: a withdrawn pod keeps what it has; the drain doesn't wait for it; the cut ends it."""
    at = listener()
    old, new = await EchoPod("old").start(), await EchoPod("new").start()
    await world.proxy.apply(table(old, at=at, speaks="tcp", routed=False))
    clients = [TcpClient() for _ in range(4)]
    for client in clients:
        assert await client.open(at) == "old"
    await world.proxy.apply(table(old, new, at=at, speaks="tcp", routed=False))
    await world.proxy.apply(table(new, at=at, speaks="tcp", routed=False))
    later = TcpClient()
    assert await later.open(at) == "new"
    left = await world.proxy.drain("uid-old", 20)
    assert (left.requests, left.streams) == (0, 4)
    for client in clients:
        assert await client.echo(b"x" * 100_000)
    assert await world.proxy.cut("uid-old", 0.3) == 4
    assert all([await client.ended() for client in clients])
    assert await later.echo(b"still here")
    assert await world.proxy.cut("uid-old", 0.3) == 0
    for client in (*clients, later):
        client.close()


async def test_tcp_of_a_pod_that_refuses_goes_to_another(world: World) -> None:
    """A connect failure is always tried elsewhere."""
    at = listener()
    dead, alive = await EchoPod("dead").start(), await EchoPod("alive").start()
    await world.proxy.apply(table(dead, alive, at=at, speaks="tcp", routed=False))
    dead.die()
    for _ in range(6):
        client = TcpClient()
        assert await client.open(at) == "alive"
        client.close()


async def test_a_service_that_becomes_tcp_and_http_again_loses_no_request(world: World) -> None:
    at = listener()
    pods = [await Pod(f"v{n}", delay_s=0.003).start() for n in range(2)]
    await world.proxy.apply(table(*pods, at=at, routed=False))
    speaks: tuple[AppProtocol, ...] = ("tcp", "http", "tcp", "http", "tcp", "http")
    async with Load(*at) as load:
        await load.reached(40)
        for one in speaks:  # a pod that speaks HTTP is reached as TCP all the same
            await world.proxy.apply(table(*pods, at=at, speaks=one, routed=False))
            await load.reached(60)
    assert load.lost == []


async def test_a_port_that_becomes_h2c_loses_no_request(world: World) -> None:
    at = listener()
    old, new = await Pod("old", delay_s=0.003).start(), await H2Pod("new").start()
    await world.proxy.apply(table(old, at=at))
    async with Load(*at) as load:
        await load.reached(40)
        await world.proxy.apply(table(new, at=at, speaks="h2c"))
        assert (await world.proxy.drain("uid-old", 10)).requests == 0
        await old.die()
        client = H2Client(*at)
        assert (await client.call("/", b""))[0] == "200"
        await client.close()
    assert load.lost == []


async def test_a_client_stays_with_its_pod_until_that_is_withdrawn(world: World) -> None:
    """sessionAffinity ClientIP, for all methods; another timeout takes a new process."""
    at = listener()
    pods = [await Pod(f"v{n}").start() for n in range(3)]
    assert (await world.proxy.apply(table(*pods, at=at, affinity_s=10800))).reloads == 1  # the edge

    async def seen(count: int = 12) -> set[str]:
        found = set()
        for number in range(count):
            client = Client(*at)
            found.add((await client.request("/", "POST" if number % 2 else "GET"))[1])
            await client.close()
        return found

    (first,) = await seen()
    left = [pod for pod in pods if pod.name != first]
    await world.proxy.apply(table(*left, at=at, affinity_s=10800))
    (second,) = await seen()
    assert second != first
    await world.proxy.apply(table(*pods, at=at, affinity_s=10800))
    assert await seen() == {second}
    assert (await world.proxy.apply(table(*pods, at=at, affinity_s=60))).reloads == 1
    assert len(await seen()) == 1
    await world.proxy.apply(table(*pods, at=at))
    assert len(await seen()) == 3


async def test_a_tcp_client_stays_with_its_pod(world: World) -> None:
    at = listener()
    pods = [await EchoPod(f"v{n}").start() for n in range(3)]
    await world.proxy.apply(table(*pods, at=at, speaks="tcp", affinity_s=10800, routed=False))
    names = set()
    for _ in range(6):
        client = TcpClient()
        names.add(await client.open(at))
        client.close()
    assert len(names) == 1


async def test_a_post_on_a_used_connection_is_answered_when_its_pod_dies(world: World) -> None:
    """Not closed in silence, after which some clients would send it again; and sent only once."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            while head := await reader.readuntil(b"\r\n\r\n"):
                seen.append(head.split()[0].decode())
                if seen[-1] == "POST":
                    writer.transport.abort()
                    return
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pools = {WEB: frozenset({Backend("u", "p", "127.0.0.1", port)})}
    await world.proxy.apply(RoutingTable(pools, {ANY: WEB}))
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    for method in ("GET", "POST"):
        writer.write(f"{method} / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode().lower()
    assert head.startswith("http/1.1 502")
    assert "nodrop-request-state: maybe-processed" in head
    assert seen == ["GET", "POST"]
    writer.close()
    server.close()


async def test_a_post_that_no_pod_has_taken_goes_to_another_pod(world: World) -> None:
    dead, alive = await Pod("dead").start(), await Pod("alive").start()
    await world.proxy.apply(table(dead, alive))
    client = Client("127.0.0.1", world.port)
    assert (await client.request("/", "POST"))[0] == 200
    await dead.die()
    for _ in range(10):
        assert await client.request("/", "POST") == (200, "alive")
    await client.close()


async def test_https_to_the_pod_through_the_ingress(world: World) -> None:
    certificate = trustme.CA().issue_cert("pod.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nsecret")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    at = listener()
    pools = {WEB: frozenset({Backend("u", "p", "127.0.0.1", port)})}
    await world.proxy.apply(
        RoutingTable(pools, {ANY: WEB}, None, {at: WEB}, protocols={WEB: "https"})
    )
    client = Client("127.0.0.1", world.port)
    assert await client.request("/") == (200, "secret")
    await client.close()
    trusting = ssl.create_default_context()  # through the Service the client speaks TLS itself
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(*at, ssl=trusting)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 200 " in await reader.readline()
    writer.close()
    server.close()


async def test_the_address_asked_for_chooses_the_tcp_service(world: World) -> None:
    """The edge passes it on; two Services with the same port at different addresses."""
    other = ServicePort("default", "other", 80)
    first = listener()
    second = Listener("127.0.0.2", first.port)
    one, two = await EchoPod("one").start(), await EchoPod("two").start()
    await world.proxy.apply(
        RoutingTable(
            pools={WEB: frozenset({backend(one)}), other: frozenset({backend(two)})},
            listeners={first: WEB, second: other},
            protocols={WEB: "tcp", other: "tcp"},
        )
    )
    for at, name in ((first, "one"), (second, "two")):
        client = TcpClient()
        assert await client.open(at) == name
        client.close()
