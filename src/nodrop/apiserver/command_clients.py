"""Clients of exec and attach: over WebSocket channels, and over SPDY streams."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web

from nodrop.apiserver.channels import ChannelError, Channels, resize
from nodrop.apiserver.remotecommand import ClientGone, apply
from nodrop.apiserver.rendering import encode
from nodrop.apiserver.spdy_connection import SpdyConnection, SpdyStream
from nodrop.apiserver.streams import OutputStream, Session
from nodrop.apiserver.upgrades import close_websocket, next_message, send_message
from nodrop.model.errors import bad_request
from nodrop.model.meta import Obj

_STREAMS_WITHIN_S = 30.0
_PONG_EVERY_S = 10.0
_LONGEST_SIZE_BYTES = 1024


class WebSocketClient:
    """A CommandClient that sends and gets channel messages."""

    def __init__(self, socket: web.WebSocketResponse, channels: Channels) -> None:
        self._socket = socket
        self._channels = channels

    async def feed(self, session: Session) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._show_life())
            try:
                while True:
                    event = self._channels.event(await next_message(self._socket))
                    if event is not None:
                        await apply(session, event)
            except ChannelError as error:
                await close_websocket(self._socket, str(error))
                raise ClientGone from error

    async def _show_life(self) -> None:
        """Pings behind input that nobody reads are not answered: pongs go out unasked (RFC 6455).

        kubectl hangs up after a minute without one.
        """
        while True:
            await asyncio.sleep(_PONG_EVERY_S)
            await self._socket.pong()

    async def greet(self) -> None:
        """An empty message, as upstream sends it: clients wait for one to know that all is up."""
        await self._send(self._channels.output("stdout", b""))

    async def send(self, stream: OutputStream, data: bytes) -> None:
        await self._send(self._channels.output(stream, data))

    async def finish(self, status: Obj) -> None:
        if (message := self._channels.status(status)) is not None:
            await self._send(message)
        await close_websocket(self._socket)

    async def _send(self, message: bytes) -> None:
        await send_message(self._socket, message, text=self._channels.text)


class SpdyClient:
    """A CommandClient with a stream for each purpose."""

    def __init__(self, connection: SpdyConnection, streams: Mapping[str, SpdyStream]) -> None:
        self._connection = connection
        self._streams = streams

    async def feed(self, session: Session) -> None:
        """Input and sizes side by side. That the client has gone, its connection tells."""
        async with asyncio.TaskGroup() as tasks:
            if "stdin" in self._streams:
                tasks.create_task(_feed_input(self._streams["stdin"], session))
            if "resize" in self._streams:
                tasks.create_task(_feed_sizes(self._streams["resize"], session))

    async def send(self, stream: OutputStream, data: bytes) -> None:
        await self._streams[stream].write(data)

    async def finish(self, status: Obj) -> None:
        await self._streams["error"].write(encode(status))
        for stream in self._streams.values():
            await stream.close()
            self._connection.forget(stream)


async def spdy_client(connection: SpdyConnection, wanted: frozenset[str]) -> SpdyClient | None:
    """Wait for the streams that ``wanted`` names; None when the client has gone before.

    Raises ApiError 400 when it opens others, TimeoutError when it does not open them.
    """
    streams: dict[str, SpdyStream] = {}
    async with asyncio.timeout(_STREAMS_WITHIN_S):
        while streams.keys() != wanted:
            stream = await connection.accept()
            if stream is None:
                return None
            name = stream.headers.get("streamtype", "")
            if name not in wanted or name in streams:
                raise bad_request(f'stream "{name}" is not one of {sorted(wanted)}')
            streams[name] = stream
    return SpdyClient(connection, streams)


# Private


async def _feed_input(stream: SpdyStream, session: Session) -> None:
    while data := await stream.read():
        await session.write(data)
    session.end_input()


async def _feed_sizes(stream: SpdyStream, session: Session) -> None:
    """Sizes are JSON objects, one a line."""
    rest = b""
    while data := await stream.read():
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            await apply(session, resize(line))
        if len(rest) > _LONGEST_SIZE_BYTES:
            raise ChannelError("a size of the terminal that does not end")
