"""Virtual time: an event loop that never waits, and the wall clock that follows it.

Only documented hooks are used: a selector whose ``select`` moves the time on, ``time()``, and a
task factory that numbers tasks, so that sets of tasks have one order in every process.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Generator
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

T = TypeVar("T")

#: Wall time at virtual second 0.
START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)


#: What one turn of the loop takes. Were it nothing, whoever waits for less than the clock can
#: tell apart would wait for ever.
TURN_S = 1e-6
#: More turns in one virtual second than any scenario needs.
_MOST_TURNS = 400_000


class Deadlock(Exception):
    """Nothing is ready and no timer is set: whoever waits would wait for ever."""


class Livelock(Exception):
    """Something is always ready: the loop turns and turns, and time hardly passes."""


class _Selector(selectors.SelectSelector):
    """Waits by moving the time on. There is no I/O, so nothing is ever ready."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self._turns = 0
        self._second = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Deadlock("nothing is ready and no timer is set")
        self.now_s += max(timeout, TURN_S)
        self._turns += 1
        if self._turns > _MOST_TURNS:
            self._count_again()
        return []

    def _count_again(self) -> None:
        turns, self._turns = self._turns, 0
        if int(self.now_s) == self._second:
            raise Livelock(f"{turns} turns of the loop, and still second {self._second}")
        self._second = int(self.now_s)


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: the order of a set of tasks doesn't follow addresses."""

    __slots__ = ("number",)

    def __init__(self, work: Any, *, number: int, **options: Any) -> None:
        self.number = number  # first: asyncio puts the task into sets while it is being made
        super().__init__(work, **options)

    def __hash__(self) -> int:
        return self.number


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which a virtual week of sleeping takes no time."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)
        self._tasks_made = 0
        self.set_task_factory(self._make_task)

    def time(self) -> float:
        return self._virtual.now_s

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any] | Generator[Any, None, Any],
        **options: Any,
    ) -> asyncio.Task[Any]:
        self._tasks_made += 1
        return _Task(coro, number=self._tasks_made, loop=loop, **options)


def run_virtual(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on a loop of its own. Raises Deadlock when it can't end."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        try:
            _end_tasks(loop)
        finally:
            loop.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=hash)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


class VirtualClock:
    """Wall time: START plus virtual time plus what faults have moved it by."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def now(self) -> datetime:
        now_s = asyncio.get_running_loop().time() + self.offset_s
        return START + timedelta(seconds=now_s)

    def jump(self, by_s: float) -> None:
        """Someone sets the machine's clock; waiting isn't affected."""
        self.offset_s += by_s
