"""Receives HAProxy's log lines on a unix socket: frames of ``LENGTH SPACE LINE``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

OnLines = Callable[[list[str]], None]
_LONGEST_PREFIX = 8


class Frames:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are complete now. Raises ValueError when it is no such stream."""
        data, at = self._rest + data, 0
        lines = []
        while (space := data.find(b" ", at, at + _LONGEST_PREFIX)) > 0:
            end = space + 1 + int(data[at:space])
            if end > len(data):
                break
            lines.append(data[space + 1 : end].decode(errors="replace").rstrip("\n"))
            at = end
        self._rest = data[at:]
        if len(self._rest) >= _LONGEST_PREFIX and b" " not in self._rest[:_LONGEST_PREFIX]:
            raise ValueError(f"no length of a line: {self._rest[:_LONGEST_PREFIX]!r}")
        return lines


class _Connection(asyncio.Protocol):
    def __init__(self, on_lines: OnLines, is_open: set[asyncio.BaseTransport]) -> None:
        self._on_lines = on_lines
        self._open = is_open
        self._frames = Frames()
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._open.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            lines = self._frames.feed(data)
        except ValueError as error:
            log.warning("the proxy's log is not understood, and asked for anew: %s", error)
            if self._transport is not None:
                self._transport.close()
            return
        if lines:
            self._on_lines(lines)


async def receive(path: Path, on_lines: OnLines) -> None:
    """Listen at ``path`` and hand on lines, a few at a time, until cancelled.

    HAProxy connects by itself, and again after a restart of ours; what it wrote meanwhile comes
    then. Raises OSError when ``path`` can't be listened at.
    """
    path.unlink(missing_ok=True)
    loop = asyncio.get_running_loop()
    is_open: set[asyncio.BaseTransport] = set()
    server = await loop.create_unix_server(lambda: _Connection(on_lines, is_open), str(path))
    path.chmod(0o600)
    async with server:
        try:
            await server.serve_forever()
        finally:
            for transport in tuple(is_open):
                transport.close()
