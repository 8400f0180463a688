"""SPDY/3.1 frames, as much as kubectl speaks when it streams; pure.

kubectl carries ``exec`` and ``attach`` (before 1.31) and ``port-forward`` (every version, since
1.31 inside of WebSocket messages) over SPDY. Its library knows no flow control of streams:
WINDOW_UPDATE and SETTINGS are read and mean nothing.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

_VERSION = 3
_CONTROL_BIT = 0x8000
_STREAM_MASK = 0x7FFF_FFFF
_FIN = 0x01
_HEADER = struct.Struct(">HHI")
_TYPES = {"SYN_STREAM": 1, "SYN_REPLY": 2, "RST_STREAM": 3, "PING": 6, "GOAWAY": 7, "HEADERS": 8}
#: What one frame may hold; kubectl sends at most 32 KiB, and 24 bits could say 16 MiB.
MAX_FRAME_BYTES = 1 << 20
MAX_HEADERS_BYTES = 64 * 1024

PROTOCOL_ERROR = 1
CANCEL = 5


class SpdyError(Exception):
    """The other side broke the protocol; the message says how."""


@dataclass(frozen=True, slots=True)
class Open:
    """SYN_STREAM: the sender begins a stream."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """SYN_REPLY: the stream is accepted."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a stream; with ``fin`` its sender's last."""

    stream: int
    data: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """RST_STREAM: the stream is over in both directions."""

    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Ping:
    number: int


@dataclass(frozen=True, slots=True)
class GoAway:
    last_stream: int
    status: int = 0


Frame: TypeAlias = Open | Reply | Data | Reset | Ping | GoAway


class Encoder:
    """Frames into bytes. One per direction of a connection: headers share a zlib context."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def encode(self, frame: Frame) -> bytes:
        match frame:
            case Data(stream, data, fin):
                flags = _FIN if fin else 0
                return struct.pack(">II", stream, flags << 24 | len(data)) + data
            case Open(stream, headers, fin):
                body = struct.pack(">IIH", stream, 0, 0) + self._block(headers)
                return _control("SYN_STREAM", body, fin=fin)
            case Reply(stream, headers, fin):
                return _control(
                    "SYN_REPLY", struct.pack(">I", stream) + self._block(headers), fin=fin
                )
            case Reset(stream, status):
                return _control("RST_STREAM", struct.pack(">II", stream, status))
            case Ping(number):
                return _control("PING", struct.pack(">I", number))
            case GoAway(last_stream, status):
                return _control("GOAWAY", struct.pack(">II", last_stream, status))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        plain = struct.pack(">I", len(headers)) + b"".join(
            struct.pack(">I", len(text)) + text
            for pair in headers.items()
            for text in (pair[0].lower().encode(), pair[1].encode())
        )
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


class Decoder:
    """Bytes into frames; half frames wait. Raises SpdyError, after which it is of no more use."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        self._rest += data
        frames = []
        while len(self._rest) >= _HEADER.size:
            head, kind, length = _HEADER.unpack_from(self._rest)
            flags, size = length >> 24, length & 0xFF_FFFF
            if size > MAX_FRAME_BYTES:
                raise SpdyError(f"a frame of {size} bytes; at most {MAX_FRAME_BYTES} are taken")
            end = _HEADER.size + size
            if len(self._rest) < end:
                break
            body = bytes(self._rest[_HEADER.size : end])
            del self._rest[:end]
            if head & _CONTROL_BIT:
                frame = self._control(head & ~_CONTROL_BIT, kind, body, fin=bool(flags & _FIN))
                frames += [frame] if frame is not None else []
            else:
                frames.append(Data((head << 16 | kind) & _STREAM_MASK, body, bool(flags & _FIN)))
        return frames

    def _control(self, version: int, kind: int, body: bytes, *, fin: bool) -> Frame | None:
        if version != _VERSION:
            raise SpdyError(f"a frame of SPDY version {version}; only version {_VERSION} is spoken")
        match kind:
            case 1:
                return Open(_numbers(body, 1, "SYN_STREAM")[0], self._headers(body[10:]), fin)
            case 2:
                return Reply(_numbers(body, 1, "SYN_REPLY")[0], self._headers(body[4:]), fin)
            case 3:
                stream, status = _numbers(body, 2, "RST_STREAM")
                return Reset(stream, status)
            case 6:
                return Ping(struct.unpack(">I", body)[0] if len(body) == 4 else _short("PING"))
            case 7:
                return GoAway(*_numbers(body, 2, "GOAWAY"))
            case 8:
                self._headers(body[4:])  # it moves on the zlib context, and nobody sends it
                return None
            case _:
                return None  # SETTINGS, WINDOW_UPDATE, CREDENTIAL

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, MAX_HEADERS_BYTES)
        except zlib.error as error:
            raise SpdyError(f"headers that can't be inflated: {error}") from None
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {MAX_HEADERS_BYTES} bytes")
        return _pairs(plain)


# Private


def _control(name: str, body: bytes, *, fin: bool = False) -> bytes:
    length = (_FIN if fin else 0) << 24 | len(body)
    return _HEADER.pack(_CONTROL_BIT | _VERSION, _TYPES[name], length) + body


def _numbers(body: bytes, count: int, name: str) -> tuple[int, ...]:
    if len(body) < 4 * count:
        _short(name)
    first, *others = struct.unpack_from(f">{count}I", body)
    return first & _STREAM_MASK, *others


def _short(name: str) -> int:
    raise SpdyError(f"a {name} frame of the wrong size")


def _pairs(plain: bytes) -> dict[str, str]:
    try:
        (count,) = struct.unpack_from(">I", plain)
        at, texts = 4, []
        for _ in range(min(2 * count, len(plain))):
            (size,) = struct.unpack_from(">I", plain, at)
            text = plain[at + 4 : at + 4 + size]
            if len(text) != size:
                raise SpdyError("headers end in the middle of one")
            texts.append(text.decode())
            at += 4 + size
    except (struct.error, UnicodeDecodeError) as error:
        raise SpdyError(f"headers that can't be read: {error}") from None
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _dictionary() -> bytes:
    """The zlib dictionary of SPDY/3: words with their lengths, then a line of common values."""
    names = (
        "options head post put delete trace accept accept-charset accept-encoding accept-language "
        "accept-ranges age allow authorization cache-control connection content-base "
        "content-encoding content-language content-length content-location content-md5 "
        "content-range content-type date etag expect expires from host if-match if-modified-since "
        "if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
        "proxy-authenticate proxy-authorization range referer retry-after server te trailer "
        "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status"
    )
    words = [
        *names.split(),
        "200 OK",
        "version",
        "HTTP/1.1",
        "url",
        "public",
        "set-cookie",
        "keep-alive",
        "origin",
    ]
    codes = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    )
    values = (
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
        "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
        "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
        "Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
        "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
        "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    listed = b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)
    return listed + (codes + values).encode()


DICTIONARY = _dictionary()
