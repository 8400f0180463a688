"""Port forwarding: pairs of a data and an error stream, each pair one TCP connection to a pod."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from nodrop.apiserver.spdy_connection import SpdyConnection, SpdyStream

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = f"SPDY/3.1+{PROTOCOL}"
_READ_BYTES = 64 * 1024

TcpStreams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenPort: TypeAlias = Callable[[int], Awaitable[TcpStreams]]
"""Connects to a port of the pod; raises OSError."""


class PortStream(Protocol):
    """The bytes of one forwarded connection, as a client sends and gets them."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


async def serve_spdy(connection: SpdyConnection, pod: str, open_port: OpenPort) -> None:
    """Forward until the client has gone; then every connection to the pod is closed."""
    async with asyncio.TaskGroup() as tasks:
        forwarding = tasks.create_task(_accept(connection, pod, open_port))
        await connection.run()
        forwarding.cancel()


async def forward(
    data: PortStream,
    error: PortStream,
    *,
    pod: str,
    port: int,
    open_port: OpenPort,
    until_pod_ends: bool = False,
) -> None:
    """One connection. What goes wrong at the pod is said on ``error``, in upstream's words.

    It is over when both sides have sent all; with ``until_pod_ends``, when the pod has.
    """
    try:
        reader, writer = await open_port(port)
    except OSError as failure:
        why = failure.strerror or str(failure)
        await error.write(f"error forwarding port {port} to pod {pod}: {why}".encode())
        return
    try:
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(_to_pod(data, writer))
            await _from_pod(reader, data)
            if until_pod_ends:
                sending.cancel()
    except* OSError:
        pass  # one side hung up in the middle: so does the other now
    finally:
        writer.transport.abort()


# Private


async def _accept(connection: SpdyConnection, pod: str, open_port: OpenPort) -> None:
    waiting: dict[str, SpdyStream] = {}
    async with asyncio.TaskGroup() as tasks:
        while stream := await connection.accept():
            request = stream.headers.get("requestid", "")
            other = waiting.pop(request, None)
            kinds = {each.headers.get("streamtype"): each for each in (stream, other) if each}
            if other is None:
                waiting[request] = stream
            elif kinds.keys() != {"data", "error"}:
                await stream.reset()
                await other.reset()
            else:
                pair = _pair(connection, kinds["data"], kinds["error"], pod, open_port)
                tasks.create_task(pair)


async def _pair(
    connection: SpdyConnection, data: SpdyStream, error: SpdyStream, pod: str, open_port: OpenPort
) -> None:
    try:
        text = data.headers.get("port", "")
        if text.isdecimal() and 0 < int(text) < 65536:
            await forward(data, error, pod=pod, port=int(text), open_port=open_port)
        else:
            await error.write(f'"{text}" is no port: a number from 1 to 65535 is'.encode())
        await data.close()
        await error.close()
    except ConnectionError:
        pass  # the client has gone
    finally:
        connection.forget(data)
        connection.forget(error)


async def _to_pod(data: PortStream, writer: asyncio.StreamWriter) -> None:
    while piece := await data.read():
        writer.write(piece)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


async def _from_pod(reader: asyncio.StreamReader, data: PortStream) -> None:
    while piece := await reader.read(_READ_BYTES):
        await data.write(piece)
    await data.close()
