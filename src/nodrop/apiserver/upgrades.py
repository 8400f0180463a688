"""HTTP connections that become something else: WebSocket, or SPDY/3.1."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from aiohttp import WSCloseCode, WSMsgType, web

from nodrop.model.errors import ApiError, bad_request

_SPDY = "SPDY/3.1"
_SPDY_PROTOCOL_HEADER = "X-Stream-Protocol-Version"
_WEBSOCKET_PROTOCOL_HEADER = "Sec-WebSocket-Protocol"
_UNREAD_BYTES = 256 * 1024
_CLOSE_WITHIN_S = 2.0


class WebSocketClosed(ConnectionError):
    """The client has closed its WebSocket."""


def wants_websocket(request: web.Request) -> bool:
    """Whether a streaming request is for WebSocket, else for SPDY. Raises ApiError 400."""
    upgrade = request.headers.get("Upgrade", "").lower()
    if "upgrade" not in request.headers.get("Connection", "").lower() or upgrade not in (
        "websocket",
        _SPDY.lower(),
    ):
        raise bad_request(f"Upgrade request required: Upgrade: websocket or {_SPDY}")
    return upgrade == "websocket"


def agreed_protocol(request: web.Request, ours: Sequence[str], *, header: str = "") -> str:
    """The first of ``ours`` that the client offers. Raises ApiError 403 as upstream does."""
    header = header or _WEBSOCKET_PROTOCOL_HEADER
    offered = [
        name.strip() for line in request.headers.getall(header, ()) for name in line.split(",")
    ]
    for name in ours:
        if name in offered:
            return name
    raise ApiError(
        403,
        "Forbidden",
        f"unable to upgrade: unable to negotiate protocol: client supports {offered}, "
        f"server accepts {list(ours)}",
    )


async def upgrade_to_websocket(request: web.Request, protocol: str) -> web.WebSocketResponse:
    """Say yes; ``protocol`` is one that the client offered, or empty."""
    socket = web.WebSocketResponse(
        protocols=(protocol,) if protocol else (), compress=False, timeout=_CLOSE_WITHIN_S
    )
    await socket.prepare(request)
    return socket


def offers_protocols(request: web.Request) -> bool:
    """Whether a WebSocket client names any; who doesn't gets binary messages."""
    return _WEBSOCKET_PROTOCOL_HEADER in request.headers


async def next_message(socket: web.WebSocketResponse) -> bytes:
    """The next message. Raises WebSocketClosed at the end, however it comes."""
    message = await socket.receive()
    match message.type:
        case WSMsgType.BINARY:
            return bytes(message.data)
        case WSMsgType.TEXT:
            return str(message.data).encode()
    raise WebSocketClosed


async def send_message(socket: web.WebSocketResponse, message: bytes, *, text: bool) -> None:
    if text:
        await socket.send_str(message.decode())
    else:
        await socket.send_bytes(message)


class WebSocketDuplex:
    """Bytes in binary messages, cut anywhere: how kubectl tunnels SPDY."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        try:
            while not (data := await next_message(self._socket)):
                pass
        except WebSocketClosed:
            return b""
        return data

    async def write(self, data: bytes) -> None:
        await self._socket.send_bytes(data)


class SpdyDuplex:
    """The bytes of an HTTP connection after its upgrade; aiohttp hands them to us as a parser."""

    def __init__(self, request: web.Request) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        self._transport = request.transport
        self._request = request
        self._unread = bytearray()
        self._come = asyncio.Event()
        self._ended = False
        self.response = web.StreamResponse(status=101)

    @classmethod
    async def upgrade(cls, request: web.Request, protocol: str) -> SpdyDuplex:
        """Say yes to SPDY."""
        duplex = cls(request)
        # From here on bytes are no HTTP; the client sends none before our answer.
        request.protocol.set_parser(cast(Any, duplex))
        duplex.response.headers.update(
            {"Connection": "Upgrade", "Upgrade": _SPDY, _SPDY_PROTOCOL_HEADER: protocol}
        )
        duplex.response.force_close()
        await duplex.response.prepare(request)
        return duplex

    async def read(self) -> bytes:
        while not self._unread and not self._ended:
            self._come.clear()
            await self._come.wait()
        data = bytes(self._unread)
        self._unread.clear()
        if not self._ended:
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        await self.response.write(data)

    # What aiohttp calls

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._unread += data
        if len(self._unread) >= _UNREAD_BYTES:
            self._transport.pause_reading()
        self._come.set()
        return False, b""

    def feed_eof(self) -> None:
        self._ended = True
        self._come.set()


def spdy_protocol(request: web.Request, ours: Sequence[str]) -> str:
    """The protocol that both sides speak over SPDY. Raises ApiError 403."""
    return agreed_protocol(request, ours, header=_SPDY_PROTOCOL_HEADER)


async def close_websocket(socket: web.WebSocketResponse, trouble: str = "") -> None:
    """Say goodbye; with ``trouble``, what the client did wrong."""
    code = WSCloseCode.PROTOCOL_ERROR if trouble else WSCloseCode.OK
    await socket.close(code=code, message=trouble.encode()[:120])
