"""HTTP/1.1 as a client sees it: requests as bytes, answers read from any split of bytes. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_HEAD_BYTES = 64 * 1024


class Malformed(Exception):
    """What came back is not HTTP/1.x, or more than one answer came."""


@dataclass(frozen=True, slots=True)
class Response:
    """A complete answer. ``reusable``: the connection may carry another request."""

    status: int
    head: bytes
    body: bytes
    reusable: bool

    def header(self, name: str) -> str:
        """The first value of a header, or an empty string."""
        return _header(self.head, self.head.lower(), name.lower().encode())


def _header(head: bytes, lowered: bytes, name: bytes) -> str:
    start = lowered.find(b"\r\n" + name + b":")
    if start < 0:
        return ""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip().decode("latin-1")


def render_request(
    method: str,
    path: str,
    *,
    host: str,
    request_id: str,
    id_header: str = "X-Request-Id",
    body: bytes = b"",
    close: bool = False,
) -> bytes:
    """A request with an id that an app may echo."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"{id_header}: {request_id}"]
    if body or method == "POST":
        lines += ["Content-Type: application/octet-stream", f"Content-Length: {len(body)}"]
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class ResponseReader:
    """Reads one answer: by Content-Length, chunked, or until the connection closes."""

    __slots__ = ("_body", "_buffer", "_chunked", "_head", "_length", "_reusable", "_status")

    def __init__(self) -> None:
        self._buffer = b""
        self._head: bytes | None = None
        self._status = 0
        self._length: int | None = None
        self._chunked = False
        self._reusable = False
        self._body: list[bytes] = []

    @property
    def started(self) -> bool:
        """Whether any byte of an answer has come."""
        return bool(self._buffer) or self._head is not None

    def feed(self, data: bytes) -> Response | None:
        """Take bytes; the answer once it is complete. Raises Malformed."""
        self._buffer = self._buffer + data if self._buffer else data
        while self._head is None:
            if not self._take_head():
                return None
        if self._chunked:
            return self._take_chunks()
        if self._length is None:
            return None
        if len(self._buffer) < self._length:
            return None
        if len(self._buffer) > self._length:
            raise Malformed(f"{len(self._buffer) - self._length} bytes after the answer's end")
        return self._complete(self._buffer)

    def eof(self) -> Response | None:
        """The connection was closed in order: complete only if that is how the answer ends."""
        if self._head is None or self._chunked or self._length is not None:
            return None
        self._reusable = False
        return self._complete(self._buffer)

    def _complete(self, body: bytes) -> Response:
        assert self._head is not None
        return Response(self._status, self._head, body, self._reusable)

    def _take_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if not b"HTTP/1.".startswith(self._buffer[:7]):
            raise Malformed(f"the answer starts with {self._buffer[:20]!r}")
        if end < 0:
            if len(self._buffer) > _LONGEST_HEAD_BYTES:
                raise Malformed("the answer's head does not end")
            return False
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        status = head[9:12]
        if not status.isdigit() or head[8:9] != b" ":
            raise Malformed(f"the answer starts with {head[:20]!r}")
        self._status = int(status)
        if 100 <= self._status < 200:  # an interim answer: the real one follows
            return bool(self._buffer)
        self._head = head
        self._read_framing(head)
        return True

    def _read_framing(self, head: bytes) -> None:
        lowered = head.lower()
        connection = _header(head, lowered, b"connection").lower()
        is_1_0 = head.startswith(b"HTTP/1.0")
        self._reusable = connection != "close" and (not is_1_0 or connection == "keep-alive")
        self._chunked = "chunked" in _header(head, lowered, b"transfer-encoding").lower()
        length = _header(head, lowered, b"content-length")
        if length and not length.isdigit():
            raise Malformed(f"Content-Length {length!r} is not a number")
        if self._status in (204, 304):
            self._length = 0
        elif length and not self._chunked:
            self._length = int(length)

    def _take_chunks(self) -> Response | None:
        while (line_end := self._buffer.find(b"\r\n")) >= 0:
            size_text = self._buffer[:line_end].split(b";")[0].strip()
            try:
                size = int(size_text, 16)
            except ValueError as error:
                raise Malformed(f"chunk size {size_text[:20]!r}") from error
            if size == 0:
                return self._take_trailer(line_end)
            end = line_end + 2 + size
            if len(self._buffer) < end + 2:
                return None
            if self._buffer[end : end + 2] != b"\r\n":
                raise Malformed("a chunk does not end where it says")
            self._body.append(self._buffer[line_end + 2 : end])
            self._buffer = self._buffer[end + 2 :]
        return None

    def _take_trailer(self, line_end: int) -> Response | None:
        """The empty line, or trailer fields up to one, after the last chunk."""
        end = self._buffer.find(b"\r\n\r\n", line_end)
        if end < 0:
            return None
        if len(self._buffer) > end + 4:
            raise Malformed(f"{len(self._buffer) - end - 4} bytes after the answer's end")
        return self._complete(b"".join(self._body))
