"""A level that tasks wait for: asyncio.Event, but small, because every pod has a dozen."""

from __future__ import annotations

import asyncio


class Flag:
    """Set or not set; see asyncio.Event, whose queue alone is as large as all of a pod's flags."""

    __slots__ = ("_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: list[asyncio.Future[None]] | None = None

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        """Release everyone who waits, also if it is cleared before their turn."""
        self._set = True
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def clear(self) -> None:
        self._set = False

    async def wait(self) -> bool:
        """Return once it is set."""
        if self._set:
            return True
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        try:
            await waiter
            return True
        finally:
            if self._waiters and waiter in self._waiters:  # it was cancelled
                self._waiters.remove(waiter)
