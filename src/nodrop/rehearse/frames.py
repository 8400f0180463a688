"""WebSocket frames (RFC 6455) as bytes, read from any split of them. Pure."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum

_ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_LARGEST_BYTES = 16 * 1024 * 1024


class Opcode(IntEnum):
    """What a frame carries (section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class BadFrame(Exception):
    """What came is no frame that a server may send."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole message or control frame."""

    opcode: Opcode
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code of a Close frame; 1005 (section 7.4.1) when it carries none."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


def accept_of(key: str) -> str:
    """What ``Sec-WebSocket-Accept`` must say to a ``Sec-WebSocket-Key``."""
    digest = hashlib.sha1(key.encode() + _ACCEPT_GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def render_frame(opcode: Opcode, payload: bytes, *, mask: bytes = b"") -> bytes:
    """One unfragmented frame; a client's must be masked with four bytes (section 5.3)."""
    masked = 0x80 if mask else 0
    size = len(payload)
    if size < 126:
        length = bytes([masked | size])
    elif size < 1 << 16:
        length = bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([masked | 127]) + size.to_bytes(8, "big")
    body = _xor(payload, mask) if mask else payload
    return bytes([0x80 | opcode]) + length + mask + body


class FrameReader:
    """Reads frames; fragments of a message come out as one."""

    __slots__ = ("_buffer", "_message", "_opcode")

    def __init__(self) -> None:
        self._buffer = b""
        self._opcode: Opcode | None = None
        self._message = b""

    @property
    def in_middle(self) -> bool:
        """Whether part of a frame or message has come."""
        return bool(self._buffer) or self._opcode is not None

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; the frames that are complete now. Raises BadFrame."""
        self._buffer += data
        frames = []
        while (taken := self._take()) is not None:
            if (frame := self._whole(*taken)) is not None:
                frames.append(frame)
        return frames

    def _take(self) -> tuple[bool, Opcode, bytes] | None:
        """(final, opcode, payload) of the next frame, once all of it is there."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70:
            raise BadFrame("an extension that was not agreed on")
        try:
            opcode = Opcode(buffer[0] & 0x0F)
        except ValueError as error:
            raise BadFrame(f"opcode {buffer[0] & 0x0F:#x}") from error
        extent = _extent(buffer)
        if extent is None:
            return None
        start, size, mask = extent
        if size > _LARGEST_BYTES:
            raise BadFrame(f"a frame of {size} bytes")
        if len(buffer) < start + size:
            return None
        payload, self._buffer = buffer[start : start + size], buffer[start + size :]
        return bool(buffer[0] & 0x80), opcode, _xor(payload, mask) if mask else payload

    def _whole(self, final: bool, opcode: Opcode, payload: bytes) -> Frame | None:
        if opcode >= Opcode.CLOSE:  # control frames come between fragments
            if not final or len(payload) > 125:
                raise BadFrame("a control frame in parts, or too long")
            return Frame(opcode, payload)
        if (opcode is Opcode.CONTINUATION) is (self._opcode is None):
            raise BadFrame("a fragment that belongs to nothing, or a message within another")
        first = self._opcode or opcode
        self._message += payload
        self._opcode = None if final else first
        if not final:
            return None
        message, self._message = self._message, b""
        return Frame(first, message)


def _extent(buffer: bytes) -> tuple[int, int, bytes] | None:
    """(where the payload starts, its size, its mask), once the head is there."""
    size, start = buffer[1] & 0x7F, 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(buffer) < start:
            return None
        size = int.from_bytes(buffer[2:start], "big")
    if not buffer[1] & 0x80:
        return start, size, b""
    if len(buffer) < start + 4:
        return None
    return start + 4, size, buffer[start : start + 4]


def _xor(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
