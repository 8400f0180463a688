"""Children of the keeper: started, their output read, their binds answered, reaped with orphans."""

from __future__ import annotations

import errno
import os

from nodrop.keeper import proc, wildcard
from nodrop.keeper.loop import READ, Loop, complain, guarded
from nodrop.keeper.spawn import Command, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Sink = Callable[[bytes], None]
    End = Callable[[int], None]

_READ_BYTES = 64 * 1024
_DRAIN_READS = 64  # what a pipe can hold at the end of a process, and then some


class Output:
    """What the child has at ``numbers`` feeds ``sink``; the last thing it gets is b"".

    ``ours`` and ``theirs`` are the ends of a pipe, or of a terminal.
    """

    __slots__ = ("numbers", "ours", "sink", "theirs")

    def __init__(self, numbers: tuple[int, ...], sink: Sink, *, tty: bool = False) -> None:
        self.numbers = numbers
        self.sink = sink
        self.ours, self.theirs = os.openpty() if tty else os.pipe()


class Child:
    """One execution of a program; ``mark`` tells its descendants from others.

    ``kin_stay``: what descends from it may outlive it.
    """

    __slots__ = (
        "bind_error",
        "bind_redirect",
        "kin_stay",
        "mark",
        "on_exit",
        "pid",
        "pipes",
        "start_ticks",
    )

    def __init__(self, pid: int, mark: int, on_exit: End, *, kin_stay: bool) -> None:
        self.pid = pid
        self.mark = mark
        self.on_exit = on_exit
        self.kin_stay = kin_stay
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
        outputs: Sequence[Output],
        on_exit: End,
        *,
        kin_stay: bool = False,
    ) -> Child:
        """Run ``command``; the ends of its ``outputs`` are closed here, sooner or later.

        ``on_exit`` gets the exit code, 128 + n after signal n, when its tree has been ended
        (unless ``kin_stay``) and all it wrote has been given to the sinks. Raises Failed when it
        can't be executed.
        """
        fds = {0: self._null, 1: self._null, 2: self._null, **command.fds}
        for output in outputs:
            fds.update(dict.fromkeys(output.numbers, output.theirs))
        command.fds = fds
        try:
            spawned = spawn(command)
        except BaseException:
            for output in outputs:
                os.close(output.ours)
            raise
        finally:
            for output in outputs:
                os.close(output.theirs)
        child = Child(spawned.pid, command.mark, on_exit, kin_stay=kin_stay)
        child.bind_error = spawned.bind_error
        self._running[child.pid] = child
        for output in outputs:
            os.set_blocking(output.ours, False)
            child.pipes[output.ours] = output.sink
        self.listen(child)
        if spawned.listener is not None and command.bind_ip is not None:
            child.bind_redirect = True
            self._answer_binds(spawned.listener, command.bind_ip)
        return child

    def listen(self, child: Child) -> None:
        """Read what it writes."""
        for fd in child.pipes:
            self._listen_to(child, fd)

    def _listen_to(self, child: Child, fd: int) -> None:
        def ready(_events: int) -> None:
            self._read(child, fd)

        self._loop.watch(fd, READ, ready)

    def pause(self, child: Child) -> None:
        """Read nothing more until ``listen``: it has to wait once its pipes are full."""
        for fd in child.pipes:
            self._loop.unwatch(fd)

    def _read(self, child: Child, fd: int) -> bool:
        """Read once; False when there is nothing (more) to read now."""
        try:
            data = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            data = b""  # a terminal that everybody has left
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
        if not child.kin_stay:
            self.end_kin(child.mark)
        for fd in tuple(child.pipes):
            guarded(self._drain, child, fd)
        guarded(child.on_exit, status if status >= 0 else 128 - status)

    def end_kin(self, mark: int) -> None:
        """Kill what a child with this mark has left behind."""
        if proc.kill_family(mark, ()):
            self._sweeping.add(mark)

    def _drain(self, child: Child, fd: int) -> None:
        for _ in range(_DRAIN_READS):
            if not self._read(child, fd):
                break

    def _sweep_again(self) -> None:
        """A killed orphan may have left children of its own to us."""
        for mark in tuple(self._sweeping):
            if not proc.kill_family(mark, ()):
                self._sweeping.discard(mark)
