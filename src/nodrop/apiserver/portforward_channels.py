"""Port forwarding over WebSocket channels, as the official Python client does it.

Messages are binary, or text of base64 (``v4.base64.channel.k8s.io``). Each port of the query has
two channels, 2n for its bytes and 2n + 1 for errors, and one connection. Both begin with a message
that holds the port, in two bytes, the low one first.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from nodrop.apiserver.channels import ChannelError, Channels
from nodrop.apiserver.portforward import OpenPort, forward
from nodrop.apiserver.upgrades import (
    close_websocket,
    next_message,
    send_message,
    upgrade_to_websocket,
)
from nodrop.model.errors import bad_request

_MOST_PORTS = 127
_UNREAD_MESSAGES = 16


class ChannelStream:
    """One channel; a client can't end a single one."""

    def __init__(self, socket: web.WebSocketResponse, channels: Channels, number: int) -> None:
        self._socket = socket
        self._channels = channels
        self._number = number
        self._unread: asyncio.Queue[bytes] = asyncio.Queue(_UNREAD_MESSAGES)

    async def read(self) -> bytes:
        return await self._unread.get()

    async def write(self, data: bytes) -> None:
        message = self._channels.message(self._number, data)
        await send_message(self._socket, message, text=self._channels.text)

    async def close(self) -> None:
        pass

    async def take(self, data: bytes) -> None:
        if data:
            await self._unread.put(data)


async def serve_channels(
    request: web.Request, protocol: str, *, pod: str, open_port: OpenPort
) -> web.StreamResponse:
    """Forward until the client hangs up, or every connection to the pod has ended."""
    ports = _ports(request.query.getall("ports", []))
    socket, channels = await upgrade_to_websocket(request, protocol), Channels(protocol)
    streams = [ChannelStream(socket, channels, number) for number in range(2 * len(ports))]
    try:
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(_read(socket, channels, streams))
            for index, port in enumerate(ports):
                for stream in streams[2 * index : 2 * index + 2]:
                    await stream.write(port.to_bytes(2, "little"))
            async with asyncio.TaskGroup() as forwarding:
                for index, port in enumerate(ports):
                    data, error = streams[2 * index : 2 * index + 2]
                    forwarding.create_task(_forward(data, error, pod, port, open_port))
            reading.cancel()
    except* ConnectionError:
        pass  # the client has gone
    except* ChannelError as group:
        await close_websocket(socket, str(group.exceptions[0]))
    await close_websocket(socket)
    return socket


# Private


async def _forward(
    data: ChannelStream, error: ChannelStream, pod: str, port: int, open_port: OpenPort
) -> None:
    """As long as the pod sends: the client can't say that it has sent all."""
    await forward(data, error, pod=pod, port=port, open_port=open_port, until_pod_ends=True)


async def _read(
    socket: web.WebSocketResponse, channels: Channels, streams: list[ChannelStream]
) -> None:
    while True:
        number, data = channels.split(await next_message(socket))
        if number >= len(streams):
            raise ChannelError(f"channel {number} belongs to no port")
        await streams[number].take(data)


def _ports(texts: list[str]) -> list[int]:
    numbers = [text for joined in texts for text in joined.split(",")]
    for text in numbers:
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise bad_request(f'ports: "{text}" is no port: a number from 1 to 65535 is')
    if not 0 < len(numbers) <= _MOST_PORTS:
        raise bad_request(f"ports: name 1 to {_MOST_PORTS} ports")
    return [int(text) for text in numbers]
