"""Our ends of the input and output of a command: pipes, or a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

READ_BYTES = 64 * 1024

Stream = Literal["stdout", "stderr"]


class Input:
    """What is written here, the command reads; a terminal has a size as well."""

    def __init__(self, fd: int, writer: asyncio.StreamWriter, state: _State) -> None:
        self._fd = fd
        self._writer = writer
        self._state = state

    @staticmethod
    async def open(fd: int) -> Input:
        """``fd`` is ours to close from here on."""
        loop = asyncio.get_running_loop()
        transport, state = await loop.connect_write_pipe(_State, os.fdopen(fd, "wb", buffering=0))
        return Input(fd, asyncio.StreamWriter(transport, state, None, loop), state)

    async def write(self, data: bytes) -> None:
        """Waits while enough is unread. What nobody reads any more is dropped."""
        if self._writer.is_closing():
            return
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def resize(self, columns: int, rows: int) -> None:
        """Of a terminal only."""
        if not self._writer.is_closing():
            fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        """Without waiting: a few bytes."""
        if not self._writer.is_closing():
            self._writer.write(keys)

    def end(self) -> None:
        """Close it once all is written."""
        self._writer.close()

    def close(self) -> None:
        """At once: what is unsent would keep the pipe open."""
        if not self._state.lost.is_set():
            self._writer.transport.abort()


class Outputs:
    """What a command says, by stream."""

    def __init__(self) -> None:
        self._readers: dict[Stream, asyncio.StreamReader] = {}
        self._transports: list[asyncio.BaseTransport] = []

    @staticmethod
    async def open(fds: Mapping[Stream, int]) -> Outputs:
        """The descriptors are ours to close from here on."""
        outputs = Outputs()
        for name, fd in fds.items():
            outputs._readers[name], transport = await _reader(fd)
            outputs._transports.append(transport)
        return outputs

    async def read(self, stream: Stream) -> bytes:
        """The next piece; b"" at the end, and of a stream that there is not."""
        reader = self._readers.get(stream)
        return b"" if reader is None else await reader.read(READ_BYTES)

    def close(self) -> None:
        """What has not come by now, comes no more."""
        for transport in self._transports:
            transport.close()


# Private


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    reader = asyncio.StreamReader(limit=READ_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: _ToTheEnd(reader), os.fdopen(fd, "rb", buffering=0)
    )
    return reader, transport


class _ToTheEnd(asyncio.StreamReaderProtocol):
    """A terminal that its command has left gives EIO: that is the end of what it said."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)


class _State(asyncio.StreamReaderProtocol):
    """Lets a writer wait for room, and knows when the pipe is gone."""

    def __init__(self) -> None:
        super().__init__(asyncio.StreamReader())
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(exc)
