"""The client of a long answer, who may stop reading: then the answer is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

#: A client that takes nothing for so long, and up to twice that, is cut off: what waits for it
#: is bounded, and of no use to it any more.
_TAKEN_WITHIN_S = 60.0
#: An engine that ends waits so long for whoever has left a part of its answer unread.
_GOOD_BYE_S = 0.5


class Writer(Protocol):
    """What is needed of a response; both wait while the client takes nothing."""

    async def write(self, data: bytes) -> None: ...

    async def write_eof(self) -> None: ...


class Reader:
    """Writes to a client, and knows since when a write has been waiting.

    One timer looks at that now and then: a deadline for every write would be a tenth of what a
    watch event costs.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._loop = asyncio.get_running_loop()
        self._waiting_since_s: float | None = None

    @property
    def lags(self) -> bool:
        """Whether a write waits for the client."""
        return self._waiting_since_s is not None

    async def send(self, data: bytes) -> None:
        """Raises ConnectionResetError when the client has gone."""
        if self._waiting_since_s is None:  # a bookmark may wait besides
            self._waiting_since_s = self._loop.time()
        await self._writer.write(data)
        self._waiting_since_s = None

    async def end(self) -> None:
        self._waiting_since_s = self._loop.time()
        await self._writer.write_eof()

    async def end_in_time(self) -> None:
        """End the answer as a whole one if the client takes that at once; never raises."""
        with suppress(TimeoutError, ConnectionResetError):
            async with asyncio.timeout(_GOOD_BYE_S):
                await self.end()

    @contextmanager
    def or_cut(self, cut: Callable[[], None]) -> Iterator[None]:
        """Call ``cut`` once the client takes nothing any more."""
        timer: asyncio.TimerHandle

        def look() -> None:
            nonlocal timer
            since_s = self._waiting_since_s
            if since_s is not None and self._loop.time() - since_s >= _TAKEN_WITHIN_S:
                cut()
            else:
                timer = self._loop.call_later(_TAKEN_WITHIN_S, look)

        timer = self._loop.call_later(_TAKEN_WITHIN_S, look)
        try:
            yield
        finally:
            timer.cancel()
