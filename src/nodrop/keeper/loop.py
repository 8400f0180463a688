"""The keeper's only loop: file descriptors that are ready, and timers."""

from __future__ import annotations

import heapq
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class Timer:
    """A call that is due once; ``cancel`` makes it never happen."""

    __slots__ = ("call", "due")

    def __init__(self, due: float, call: Callable[[], None]) -> None:
        self.due = due
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        self.call = None


class Loop:
    """Calls back when a file descriptor is ready (level-triggered) or a timer is due."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watched: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._sequence = 0
        self._running = True

    def watch(self, fd: int, events: int, call: Callable[[int], None]) -> None:
        self._watched[fd] = call
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def after(self, delay_s: float, call: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + delay_s, call)
        self._sequence += 1
        heapq.heappush(self._timers, (timer.due, self._sequence, timer))
        return timer

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        while self._running:
            for fd, events in self._epoll.poll(self._timeout_s()):
                call = self._watched.get(fd)
                if call is not None:
                    guarded(call, events)
            self._run_due()

    def _timeout_s(self) -> float:
        while self._timers and self._timers[0][2].call is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else -1

    def _run_due(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            call = heapq.heappop(self._timers)[2].call
            if call is not None:
                guarded(call)


def guarded(call: Callable[..., None], *args: object) -> None:
    """One failing callback must not end the parent of every container: report it, go on."""
    try:
        call(*args)
    except Exception:
        try:
            sys.excepthook(*sys.exc_info())
        except Exception:
            pass  # there is nowhere left to say it


def complain(message: str) -> None:
    """Write a line to the keeper's own log; a disk that is full must not end the keeper."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    try:
        sys.stderr.write(f"{stamp} {message}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass
