"""HTTP/1.1 on one kept-alive connection: bodies in every framing, pipelines, long downloads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bench.soak_app import pieces_of
from nodrop.rehearse.connection import open_socket
from nodrop.rehearse.http1 import Malformed, Response, ResponseReader, render_request
from nodrop.rehearse.record import Outcome
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.stream import Ended, connecting, outcome_of_status

_READ_BYTES = 256 * 1024
_PIECES = 3


@dataclass(frozen=True, slots=True)
class Ask:
    """What to send for a message, and what must come back. ``expects``: wait for 100 first."""

    head: bytes
    body: bytes = b""
    answers: tuple[bytes, ...] = ()
    expects: bool = False


def chunked(target: Target, payload: bytes) -> Ask:
    """A body in chunks of several sizes, with an extension and a trailer."""
    half = len(payload) // 2
    body = b"%x;name=value\r\n%s\r\n" % (half, payload[:half]) + b"".join(
        b"%X\r\n%s\r\n" % (len(part), part)
        for at in range(half, len(payload), 512)
        if (part := payload[at : at + 512])
    )
    head = _head("POST /echo", target, "Transfer-Encoding: chunked", "Trailer: X-End")
    return Ask(head, body + b"0\r\nX-End: yes\r\n\r\n", (payload,))


def expecting(target: Target, payload: bytes) -> Ask:
    """The body follows once the server has said 100 Continue."""
    length = f"Content-Length: {len(payload)}"
    head = _head("POST /echo", target, length, "Expect: 100-continue")
    return Ask(head, payload, (payload,), expects=True)


def pipelined(target: Target, payload: bytes) -> Ask:
    """Several POSTs at once; answers must come in their order."""
    size = -(-len(payload) // _PIECES)
    parts = tuple(payload[at : at + size] for at in range(0, len(payload), size))
    requests = (
        render_request("POST", "/echo", host=target.host, request_id="p", body=part)
        for part in parts
    )
    return Ask(b"".join(requests), answers=parts)


def download(size: int, seconds: float) -> Callable[[Target, bytes], Ask]:
    """A long answer."""
    whole = b"".join(pieces_of(size))

    def ask(target: Target, _payload: bytes) -> Ask:
        return Ask(_head(f"GET /download?bytes={size}&s={seconds:g}", target), b"", (whole,))

    return ask


class Http1:
    """An ``EchoConnection``: each exchange is a request, or several."""

    def __init__(
        self,
        target: Target,
        ask: Callable[[Target, bytes], Ask],
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._target, self._ask = target, ask
        self._reader, self._writer = streams
        self._ended: Ended | None = None
        self._last: Response | None = None

    @staticmethod
    async def connect(
        target: Target, ask: Callable[[Target, bytes], Ask], *, timeout_s: float = 10.0
    ) -> Http1:
        async with connecting(timeout_s):
            sock = await open_socket(target)
            return Http1(target, ask, await asyncio.open_connection(sock=sock))

    @property
    def ended(self) -> Ended | None:
        """An idle connection may be closed by either side at any time: that is clean."""
        if self._ended is None and (self._reader.at_eof() or self._reader.exception()):
            self._ended = Ended(Outcome.OK, clean=True)
        return self._ended

    def header(self, name: str) -> str:
        return self._last.header(name) if self._last else ""

    async def exchange(self, payload: bytes, *, timeout_s: float) -> bytes:
        """Send what stands for the message; returns it when every byte of the answers is right."""
        if self.ended:
            raise self.ended
        ask = self._ask(self._target, payload)
        self._last = None
        try:
            async with asyncio.timeout(timeout_s):
                self._writer.write(ask.head)
                if ask.expects:
                    await self._until_continue()
                self._writer.write(ask.body)
                bodies = await self._answers(len(ask.answers))
        except TimeoutError:
            raise self._end(Ended(Outcome.TIMEOUT)) from None
        except Malformed:
            raise self._end(Ended(Outcome.MALFORMED)) from None
        except OSError:
            mid = self._last is not None
            raise self._end(Ended(Outcome.RESET_MID_ANSWER if mid else Outcome.RESET)) from None
        return payload if bodies == list(ask.answers) else b"wrong"

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self._end(Ended(Outcome.CLOSED))
        self._writer.close()

    async def _until_continue(self) -> None:
        """Raises Ended when the server does not want the body."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise self._end(Ended(Outcome.CLOSED_KEEP_ALIVE)) from None
        if head[9:12] != b"100":
            status = int(head[9:12]) if head[9:12].isdigit() else 0
            raise self._end(Ended(outcome_of_status(status), status=status))

    async def _answers(self, count: int) -> list[bytes]:
        bodies: list[bytes] = []
        rest = b""
        for left in reversed(range(count)):
            piece, rest = (rest, b"") if not left else await self._first_of(rest)
            response = self._last = await self._answer(piece)
            bodies.append(response.body)
            if response.status != 200:
                raise self._end(Ended(outcome_of_status(response.status), status=response.status))
            if not response.reusable:  # the rest of a pipeline was not taken (RFC 9112, 9.3.2)
                ended = self._end(Ended(Outcome.OK, clean=True))
                if left:
                    raise ended
        return bodies

    async def _first_of(self, received: bytes) -> tuple[bytes, bytes]:
        """(a whole answer, what came behind it); answers of a pipeline tell their length."""
        while (end := end_of_answer(received)) is None or len(received) < end:
            received += await self._read(started=bool(received))
        return received[:end], received[end:]

    async def _answer(self, received: bytes) -> Response:
        reader = ResponseReader()
        response = reader.feed(received) if received else None
        while response is None:
            response = reader.feed(await self._read(started=reader.started))
        return response

    async def _read(self, *, started: bool) -> bytes:
        """More bytes. Raises Ended when the other side has closed."""
        if data := await self._reader.read(_READ_BYTES):
            return data
        raise self._end(Ended(Outcome.HALF_ANSWER if started else Outcome.CLOSED_KEEP_ALIVE))

    def _end(self, ended: Ended) -> Ended:
        self._ended = self._ended or ended
        if not ended.clean:
            self._writer.close()
        return ended


def end_of_answer(received: bytes) -> int | None:
    """Where an answer with a Content-Length ends, once its head is there."""
    head, separator, _ = received.lower().partition(b"\r\n\r\n")
    if not separator:
        return None
    _, _, rest = head.partition(b"\r\ncontent-length:")
    length = rest.split(b"\r\n")[0].strip()
    return len(head) + 4 + (int(length) if length.isdigit() else 0)


def _head(first: str, target: Target, *lines: str) -> bytes:
    head = "\r\n".join((f"{first} HTTP/1.1", f"Host: {target.host}", *lines))
    return head.encode("latin-1") + b"\r\n\r\n"
