"""A deadline that may move while something waits for it: a second delete shortens a grace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class Deadline:
    """A moment on the event loop's clock. ``at_s`` is ``loop.time()`` in seconds."""

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self._waiting: dict[asyncio.Timeout, tuple[float, float]] = {}

    @staticmethod
    def in_s(seconds: float) -> Deadline:
        return Deadline(asyncio.get_running_loop().time() + seconds)

    @property
    def left_s(self) -> float:
        return max(0.0, self._at_s - asyncio.get_running_loop().time())

    def move_to(self, left_s: float) -> None:
        """The deadline is now ``left_s`` seconds away; everything that waits learns of it."""
        self._at_s = asyncio.get_running_loop().time() + left_s
        for timeout, bounds in self._waiting.items():
            if not timeout.expired():
                timeout.reschedule(self._within(bounds))

    async def cut(
        self,
        work: Awaitable[T],
        *,
        at_least_s: float = 0.0,
        at_most_s: float = float("inf"),
    ) -> T:
        """Await ``work``, cancelled with TimeoutError at the deadline.

        However near the deadline is or gets, ``at_least_s`` are given, counted from this call;
        ``at_most_s`` ends it sooner.
        """
        now_s = asyncio.get_running_loop().time()
        bounds = (now_s + at_least_s, now_s + at_most_s)
        async with asyncio.timeout_at(self._within(bounds)) as timeout:
            self._waiting[timeout] = bounds
            try:
                return await work
            finally:
                del self._waiting[timeout]

    def _within(self, bounds: tuple[float, float]) -> float:
        earliest_s, latest_s = bounds
        return min(max(self._at_s, earliest_s), latest_s)
