"""Input and output of a container: its log, and clients that are attached to it.

Clients bring pipes of their own. What a container says goes to its log and to every client; what
clients type goes into its input without us: they get our end of it.
"""

from __future__ import annotations

import os
import time

from nodrop.keeper.children import Output
from nodrop.keeper.failure import Failed
from nodrop.keeper.logs import LogFile, Stream
from nodrop.keeper.loop import WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nodrop.keeper.children import Child, Children, Sink
    from nodrop.keeper.loop import Loop, Timer
    from nodrop.keeper.process import Process

    Answer = Callable[[str], None]

PATIENCE_S = 5.0
"""How long a container with input waits for a client that takes nothing."""
MOST_UNSENT_BYTES = 4 * 1024 * 1024
"""What is kept for a client of a container that waits for nobody."""
_BEHIND = (
    "this client does not take what the container says fast enough, and the container must not "
    "wait for it: the rest is in the container's log"
)


class Console:
    """One run of a process; ``fds`` and ``outputs`` are what the process is started with.

    Raises Failed when the log can't be opened.
    """

    def __init__(self, process: Process, loop: Loop, children: Children) -> None:
        self._loop = loop
        self._children = children
        self._child: Child | None = None
        self._paused = False
        self._patient = process.stdin or process.tty
        self._once = process.stdin_once and not process.tty
        self._clients: list[Client] = []
        self._log = None if process.log is None else _open_log(process.log)
        self._input = -1
        self.fds: dict[int, int] = {}
        self.outputs: list[Output] = []
        if process.tty:
            self.outputs = [Output((0, 1, 2), self._sink("stdout"), tty=True)]
            self._input = os.dup(self.outputs[0].ours)
        else:
            if process.stdin:
                self.fds[0], self._input = os.pipe()
            if self._log is not None:
                numbers = {"stdout": 1, "stderr": 2}
                self.outputs = [Output((fd,), self._sink(name)) for name, fd in numbers.items()]
        self._open = len(self.outputs)

    def started(self, child: Child | None) -> None:
        """Its process runs, or (None) could not be started: no descriptor of it is kept here."""
        self._child = child
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}
        if child is None:
            self.close_input()
            if self._log is not None:
                self._log.close()

    @property
    def input(self) -> int:
        """Our end of its input, which with a terminal is the terminal. Raises Failed without."""
        if self._input < 0:
            raise Failed("ENXIO", "the container's standard input is not open")
        return self._input

    def close_input(self) -> None:
        fd, self._input = self._input, -1
        if fd >= 0:
            os.close(fd)

    def end_input(self) -> None:
        """A client has no more input, or is gone: stdinOnce means that of the first one."""
        if self._once:
            self.close_input()

    def attach(self, fds: Mapping[str, int], *, stdin: bool, answer: Answer) -> Callable[[], None]:
        """Copy what is said from now on to ``fds``, which are ours to close.

        ``answer`` gets "" when all is said and taken, or why the client was left. Returns how
        to take it off.
        """

        def over(why: str) -> None:
            self._clients.remove(client)
            self._go_on()
            if stdin:
                self.end_input()
            answer(why)

        client = Client(self._loop, fds, over, self._go_on)
        self._clients.append(client)
        return lambda: client.leave("")

    def end(self) -> None:
        """The process has ended, and all it wrote was given to the sinks."""
        self._resume()  # what was just killed may hold the pipes open yet
        self._child = None
        self.close_input()
        for client in tuple(self._clients):
            client.end()

    def _sink(self, name: str) -> Sink:
        stream = Stream(name)

        def write(data: bytes) -> None:
            if self._log is not None:
                lines = stream.feed(data, time.time_ns()) if data else stream.end(time.time_ns())
                if lines:
                    self._log.write(lines)
            for client in tuple(self._clients):
                client.give(name, data)
                self._look_after(client)
            if not data:
                self._open -= 1
                if not self._open and self._log is not None:
                    self._log.close()

        return write

    def _look_after(self, client: Client) -> None:
        """One that has fallen behind is waited for, or left."""
        if not client.behind:
            return
        if not self._patient:
            if client.unsent_bytes > MOST_UNSENT_BYTES:
                client.leave(_BEHIND)
        elif self._child is not None:
            self._paused = True
            self._children.pause(self._child)
            client.hurry()

    def _go_on(self) -> None:
        """A client has caught up, or gone."""
        if not any(client.behind for client in self._clients):
            self._resume()

    def _resume(self) -> None:
        if self._paused and self._child is not None:
            self._paused = False
            self._children.listen(self._child)


class Client:
    """Pipes to one attached client, and what it has not taken yet."""

    def __init__(
        self,
        loop: Loop,
        fds: Mapping[str, int],
        over: Answer,
        caught_up: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._fds = dict(fds)
        self._unsent = {name: bytearray() for name in fds}
        self._over = over
        self._caught_up = caught_up
        self._timer: Timer | None = None
        self._ends = self._left = False
        for fd in fds.values():
            os.set_blocking(fd, False)

    @property
    def unsent_bytes(self) -> int:
        return sum(map(len, self._unsent.values()))

    @property
    def behind(self) -> bool:
        return any(self._unsent.values())

    def give(self, name: str, data: bytes) -> None:
        """What the container says; at its end nothing."""
        if self._left or name not in self._fds or not data:
            return
        unsent = self._unsent[name]
        waited = bool(unsent)
        unsent += data
        if not waited and self._flush(name):
            fd = self._fds[name]
            self._loop.watch(fd, WRITE, lambda _events: self._ready(name))

    def hurry(self) -> None:
        """It has ``PATIENCE_S`` to catch up."""
        if self._timer is None and not self._left:
            self._timer = self._loop.after(PATIENCE_S, lambda: self.leave(_BEHIND))

    def end(self) -> None:
        """Nothing more comes: leave once it has taken what is left."""
        self._ends = True
        if self.behind:
            self.hurry()
        else:
            self.leave("")

    def leave(self, why: str) -> None:
        if self._left:
            return
        self._left = True
        self._calm()
        for name, fd in self._fds.items():
            self._loop.unwatch(fd)
            self._unsent[name].clear()
            os.close(fd)
        self._over(why)

    def _calm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ready(self, name: str) -> None:
        if self._flush(name) or self._left:
            return
        self._loop.unwatch(self._fds[name])
        if self.behind:
            return
        self._calm()
        if self._ends:
            self.leave("")
        else:
            self._caught_up()

    def _flush(self, name: str) -> bool:
        """Write what can be written now; True when something is left."""
        unsent = self._unsent[name]
        while unsent:
            try:
                sent = os.write(self._fds[name], unsent)
            except BlockingIOError:
                return True
            except OSError:
                self.leave("")  # its other end is closed
                return False
            del unsent[:sent]
        return False


def _open_log(path: str) -> LogFile:
    try:
        return LogFile(path)
    except OSError as error:
        raise Failed("EIO", f"log {path} can't be opened: {error}") from error
