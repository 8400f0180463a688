"""HTTP/2 clients that mean harm: what HTTP/1.1 has no words for never reaches a pod; floods end.

Frames are made by hand (hyperframe, hpack), since a proper library refuses to send any of this.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.system.site import HOST, Site

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WAIT_S = 60.0
Field = tuple[str, str]


class Raw:
    """A connection on which any frame can be sent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._encoder, self._decoder = Encoder(), Decoder()
        self.closed = False

    def send(self, *frames: Frame) -> None:
        if not self._writer.is_closing():
            self._writer.write(b"".join(frame.serialize() for frame in frames))

    def headers(self, stream: int, fields: Sequence[Field], *, end: bool = True) -> HeadersFrame:
        block = self._encoder.encode([(name, value) for name, value in fields], huffman=False)
        flags = ["END_HEADERS", "END_STREAM"] if end else ["END_HEADERS"]
        return HeadersFrame(stream, block, flags=flags)

    async def outcome(self, stream: int) -> str:
        """What becomes of a stream: its status, ``reset``, ``goaway`` or ``closed``."""
        try:
            async with asyncio.timeout(_WAIT_S):
                while True:
                    frame = await self._frame()
                    match frame:
                        case HeadersFrame() if frame.stream_id == stream:
                            return self._status(frame.data)
                        case HeadersFrame():
                            self._decoder.decode(frame.data)
                        case RstStreamFrame() if frame.stream_id == stream:
                            return "reset"
                        case GoAwayFrame() if frame.error_code or frame.last_stream_id < stream:
                            return "goaway"
                        case _:
                            pass
        except (OSError, EOFError):
            self.closed = True
            return "closed"

    async def drained(self) -> None:
        try:
            await self._writer.drain()
        except OSError:
            self.closed = True

    def _status(self, block: bytes) -> str:
        fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        return fields[":status"]

    async def _frame(self) -> Frame:
        head = await self._reader.readexactly(9)
        frame, length = Frame.parse_frame_header(memoryview(head))
        frame.parse_body(memoryview(await self._reader.readexactly(length)))
        return frame


@asynccontextmanager
async def raw(site: Site) -> AsyncIterator[Raw]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    port = site.engine.info["https"]["ports"][0]
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=HOST
    )
    try:
        writer.write(_PREFACE)
        connection = Raw(reader, writer)
        connection.send(SettingsFrame(0))
        yield connection
    finally:
        writer.transport.abort()


def head(path: str, *more: Field, method: str = "GET") -> list[Field]:
    first = [(":method", method), (":scheme", "https"), (":authority", HOST), (":path", path)]
    return [*first, *more]


