"""One WebSocket as a client: connect, exchange a message for its echo, close; and how it ended."""

from __future__ import annotations

import asyncio
import base64
import os
from dataclasses import dataclass

from nodrop.rehearse.connection import open_socket
from nodrop.rehearse.frames import BadFrame, Frame, FrameReader, Opcode, accept_of, render_frame
from nodrop.rehearse.http1 import Malformed, Response
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import Ended, connecting, outcome_of_status

_UNASKED = "a message that nobody asked for"


@dataclass(frozen=True, slots=True)
class Handshake:
    """The request that asks for a WebSocket, and the key that its answer must accept."""

    request: bytes
    key: str


def render_handshake(target: Target, path: str) -> Handshake:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: {target.host}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
    )
    return Handshake("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n", key)


class WebSocket(asyncio.Protocol):
    """A connection that echoes messages one at a time.

    ``ended`` says how it ended, None while it is open: a Close frame of the other side is a clean
    end, anything else a cut.
    """

    def __init__(self, handshake: Handshake, *, text: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.response: Response | None = None
        self.ended: Ended | None = None
        self._handshake = handshake
        self._message = Opcode.TEXT if text else Opcode.BINARY
        self._opened: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        self._awaited: asyncio.Future[bytes] | None = None
        self._head = b""
        self._frames = FrameReader()
        self._transport: asyncio.Transport | None = None

    @staticmethod
    async def connect(
        target: Target, path: str, *, timeout_s: float, text: bool = False
    ) -> WebSocket:
        """Open one, for messages of text or bytes. Raises Ended with the outcome of what failed."""
        loop = asyncio.get_running_loop()
        handshake = render_handshake(target, path)
        async with connecting(timeout_s):
            sock = await open_socket(target)
            _, made = await loop.create_connection(
                lambda: WebSocket(handshake, text=text), sock=sock
            )
            try:
                await made._opened
            except BaseException:
                made.abort()
                raise
        return made

    def header(self, name: str) -> str:
        """A header of the answer that opened it, such as the pod's name."""
        return self.response.header(name) if self.response else ""

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes:
        """Send a message and return the next one that comes.

        Raises Ended: after a clean end the message was not taken (what crosses a Close frame is
        discarded, RFC 6455 section 5.5.1), after a cut nobody knows.
        """
        if self.ended:
            raise self.ended
        assert self._awaited is None, "one exchange at a time"
        self._awaited = asyncio.get_running_loop().create_future()
        self._send(self._message, payload)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._awaited
        except TimeoutError:
            raise self._end(Ended(Outcome.TIMEOUT)) from None
        finally:
            self._awaited = None

    async def wait_ended(self) -> Ended:
        """Return once the other side has closed or cut the connection."""
        await asyncio.shield(self._gone)
        assert self.ended is not None
        return self.ended

    async def close(self, *, timeout_s: float = 5.0) -> None:
        """Say good-bye and wait for the answer; cut when none comes."""
        if self.ended is None:
            self._send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
            try:
                async with asyncio.timeout(timeout_s):
                    await self.wait_ended()
            except TimeoutError:
                pass
        self.abort()

    def abort(self) -> None:
        """Cut it from our side."""
        self._end(Ended(Outcome.CLOSED))
        if self._transport is not None:
            self._transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake.request)

    def data_received(self, data: bytes) -> None:
        if self.ended:
            return
        try:
            if self.response is None:
                data = self._take_head(data)
            for frame in self._frames.feed(data):
                self._take(frame)
        except (BadFrame, Malformed):
            self._end(Ended(Outcome.MALFORMED))
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(Ended(self._cut_by(exc)))

    # Private

    def _take_head(self, data: bytes) -> bytes:
        """Read the answer to the handshake; returns the bytes after it."""
        self._head += data
        head, separator, rest = self._head.partition(b"\r\n\r\n")
        if not separator:
            return b""
        if head[9:12] != b"101":
            status = int(head[9:12]) if head[9:12].isdigit() else 0
            refusal = Response(status, head, b"", reusable=False)
            self._end(Ended(outcome_of_status(status), status=status, response=refusal))
            self.abort()
            return b""
        self.response = Response(101, head, b"", reusable=False)
        if self.header("Sec-WebSocket-Accept") != accept_of(self._handshake.key):
            raise Malformed("the handshake's key was not accepted")
        self._opened.set_result(None)
        return rest

    def _take(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.PING:
                self._send(Opcode.PONG, frame.payload)
            case Opcode.CLOSE:
                self._send(Opcode.CLOSE, frame.payload[:2])
                self._end(Ended(Outcome.OK, clean=True, code=frame.close_code))
                assert self._transport is not None
                self._transport.close()
            case Opcode.TEXT | Opcode.BINARY:
                if self._awaited is None or self._awaited.done():
                    self._end(Ended(Outcome.WRONG_BODY, why=_UNASKED))
                    self.abort()
                else:
                    self._awaited.set_result(frame.payload)
            case Opcode.PONG | Opcode.CONTINUATION:
                pass

    def _send(self, opcode: Opcode, payload: bytes) -> None:
        assert self._transport is not None
        self._transport.write(render_frame(opcode, payload, mask=os.urandom(4)))

    def _cut_by(self, exc: Exception | None) -> Outcome:
        in_middle = self._frames.in_middle or bool(self._head and self.response is None)
        if exc is not None:
            return Outcome.RESET_MID_ANSWER if in_middle else Outcome.RESET
        if in_middle:
            return Outcome.HALF_ANSWER
        return Outcome.CLOSED if self.response is None else Outcome.CLOSED_KEEP_ALIVE

    def _end(self, ended: Ended) -> Ended:
        """Note the end (only the first one counts) and wake up whoever waits."""
        if self.ended is None:
            self.ended = ended
        for waiting in (self._opened, self._awaited):
            if waiting is not None and not waiting.done():
                waiting.set_exception(self.ended)
                waiting.exception()  # perhaps nobody waits any more
        if not self._gone.done():
            self._gone.set_result(None)
        return self.ended
