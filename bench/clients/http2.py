"""HTTP/2 over TLS on one connection: several POSTs at once, and what a GOAWAY means for each."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from nodrop.rehearse.connection import open_socket
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import Ended, connecting, outcome_of_status

_STREAMS = 4
_GOAWAY, _FRAME_HEAD_BYTES = 0x7, 9


@dataclass(slots=True)
class Frames:
    """Cuts what comes into whole frames, and keeps the GOAWAYs apart.

    The h2 library takes no frame after a GOAWAY, though streams that were begun before go on.
    """

    received: bytes = b""
    #: The last stream that the server will answer; None while it has sent no GOAWAY.
    last_stream: int | None = None

    def feed(self, data: bytes) -> bytes:
        """The whole frames so far, without GOAWAYs."""
        self.received += data
        others = []
        while len(self.received) >= _FRAME_HEAD_BYTES:
            end = _FRAME_HEAD_BYTES + int.from_bytes(self.received[:3], "big")
            if len(self.received) < end:
                break
            frame, self.received = self.received[:end], self.received[end:]
            if frame[3] == _GOAWAY:
                self.last_stream = int.from_bytes(frame[9:13], "big") & 0x7FFFFFFF
            else:
                others.append(frame)
        return b"".join(others)


@dataclass(slots=True)
class Stream:
    """One request: its answer so far. ``refused``: the server says that it did nothing."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    done: bool = False
    reset: bool = False
    refused: bool = False


class Http2(asyncio.Protocol):
    """An ``EchoConnection``: each exchange is several POSTs, whose bodies make up the message."""

    def __init__(self, target: Target) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._target = target
        self._h2 = h2.connection.H2Connection(config)
        self._frames = Frames()
        self._streams: dict[int, Stream] = {}
        self._last: dict[str, str] = {}
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        self.ended: Ended | None = None

    @staticmethod
    async def connect(target: Target, *, timeout_s: float = 10.0) -> Http2:
        """The certificate is not checked: what is measured is bytes, not trust."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        async with connecting(timeout_s):
            sock = await open_socket(target)
            _, made = await asyncio.get_running_loop().create_connection(
                lambda: Http2(target), sock=sock, ssl=context, server_hostname="soak.test"
            )
        return made

    def header(self, name: str) -> str:
        return self._last.get(name.lower(), "")

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes:
        if self.ended:
            raise self.ended
        size = -(-len(payload) // _STREAMS)
        parts = [payload[at : at + size] for at in range(0, len(payload), size)]
        self._streams = {self._ask(part): Stream() for part in parts}
        self._flush()
        try:
            async with asyncio.timeout(timeout_s):
                while not (self.ended or all(map(self._is_over, self._streams))):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise self._end(Ended(Outcome.TIMEOUT)) from None
        return self._joined()

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._end(Ended(Outcome.CLOSED))
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(self._frames.feed(data)):
                self._take(event)
        except h2.exceptions.ProtocolError:
            self._end(Ended(Outcome.MALFORMED))
            return
        self._flush()
        self._end_when_idle()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Clean if nothing was under way: either side may close an idle connection."""
        busy = any(not self._is_over(number) for number in self._streams)
        cut = Outcome.RESET if exc else Outcome.CLOSED_KEEP_ALIVE
        self._end(Ended(cut if busy else Outcome.OK, clean=not busy))

    # Private

    def _ask(self, body: bytes) -> int:
        number = self._h2.get_next_available_stream_id()
        head = (
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", self._target.host),
            (":path", "/echo"),
            ("content-length", str(len(body))),
        )
        self._h2.send_headers(number, head)
        self._h2.send_data(number, body, end_stream=True)
        return number

    def _take(self, event: Any) -> None:
        stream = self._streams.get(getattr(event, "stream_id", 0) or 0)
        if stream is None:
            return
        match event:
            case h2.events.ResponseReceived():
                stream.headers = {_text(name): _text(value) for name, value in event.headers}
            case h2.events.DataReceived():
                stream.body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded():
                stream.done = True
            case h2.events.StreamReset():
                stream.reset = True
                stream.refused = event.error_code == h2.errors.ErrorCodes.REFUSED_STREAM
            case _:
                pass

    def _is_over(self, number: int) -> bool:
        stream = self._streams[number]
        return stream.done or stream.reset or self._is_left_out(number)

    def _is_left_out(self, number: int) -> bool:
        last = self._frames.last_stream
        return last is not None and number > last

    def _joined(self) -> bytes:
        """The message. Raises Ended for the worst of what became of its parts."""
        streams = self._streams
        if any(stream.reset and not stream.refused for stream in streams.values()):
            raise self._end(Ended(Outcome.RESET_MID_ANSWER))
        statuses = {int(s.headers.get(":status", 0)) for s in streams.values() if s.done}
        if wrong := statuses - {200}:
            status = max(wrong)
            raise self._end(Ended(outcome_of_status(status), status=status))
        if not all(stream.done for stream in streams.values()):
            raise self._end(self.ended or Ended(Outcome.OK, clean=True))
        self._last = next(iter(streams.values())).headers
        return b"".join(stream.body for stream in streams.values())

    def _end_when_idle(self) -> None:
        """After a GOAWAY no new request may be sent, and those under way go on."""
        if self._frames.last_stream is not None and all(map(self._is_over, self._streams)):
            self._end(Ended(Outcome.OK, clean=True))

    def _flush(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    def _end(self, ended: Ended) -> Ended:
        self.ended = self.ended or ended
        self._changed.set()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
        return self.ended


def _text(word: str | bytes) -> str:
    return word if isinstance(word, str) else word.decode("latin-1")
