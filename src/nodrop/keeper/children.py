"""Children of the keeper: started, their output read, their binds answered, reaped with orphans."""

from __future__ import annotations

import os

from nodrop.keeper import proc, wildcard
from nodrop.keeper.loop import READ, Loop, complain, guarded
from nodrop.keeper.spawn import Command, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sink = Callable[[bytes], None]

_READ_BYTES = 64 * 1024
_DRAIN_READS = 64  # what a pipe can hold at the end of a process, and then some


class Child:
    """One execution of a program; ``mark`` tells its descendants from others."""

    __slots__ = ("bind_error", "bind_redirect", "mark", "on_exit", "pid", "pipes", "start_ticks")

    def __init__(self, pid: int, mark: int, on_exit: Callable[[int], None]) -> None:
        self.pid = pid
        self.mark = mark
        self.on_exit = on_exit
        self.start_ticks = proc.start_ticks(pid)
        self.bind_redirect = False
        self.bind_error = ""
        self.pipes: dict[int, Sink] = {}

    def signal(self, number: int) -> None:
        """We are its parent and have not reaped it: its pid can't mean another process."""
        os.kill(self.pid, number)

    def kill_tree(self) -> None:
        proc.kill_family(self.mark, (self.pid,))


class Children:
    """All that runs below the keeper."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._running: dict[int, Child] = {}
        self._sweeping: set[int] = set()
        self._null = os.open("/dev/null", os.O_RDWR)

    def start(
        self,
        command: Command,
        outputs: Sequence[tuple[tuple[int, ...], Sink]],
        on_exit: Callable[[int], None],
    ) -> Child:
        """Run ``command``; ``outputs`` says which descriptors feed which sink (b"" at the end).

        ``on_exit`` gets the exit code, 128 + n after signal n, when its tree has been ended and
        all it wrote has been given to the sinks. Raises Failed when it can't be executed.
        """
        fds = {0: self._null, 1: self._null, 2: self._null, **command.fds}
        pipes = [(os.pipe(), numbers, sink) for numbers, sink in outputs]
        for (_read, write), numbers, _sink in pipes:
            fds.update(dict.fromkeys(numbers, write))
        command.fds = fds
        try:
            spawned = spawn(command)
        except BaseException:
            for (read, _write), _numbers, _sink in pipes:
                os.close(read)
            raise
        finally:
            for (_read, write), _numbers, _sink in pipes:
                os.close(write)
        child = Child(spawned.pid, command.mark, on_exit)
        child.bind_error = spawned.bind_error
        self._running[child.pid] = child
        for (read, _write), _numbers, sink in pipes:
            self._read_from(child, read, sink)
        if spawned.listener is not None and command.bind_ip is not None:
            child.bind_redirect = True
            self._answer_binds(spawned.listener, command.bind_ip)
        return child

    def _read_from(self, child: Child, fd: int, sink: Sink) -> None:
        os.set_blocking(fd, False)
        child.pipes[fd] = sink

        def ready(_events: int) -> None:
            self._read(child, fd)

        self._loop.watch(fd, READ, ready)

    def _read(self, child: Child, fd: int) -> bool:
        """Read once; False when there is nothing (more) to read now."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        child.pipes[fd](data)
        if not data:
            self._loop.unwatch(fd)
            del child.pipes[fd]
            os.close(fd)
        return bool(data)

    def _answer_binds(self, listener: int, bind_ip: str) -> None:
        def answer(events: int) -> None:
            if events & READ:
                complaint = wildcard.answer_bind(listener, bind_ip)
                if complaint:
                    complain(complaint)
            else:  # hung up: nobody carries this filter any more
                self._loop.unwatch(listener)
                os.close(listener)

        self._loop.watch(listener, READ, answer)

    def reap(self) -> None:
        """Collect everyone who has ended: our children and the orphans we inherited."""
        orphans = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if pid == 0:
                break
            child = self._running.pop(pid, None)
            if child is None:
                orphans = True
            else:
                self._ended(child, os.waitstatus_to_exitcode(status))
        if orphans:
            self._sweep_again()

    def _ended(self, child: Child, status: int) -> None:
        if proc.kill_family(child.mark, ()):
            self._sweeping.add(child.mark)
        for fd in tuple(child.pipes):
            guarded(self._drain, child, fd)
        guarded(child.on_exit, status if status >= 0 else 128 - status)

    def _drain(self, child: Child, fd: int) -> None:
        for _ in range(_DRAIN_READS):
            if not self._read(child, fd):
                break

    def _sweep_again(self) -> None:
        """A killed orphan may have left children of its own to us."""
        for mark in tuple(self._sweeping):
            if not proc.kill_family(mark, ()):
                self._sweeping.discard(mark)
