"""Streams over one SPDY connection, as the server sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from nodrop.apiserver.spdy import (
    CANCEL,
    PROTOCOL_ERROR,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    Open,
    Ping,
    Reply,
    Reset,
    SpdyError,
)

_PIECE_BYTES = 32 * 1024
_UNREAD_PIECES = 16  # a stream with more of them unread holds the connection back
_MOST_STREAMS = 1024


class Duplex(Protocol):
    """Bytes both ways: an upgraded HTTP connection, or WebSocket messages."""

    async def read(self) -> bytes:
        """The next bytes; b"" at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of it. Raises ConnectionError when the other side has gone."""
        ...


class SpdyStream:
    """One stream that the client has opened."""

    def __init__(self, connection: SpdyConnection, id: int, headers: Mapping[str, str]) -> None:
        self.id = id
        self.headers = headers
        self._connection = connection
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue(_UNREAD_PIECES)
        self._ended = False
        self._reset = asyncio.Event()
        self._closed = False

    async def read(self) -> bytes:
        """The next piece; b"" at its end. Raises ConnectionError when the client reset it."""
        if self._ended:
            return b""
        piece = await self._pieces.get()
        self._ended = not piece
        if self._reset.is_set():
            raise ConnectionResetError("the client reset the stream")
        return piece

    async def write(self, data: bytes) -> None:
        """Send a piece. Raises ConnectionError when the stream or the client has gone."""
        for at in range(0, len(data), _PIECE_BYTES):
            if self._reset.is_set() or self._closed:
                raise ConnectionResetError("the stream is closed")
            await self._connection.send(Data(self.id, data[at : at + _PIECE_BYTES]))

    async def close(self) -> None:
        """Nothing more comes from us."""
        if not self._closed and not self._reset.is_set():
            self._closed = True
            await self._connection.send(Data(self.id, b"", fin=True))

    async def reset(self) -> None:
        """Over in both directions, and what was sent may be incomplete."""
        if not self._reset.is_set():
            self.was_reset()
            await self._connection.send(Reset(self.id, CANCEL))

    async def take(self, data: bytes, *, fin: bool) -> None:
        """From the connection: bytes have come. Waits while enough are unread."""
        if self._reset.is_set() or self._ended:
            return
        if data:
            await self._pieces.put(data)
        if fin:
            await self._pieces.put(b"")

    def was_reset(self) -> None:
        self._reset.set()
        while not self._pieces.empty():
            self._pieces.get_nowait()
        self._pieces.put_nowait(b"")


class SpdyConnection:
    """The server's side: the client opens streams, we accept them.

    ``run`` reads until the client has gone; everything else waits for what it finds.
    """

    def __init__(self, duplex: Duplex) -> None:
        self._duplex = duplex
        self._encoder = Encoder()
        self._sending = asyncio.Lock()
        self._streams: dict[int, SpdyStream] = {}
        self._opened: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._last = 0

    async def run(self) -> None:
        """Returns when the client has gone, or has broken the protocol."""
        decoder = Decoder()
        try:
            while data := await self._duplex.read():
                for frame in decoder.feed(data):
                    await self._handle(frame)
        except SpdyError:
            await self.send(GoAway(self._last, PROTOCOL_ERROR))
        finally:
            for stream in self._streams.values():
                stream.was_reset()
            self._opened.put_nowait(None)

    async def accept(self) -> SpdyStream | None:
        """The next stream that the client opens; None when it has gone."""
        return await self._opened.get()

    def forget(self, stream: SpdyStream) -> None:
        """Both sides are done with it: what still comes is dropped."""
        self._streams.pop(stream.id, None)
        stream.was_reset()

    async def send(self, frame: Frame) -> None:
        async with self._sending:  # the headers of frames build on those before
            await self._duplex.write(self._encoder.encode(frame))

    async def _handle(self, frame: Frame) -> None:
        match frame:
            case Open(id, headers, fin):
                await self._open(id, headers, fin=fin)
            case Data(id, data, fin):
                if id in self._streams:
                    await self._streams[id].take(data, fin=fin)
            case Reset(id):
                if stream := self._streams.pop(id, None):
                    stream.was_reset()
            case Ping(number) if number % 2:
                await self.send(frame)
            case Ping() | Reply() | GoAway():
                pass  # answers to what we never ask; after GOAWAY the client hangs up

    async def _open(self, id: int, headers: Mapping[str, str], *, fin: bool) -> None:
        if id % 2 == 0 or id <= self._last or len(self._streams) >= _MOST_STREAMS:
            raise SpdyError(f"stream {id} can't be opened now")
        self._last = id
        stream = self._streams[id] = SpdyStream(self, id, headers)
        await self.send(Reply(id, {}))
        await stream.take(b"", fin=fin)
        self._opened.put_nowait(stream)
