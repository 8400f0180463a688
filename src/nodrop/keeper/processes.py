"""The table of processes: start, signal, restart, end, remember."""

from __future__ import annotations

import os
import signal
import time

from nodrop.keeper import proc
from nodrop.keeper.children import Output
from nodrop.keeper.console import Console
from nodrop.keeper.failure import Failed
from nodrop.keeper.loop import complain
from nodrop.keeper.process import Process
from nodrop.keeper.spawn import Command

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from nodrop.keeper.children import Child, Children
    from nodrop.keeper.loop import Loop
    from nodrop.keeper.records import Records
    from nodrop.keeper.sockets import HeldSockets

    View = dict[str, Any]

_QUICK_S = 1.0  # a process that ends sooner was not really up
_LONGEST_BACKOFF_S = 1.0
_DEATH_S = 5.0  # how long a killed process may take to go
_OUTPUT_BYTES = 10 * 1024


def backoff_s(quick_ends: int) -> float:
    """Delay before a restart: none at first, then 50 ms doubling up to a second."""
    return 0.0 if quick_ends == 0 else min(_LONGEST_BACKOFF_S, 0.05 * 2.0 ** min(quick_ends - 1, 9))


class Processes:
    def __init__(
        self, *, loop: Loop, children: Children, records: Records, sockets: HeldSockets
    ) -> None:
        self._loop = loop
        self._children = children
        self._records = records
        self._sockets = sockets
        self._boot_id = proc.boot_id()
        self._table: dict[str, Process] = {}
        self._stopping = False
        self._when_over: list[Callable[[], None]] = []
        self._tickets = 0

    # What was before us

    def recover(self) -> None:
        """Read the records; what an earlier keeper left running is ended, its end unknown."""
        for record in self._records.load():
            try:
                process = Process.from_disk(record)
            except (Failed, KeyError, TypeError, ValueError) as error:
                complain(f"a record can't be used: {error!r}")
                continue
            self._table[process.id] = process
            if not process.ended:
                self._end_leftover(process)

    def _end_leftover(self, process: Process) -> None:
        if process.boot_id == self._boot_id and process.mark:
            roots = [process.pid] if process.left_running(self._boot_id) else []
            roots += proc.marked({process.mark, *process.left}, proc.everyone())
            proc.kill_family(process.mark, roots)
            # They are not our children: whoever asks us to listen must find their ports free.
            proc.await_end(roots, _DEATH_S)
        complain(f"{process.id} was without a keeper; its end is unknown")
        process.ends(128 + signal.SIGKILL, known=False)
        self._save(process, durable=True)

    # Requests

    def start(self, spec: dict[str, Any]) -> dict[str, Any]:
        known = self._table.get(spec.get("id", ""))
        if known is not None:
            return known.view()
        if self._stopping:
            raise Failed("ESHUTDOWN", "the keeper is shutting down")
        process = Process(spec)
        self._run(process)
        self._table[process.id] = process
        return process.view()

    def wait(self, id: str, answer: Callable[[View], None]) -> Callable[[], None]:
        """Answer once it has ended; returns how to wait no more."""
        process = self._find(id)
        if process.ended:
            answer(process.view())
            return lambda: None
        self._tickets += 1
        ticket = self._tickets
        process.waiters[ticket] = answer

        def give_up() -> None:
            process.waiters.pop(ticket, None)

        return give_up

    def signal(self, id: str, number: int, tree: bool) -> None:
        process = self._find(id)
        if number not in signal.valid_signals() and number != 0:
            raise Failed("EINVAL", f"{number} is no signal")
        child = process.child
        if child is None:
            return
        process.sent(number)
        if tree and number == signal.SIGKILL:
            self._kill(process)
        elif tree:
            for pid in proc.descendants((child.pid, *self._orphans(process, child))):
                proc.send(pid, number)
        else:
            child.signal(number)

    def retire(self, id: str) -> None:
        process = self._find(id)
        process.restart = False
        if process.again is not None:
            process.again.cancel()
            process.again = None
            self._finish(process, process.last_code)
        else:
            self._save(process, durable=False)

    def note(self, id: str, key: str, value: str) -> None:
        process = self._find(id)
        process.notes[key] = value
        self._save(process, durable=False)

    def views(self) -> list[dict[str, Any]]:
        return [process.view() for process in self._table.values()]

    def remove(self, id: str) -> None:
        process = self._table.get(id)
        if process is None:
            return
        if not process.ended:
            raise Failed("EBUSY", f"process {id} still runs")
        del self._table[id]
        self._records.remove(id)

    def exec(
        self, id: str, argv: list[str], timeout_s: float | None, answer: Callable[..., None]
    ) -> Callable[[], None]:
        """Run beside a process; ``answer(code, output, timed_out)``. Returns how to cut it."""
        process = self._running(id)
        output = bytearray()
        cut: list[bool] = []
        timer = None

        def collect(data: bytes) -> None:
            output.extend(data[: _OUTPUT_BYTES - len(output)])

        def ended(code: int) -> None:
            process.beside.discard(child)
            if timer is not None:
                timer.cancel()
            answer(code, bytes(output), bool(cut))

        def time_out() -> None:
            cut.append(True)
            child.kill_tree()

        command = self._command(process, argv)
        child = self._children.start(command, [Output((1, 2), collect)], ended)
        process.beside.add(child)
        if timeout_s is not None:
            timer = self._loop.after(timeout_s, time_out)
        return _cutter(process, child)

    def session(
        self,
        id: str,
        argv: list[str],
        fds: dict[int, int],
        answer: Callable[[int], None],
        *,
        tty: bool,
        env: dict[str, str],
    ) -> Callable[[], None]:
        """Run beside a process with a client's descriptors; ``answer(code)``. As ``exec`` else.

        What it leaves in the background when it ends by itself goes on until the process ends.
        """
        process = self._running(id)

        def ended(code: int) -> None:
            if child in process.beside:
                process.beside.discard(child)
                self._leave_kin(process, child)
            else:  # it was cut short
                self._children.end_kin(child.mark)
            answer(code)

        command = self._command(process, argv, fds)
        command.env, command.tty = {**process.env, **env}, tty
        child = self._children.start(command, [], ended, kin_stay=True)
        process.beside.add(child)
        return _cutter(process, child)

    def console(self, id: str) -> Console:
        """Input and output of a process that runs."""
        console = self._running(id).console
        assert console is not None
        return console

    def shutdown(self, grace_s: float, done: Callable[[], None]) -> None:
        """End every process: SIGTERM, and SIGKILL to what is left after ``grace_s``."""
        self._stopping = True
        self._when_over.append(done)
        for process in self._table.values():
            if not process.ended:
                self.retire(process.id)
            if process.child is not None:
                process.sent(signal.SIGTERM)
                proc.send(process.child.pid, signal.SIGTERM)
        self._loop.after(grace_s, self._kill_all)
        self._check_over()

    # One process

    def _find(self, id: str) -> Process:
        process = self._table.get(id)
        if process is None:
            raise Failed("ESRCH", f"no process {id!r} is known")
        return process

    def _running(self, id: str) -> Process:
        process = self._find(id)
        if process.child is None:
            raise Failed("ESRCH", f"process {id} does not run")
        return process

    def _command(self, process: Process, argv: list[str], fds: dict[int, int] | None = None) -> Any:
        if not argv:
            raise Failed("EINVAL", "no command to execute")
        return Command(
            argv,
            process.env,
            cwd=process.cwd,
            bind_ip=process.bind_ip,
            fds=fds or {},
            mounts=process.mounts,
        )

    def _run(self, process: Process) -> None:
        console = Console(process, self._loop, self._children)
        child = None
        try:
            fds = {**console.fds, **self._sockets.descriptors(process.fds)}
            command = self._command(process, process.argv, fds)
            command.tty = process.tty
            child = self._children.start(
                command, console.outputs, lambda code: self._ended(process, code)
            )
        finally:
            console.started(child)
        process.console = console
        process.runs_as(child, self._boot_id)
        self._save(process, durable=False)

    def _ended(self, process: Process, code: int) -> None:
        process.child = None
        if process.console is not None:
            process.console.end()
        self._kill_beside(process)
        if not process.restart:
            self._finish(process, code)
            return
        quick = time.time() - process.started_at < _QUICK_S
        process.last_code = code
        process.again = self._loop.after(
            backoff_s(process.quick_ends), lambda: self._run_again(process)
        )
        process.quick_ends = process.quick_ends + 1 if quick else 0

    def _run_again(self, process: Process) -> None:
        process.again = None
        process.restarts += 1
        try:
            self._run(process)
        except (Failed, OSError) as failure:
            complain(f"{process.id} can't be started again: {failure}")
            process.again = self._loop.after(_LONGEST_BACKOFF_S, lambda: self._run_again(process))

    def _finish(self, process: Process, code: int) -> None:
        process.ends(code, known=process.known)
        try:
            self._save(process, durable=True)
        finally:
            waiters, process.waiters = process.waiters, {}
            for answer in waiters.values():
                answer(process.view())
            self._check_over()

    def _save(self, process: Process, *, durable: bool) -> None:
        try:
            self._records.save(process.id, process.for_disk(), durable=durable)
        except OSError as error:
            complain(f"the record of {process.id} can't be written: {error}")

    def _orphans(self, process: Process, child: Child) -> list[int]:
        return proc.marked({child.mark, *process.left}, proc.children(os.getpid()))

    def _kill(self, process: Process) -> None:
        if process.child is not None:
            process.child.kill_tree()
        self._kill_beside(process)

    def _kill_beside(self, process: Process) -> None:
        for child in tuple(process.beside):
            _cutter(process, child)()
        for mark in process.left:
            self._children.end_kin(mark)

    def _leave_kin(self, process: Process, child: Child) -> None:
        """Remember what it has left running, and forget what has ended since."""
        present = {proc.mark_of(pid) for pid in proc.children(os.getpid())}
        left = {mark for mark in (child.mark, *process.left) if mark in present}
        if left != process.left:
            process.left = left
            self._save(process, durable=False)

    def _kill_all(self) -> None:
        for process in self._table.values():
            self._kill(process)
        self._loop.after(_DEATH_S, self._give_up)

    def _give_up(self) -> None:
        """A process in an uninterruptible wait must not keep the keeper from ending."""
        for process in self._table.values():
            if not process.ended:
                complain(f"{process.id} (pid {process.pid}) does not die; its end is unknown")
                process.known = False
                self._finish(process, 128 + signal.SIGKILL)

    def _check_over(self) -> None:
        if all(process.ended for process in self._table.values()):
            calls, self._when_over = self._when_over, []
            for call in calls:
                call()


def _cutter(process: Process, child: Child) -> Callable[[], None]:
    """How to end a command beside a process: it and all that descends from it."""

    def cut_short() -> None:
        if child in process.beside:
            process.beside.discard(child)
            child.kill_tree()

    return cut_short
