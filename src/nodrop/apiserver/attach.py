"""Attaching to a container: what it says from now on, out of its log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

from nodrop.apiserver.streams import LogOptions, LogSource, OutputStream
from nodrop.model.meta import Obj


class LogSession:
    """A Session over the container's log. It takes no input, and ends with the container."""

    def __init__(
        self, logs: LogSource, pod: Obj, container: str, outputs: Iterable[OutputStream]
    ) -> None:
        self._chunks: dict[OutputStream, AsyncIterator[bytes]] = {
            stream: logs.open(
                pod, LogOptions(container=container, follow=True, tail_lines=0, stream=stream)
            )
            for stream in outputs
        }
        self._open = len(self._chunks)
        self._ended = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Nobody reads it."""

    def end_input(self) -> None:
        pass

    async def read(self, stream: OutputStream) -> bytes:
        chunks = self._chunks.get(stream)
        if chunks is None:
            return b""
        async for chunk in chunks:
            if chunk:
                return chunk
        self._open -= 1
        if not self._open:
            self._ended.set()
        return b""

    def resize(self, columns: int, rows: int) -> None:
        pass

    async def wait(self) -> int:
        """0 once all of its output is read: an attached client asks the pod for its exit code."""
        await self._ended.wait()
        return 0