REFUSED = {"400", "reset", "goaway", "closed"}
# name → (fields, body, what may become of it)
ODDITIES: dict[str, tuple[list[Field], bytes | None, set[str]]] = {
    "transfer-encoding": (head("/h2", ("transfer-encoding", "chunked"), method="POST"),
                          b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", REFUSED),
    "connection": (head("/h2", ("connection", "keep-alive")), None, REFUSED),
    "upgrade": (head("/h2", ("upgrade", "websocket")), None, REFUSED),
    "length too short": (head("/h2", ("content-length", "1"), method="POST"),
                         b"xGET /smuggled HTTP/1.1\r\n\r\n", REFUSED),
    "length too long": (head("/h2", ("content-length", "100"), method="POST"), b"x", REFUSED),
    "two lengths": (head("/h2", ("content-length", "1"), ("content-length", "2"), method="POST"),
                    b"x", REFUSED),
    "CRLF in a value": (head("/h2", ("x-a", "b\r\ntransfer-encoding: chunked")), None, REFUSED),
    "LF in a value": (head("/h2", ("x-a", "b\ncontent-length: 5")), None, REFUSED),
    "NUL in a value": (head("/h2", ("x-a", "b\0c")), None, REFUSED),
    "colon in a name": (head("/h2", ("x-a: b\r\nx", "c")), None, REFUSED),
    "upper case name": (head("/h2", ("X-Upper", "c")), None, REFUSED),
    "space in a name": (head("/h2", ("x a", "c")), None, REFUSED),
    "empty name": (head("/h2", ("", "c")), None, REFUSED),
    "CRLF in the path": (head("/h2 HTTP/1.1\r\nx: y"), None, REFUSED),
    "space in the path": (head("/h2 HTTP/1.1"), None, REFUSED),
    "no slash": (head("h2"), None, REFUSED),
    "empty path": (head(""), None, REFUSED),
    "CRLF in the method": (head("/h2", method="GET /smuggled HTTP/1.1\r\nx:"), None, REFUSED),
    "CRLF in the authority": ([(":method", "GET"), (":scheme", "https"), (":path", "/h2"),
                               (":authority", f"{HOST}\r\nx: y")], None, REFUSED),
    "no path": ([(":method", "GET"), (":scheme", "https"), (":authority", HOST)], None, REFUSED),
    "two paths": (head("/h2", (":path", "/admin")), None, REFUSED),
    "unknown pseudo header": (head("/h2", (":x", "y")), None, REFUSED),
    "pseudo header late": ([*head("/h2")[:3], ("x-a", "b"), (":path", "/h2")], None, REFUSED),
    "another host": (head("/h2", ("host", "other.test")), None, REFUSED | {"200"}),
}  # fmt: skip


async def test_no_request_is_smuggled_through_http2(site: Site) -> None:
    """Refused, or passed on as exactly one request of the authority that routed it."""
    wrong = {}
    async with site.bystanders():
        for name, (fields, body, allowed) in ODDITIES.items():
            async with raw(site) as connection:
                connection.send(connection.headers(1, fields, end=body is None))
                if body is not None:
                    connection.send(DataFrame(1, body, flags=["END_STREAM"]))
                if (became := await connection.outcome(1)) not in allowed:
                    wrong[name] = became
    assert wrong == {}
    assert site.recorded("/smuggled") == []
    assert [each for each in site.recorded() if each.pod == "admin"] == []
    for each in site.recorded(" /h2"):
        assert each.values("Host") == [HOST]
        assert not each.values("Transfer-Encoding")


async def test_a_proper_request_beside_them_is_answered(site: Site) -> None:
    """The counter-check: the same hands can send what is right."""
    async with raw(site) as connection:
        connection.send(connection.headers(1, head("/proper", ("x-forwarded-for", "10.9.9.9"))))
        assert await connection.outcome(1) == "200"
    (seen,) = site.recorded("/proper")
    assert seen.values("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.values("X-Forwarded-Proto") == ["https"]


def rapid_reset(connection: Raw) -> None:
    """CVE-2023-44487: streams that are begun and given up at once."""
    for stream in range(1, 4000, 2):
        connection.send(
            connection.headers(stream, head("/reset")), RstStreamFrame(stream, error_code=8)
        )


def continuation_flood(connection: Raw) -> None:
    """CVE-2024-27316 and its like: a head that never ends."""
    connection.send(HeadersFrame(1, connection.headers(1, head("/flood")).data))
    for _ in range(5000):
        connection.send(ContinuationFrame(1, b"\x00\x01a\x01b" * 200))


def ping_flood(connection: Raw) -> None:
    connection.send(*[PingFrame(0, b"12345678")] * 20_000)


def settings_flood(connection: Raw) -> None:
    connection.send(*[SettingsFrame(0)] * 20_000)


def empty_data_flood(connection: Raw) -> None:
    connection.send(connection.headers(1, head("/empty", method="POST"), end=False))
    connection.send(*[DataFrame(1, b"")] * 20_000)


def window_overflow(connection: Raw) -> None:
    connection.send(*[WindowUpdateFrame(0, window_increment=(1 << 31) - 1)] * 2)


FLOODS = (rapid_reset, continuation_flood, ping_flood, settings_flood, empty_data_flood,
          window_overflow)  # fmt: skip


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
async def test_floods_leave_others_alone(site: Site, flood: object) -> None:
    """Whatever becomes of the attacker's connection; a new one is served right after."""
    assert callable(flood)
    async with site.bystanders() as traffic:
        async with raw(site) as attacker:
            flood(attacker)
            await attacker.drained()
            await traffic.seen(100)
        async with raw(site) as proper:
            proper.send(proper.headers(1, head("/after")))
            assert await proper.outcome(1) == "200"
    assert site.recorded("/flood") == []
