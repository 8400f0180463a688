"""A service that speaks every protocol of the soak and can end well or badly.

HTTP/1.1 on PORT (GET /, POST /echo in any framing with 100-continue, /slow?s=, /download?bytes=,
WebSocket echo at /ws, numbered Server-Sent Events at /events), TCP echo on TCP_PORT, gRPC echo on
GRPC_PORT; the last two only where their variable is set. Its manners:

  ON_SIGTERM   graceful: say good-bye on every connection, finish what is being answered, end
               exit:     end at once, in the middle of whatever it does
               ignore:   go on as if nothing had happened
  START_S      seconds of start-up before it listens
  ANSWER_S     seconds that every answer takes
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from nodrop.rehearse.frames import FrameReader, Opcode, accept_of, render_frame

VERSION = os.environ.get("VERSION", "dev")
POD = os.environ.get("POD_NAME", "")
ON_SIGTERM = os.environ.get("ON_SIGTERM", "graceful")
ANSWER_S = float(os.environ.get("ANSWER_S", "0"))
DRAIN_S = 10.0
PIECE_BYTES = 8192
#: The TCP protocol's messages have their length in front; this one says good-bye.
GOOD_BYE = (0).to_bytes(4, "big")
_WHO = f"X-Version: {VERSION}\r\nX-Pod: {POD}\r\n".encode()


def pieces_of(size: int) -> list[bytes]:
    """What a download of ``size`` bytes consists of: no piece is like another."""
    starts = range(0, size, PIECE_BYTES)
    blocks = [hashlib.sha256(b"%d" % start).digest() * (PIECE_BYTES // 32) for start in starts]
    return [block[: size - start] for start, block in zip(starts, blocks, strict=True)]


def event_data(number: int) -> str:
    """The data of an event, so that a reader can tell a wrong one."""
    return f"{number} {zlib.crc32(b'%d' % number):08x}"


@dataclass(slots=True)
class Request:
    """A request's head, and its body once it has been read."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes = b""

    def number(self, name: str, default: float) -> float:
        return float(self.query.get(name, [str(default)])[0])


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    method, target, _ = first.split(" ")
    url = urlsplit(target)
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    request = Request(method, url.path, parse_qs(url.query), headers)
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in headers.get("transfer-encoding", ""):
        request.body = await _read_chunks(reader)
    else:
        request.body = await reader.readexactly(int(headers.get("content-length", 0)))
    return request


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    chunks = []
    while size := int((await reader.readline()).split(b";")[0], 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    while (await reader.readline()).strip():
        pass
    return b"".join(chunks)


@dataclass(slots=True)
class Http:
    """HTTP/1.1 with keep-alive."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    busy: dict[asyncio.StreamWriter, bool] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client has gone
        finally:
            self.busy.pop(writer, None)
            writer.close()

    async def drain(self) -> None:
        """Close what is idle, and wait for what is being answered, at most DRAIN_S."""
        self.stopping.set()
        for writer in [writer for writer, busy in self.busy.items() if not busy]:
            writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while any(self.busy.values()):  # noqa: ASYNC110 (many connections, one level)
                    await asyncio.sleep(0.01)

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; False when the connection is to be closed."""
        self.busy[writer] = False
        request = await read_request(reader, writer)
        self.busy[writer] = True
        if request.path == "/ws":
            await self._echo_messages(request, reader, writer)
            return False
        if ANSWER_S and request.path != "/healthz":
            await asyncio.sleep(ANSWER_S)
        if request.path in ("/events", "/download"):
            await self._stream(request, writer)
        else:
            status, body = await _answer(request)
            keep = b"" if self._keeps(request) else b"Connection: close\r\n"
            length = b"Content-Length: %d\r\n" % len(body)
            writer.write(b"HTTP/1.1 %s\r\n" % status + _WHO + keep + length + b"\r\n" + body)
        await writer.drain()
        return self._keeps(request)

    def _keeps(self, request: Request) -> bool:
        return request.headers.get("connection") != "close" and not self.stopping.is_set()

    async def _stream(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """A chunked answer in many pieces."""
        events = request.path == "/events"
        kind = b"text/event-stream" if events else b"application/octet-stream"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n" % kind
        writer.write(head + _WHO + b"\r\n")
        async for piece in self._events(request) if events else _download(request):
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    async def _events(self, request: Request) -> AsyncIterator[bytes]:
        """Numbered events, from the one after the last that the client has, until SIGTERM."""
        number = int(request.headers.get("last-event-id", 0))
        every_s = request.number("every_ms", 50) / 1000
        while not self.stopping.is_set():
            number += 1
            yield f"id: {number}\ndata: {event_data(number)}\n\n".encode()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s):
                    await self.stopping.wait()

    async def _echo_messages(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """A WebSocket: echo, and a Close frame (1001: going away) when this process is to end."""
        accept = accept_of(request.headers["sec-websocket-key"]).encode()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n" + _WHO + b"\r\n"
        )
        frames = FrameReader()
        async for data in until_stopping(reader, self.stopping):
            for frame in frames.feed(data):
                if frame.opcode is Opcode.CLOSE:
                    writer.write(render_frame(Opcode.CLOSE, frame.payload))
                    return
                if ANSWER_S:
                    await asyncio.sleep(ANSWER_S)
                writer.write(render_frame(frame.opcode, frame.payload))
                await writer.drain()
        if self.stopping.is_set():
            writer.write(render_frame(Opcode.CLOSE, (1001).to_bytes(2, "big")))
            await _until_eof(reader)


async def until_stopping(
    reader: asyncio.StreamReader, stopping: asyncio.Event
) -> AsyncIterator[bytes]:
    """What is read, until the end of the connection or of this process."""
    async with asyncio.TaskGroup() as group:
        stopped = group.create_task(stopping.wait())
        while True:
            reading = group.create_task(reader.read(65536))
            await asyncio.wait((reading, stopped), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done() or not (data := reading.result()):
                reading.cancel()
                stopped.cancel()
                return
            yield data


async def _until_eof(reader: asyncio.StreamReader) -> None:
    """Wait for the client's own good-bye; what it still sent is not taken."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DRAIN_S / 2):
            while await reader.read(65536):
                pass


async def _answer(request: Request) -> tuple[bytes, bytes]:
    match request.path:
        case "/echo":
            return b"200 OK", request.body
        case "/slow":
            await asyncio.sleep(min(request.number("s", 0.3), 60))
            return b"200 OK", b"slow\n"
        case "/" | "/healthz":
            return b"200 OK", f"{VERSION} {POD}\n".encode()
        case _:
            return b"404 Not Found", b"no such page\n"


async def _download(request: Request) -> AsyncIterator[bytes]:
    pieces = pieces_of(int(request.number("bytes", 1_000_000)))
    pause_s = request.number("s", 0) / max(1, len(pieces))
    for piece in pieces:
        yield piece
        if pause_s:
            await asyncio.sleep(pause_s)


async def serve_tcp(http: Http, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Echo messages with their length in front; the first one tells who answers."""
    http.busy[writer] = True
    who = f"{VERSION} {POD}".encode()
    writer.write(len(who).to_bytes(4, "big") + who)
    received = b""
    try:
        async for data in until_stopping(reader, http.stopping):
            received += data
            while len(received) >= 4 + (size := int.from_bytes(received[:4], "big")):
                if ANSWER_S:
                    await asyncio.sleep(ANSWER_S)
                writer.write(received[: 4 + size])
                received = received[4 + size :]
        if http.stopping.is_set():
            writer.write(GOOD_BYE)
            await _until_eof(reader)
    except OSError:
        pass  # the client has gone
    finally:
        del http.busy[writer]
        writer.close()


async def start_grpc(port: int) -> Any:
    """A gRPC server whose messages are bytes: Echo answers one, Split a stream of pieces."""
    import grpc

    who = (("x-version", VERSION), ("x-pod", POD))

    async def echo(request: bytes, context: Any) -> bytes:
        await context.send_initial_metadata(who)
        await asyncio.sleep(ANSWER_S)
        return request

    async def split(request: bytes, context: Any) -> AsyncIterator[bytes]:
        await context.send_initial_metadata(who)
        for start in range(0, len(request), 16):
            await asyncio.sleep(ANSWER_S / 10)
            yield request[start : start + 16]

    server = grpc.aio.server()
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(echo),
        "Split": grpc.unary_stream_rpc_method_handler(split),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("soak.Soak", handlers),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    return server


async def main() -> None:
    http, ending = Http(), asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, on_sigterm, ending)
    await asyncio.sleep(float(os.environ.get("START_S", "0")))
    grpc_port, tcp_port = os.environ.get("GRPC_PORT"), os.environ.get("TCP_PORT")
    grpc = await start_grpc(int(grpc_port)) if grpc_port else None
    listeners = []
    if tcp_port:

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_tcp(http, reader, writer)

        listeners.append(await asyncio.start_server(serve, "0.0.0.0", int(tcp_port), backlog=512))
    port = int(os.environ.get("PORT", "8080"))
    listeners.append(await asyncio.start_server(http.serve, "0.0.0.0", port, backlog=512))
    await ending.wait()
    for listener in listeners:
        listener.close()
    await http.drain()
    if grpc is not None:
        await grpc.stop(DRAIN_S)


def on_sigterm(ending: asyncio.Event) -> None:
    if ON_SIGTERM == "exit":
        os._exit(0)
    if ON_SIGTERM == "graceful":
        ending.set()


if __name__ == "__main__":
    asyncio.run(main())
