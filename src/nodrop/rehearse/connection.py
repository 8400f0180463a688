"""One client connection: sends a request, reads its answer, and tells exactly how it failed."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from nodrop.rehearse.http1 import Malformed, Response, ResponseReader
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Shot, Target


class Exchange:
    """One request under way; ended exactly once."""

    __slots__ = ("deadline", "done", "fresh", "intended", "request", "sent", "shot")

    def __init__(self, shot: Shot, *, intended: float, deadline: float, request: bytes) -> None:
        self.shot = shot
        self.intended = intended
        self.deadline = deadline
        self.request = request
        self.sent = 0.0
        self.fresh = True
        self.done = False


#: Called once for each exchange, with the answer if a complete one came.
Finish = Callable[["Exchange", Outcome, "Response | None"], None]


class Connection(asyncio.Protocol):
    """At most one exchange at a time; never sends a request twice."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        clock: Callable[[], float],
        finish: Finish,
        idle: Callable[[Connection], None],
    ) -> None:
        self._sock = sock
        self._clock = clock
        self._finish = finish
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._reader = ResponseReader()
        self._used = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    @property
    def alive(self) -> bool:
        """Whether the other side has not closed, as far as this machine knows now.

        Looks into the socket rather than at what the event loop has read so far: a close that
        has already arrived is noticed before a request is wasted on it.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # closed, or bytes that nobody asked for

    def send(self, exchange: Exchange) -> bool:
        """Send a request; False when not one byte could be sent (the connection is dead)."""
        assert self._transport is not None
        assert self._exchange is None
        if self._transport.is_closing():
            return False
        exchange.fresh = not self._used
        exchange.sent = self._clock()
        self._reader = ResponseReader()
        self._exchange = exchange
        self._transport.write(exchange.request)
        if self._transport.is_closing():  # the very first send(2) failed
            self._exchange = None
            exchange.sent = 0.0
            return False
        self._used = True
        return True

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def time_out(self, exchange: Exchange) -> None:
        """End an exchange that took too long, and this connection with it."""
        if self._exchange is exchange:
            self._end(Outcome.TIMEOUT, None)
            self.close()

    def data_received(self, data: bytes) -> None:
        if self._exchange is None:
            self.close()
            return
        try:
            response = self._reader.feed(data)
        except Malformed:
            self._end(Outcome.MALFORMED, None)
            self.close()
            return
        if response is not None:
            self._answered(response)

    def eof_received(self) -> bool:
        return False  # close our side too; connection_lost(None) follows

    def connection_lost(self, exc: Exception | None) -> None:
        if self._exchange is None:
            return
        if exc is not None:
            mid = self._reader.started
            self._end(Outcome.RESET_MID_ANSWER if mid else Outcome.RESET, None)
        elif response := self._reader.eof():
            self._end(Outcome.OK, response)
        elif self._reader.started:
            self._end(Outcome.HALF_ANSWER, None)
        else:
            fresh = self._exchange.fresh
            self._end(Outcome.CLOSED if fresh else Outcome.CLOSED_KEEP_ALIVE, None)

    def _answered(self, response: Response) -> None:
        closing = not response.reusable
        self._end(Outcome.OK, response)
        if closing:
            self.close()
        else:
            self._idle(self)

    def _end(self, outcome: Outcome, response: Response | None) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self._finish(exchange, outcome, response)


async def open_socket(target: Target) -> socket.socket:
    """Connect to the target. Raises OSError as the kernel says it."""
    family = socket.AF_INET6 if target.family_is_ipv6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (target.address, target.port))
    except BaseException:
        sock.close()
        raise
    return sock
