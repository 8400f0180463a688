"""Logs over WebSocket: every chunk a message."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

from aiohttp import web

from nodrop.apiserver.upgrades import (
    agreed_protocol,
    close_websocket,
    next_message,
    offers_protocols,
    upgrade_to_websocket,
)

_BINARY, _BASE64 = "binary.k8s.io", "base64.binary.k8s.io"


def is_websocket(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


async def send_log(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """Send until the log ends or the client has gone; without a protocol as binary messages.

    Raises ApiError 403 when the client only offers protocols that are not for logs.
    """
    offers = offers_protocols(request)
    protocol = agreed_protocol(request, (_BINARY, _BASE64)) if offers else ""
    socket = await upgrade_to_websocket(request, protocol)
    try:
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(_until_closed(socket))
            async for chunk in chunks:
                if protocol == _BASE64:
                    await socket.send_str(base64.b64encode(chunk).decode())
                else:
                    await socket.send_bytes(chunk)
            listening.cancel()
    except* ConnectionError:
        pass  # the client has gone
    await close_websocket(socket)
    return socket


async def _until_closed(socket: web.WebSocketResponse) -> None:
    """Answers pings by reading; what a client says here means nothing."""
    while True:
        await next_message(socket)
