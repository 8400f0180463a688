"""The HAProxy processes under the keeper: started, found again, replaced, told to finish."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodrop.keeper.protocol import Keeper, KeeperFailure, ProcessRecord, ProcessSpec
from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected
from nodrop.proxy.haproxy.binary import current_version
from nodrop.proxy.protocol import ProxyFailure

ROLE, GENERATION, SHAPE, PROGRAM = "nodrop.dev/proxy", "generation", "shape", "program"
MAIN = "proxy-main"
_RETIRED = "retired"
_FIRST_FD = 10
_START_S = 10.0
_POLL_S = 0.005
_LOG_TAIL_LINES = 3


@dataclass(frozen=True, slots=True)
class Process:
    """A running HAProxy. ``shape`` is what only a new process can change, as text."""

    id: str
    role: str
    generation: int
    shape: str

    @property
    def config(self) -> str:
        return f"{self.role}-{self.generation}.cfg"

    @property
    def slots(self) -> str:
        """The file that says what the slots of a replaced one are for."""
        return f"{self.role}-{self.generation}.slots.json"


def write_atomically(path: Path, text: str) -> None:
    """Replace a file whole: who starts from it sees the old or the new text.

    Raises ProxyFailure when it can't be written (a full disk); the old one stays then.
    """
    new = path.with_name(path.name + ".new")
    try:
        try:
            _write(new, text.encode())
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            _write(new, text.encode())
        os.replace(new, path)
    except OSError as error:
        raise ProxyFailure(f"can't write {path}: {error.strerror or error}") from error


def _write(path: Path, data: bytes) -> None:
    """In as few calls as can be: after each, a thread waits again for the one that runs."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def connection_limit(listeners: int) -> int:
    """How many client connections fit the limit of open files: each needs two."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 100_000 if hard == resource.RLIM_INFINITY else hard
    return max(100, min(10_000, (files - 300 - listeners) // 2 - 100))


@dataclass(slots=True)
class Processes:
    """Starts and finds HAProxy processes; ``folder`` holds their files and logs."""

    keeper: Keeper
    folder: Path
    sockets: Path
    binary: Path

    @property
    def version(self) -> tuple[int, ...]:
        """Of the program that new processes run."""
        return current_version(self.binary)

    def admin_path(self, process: Process) -> Path:
        return self.sockets / f"{process.role}-{process.generation}.sock"

    def read(self, name: str) -> str:
        """The text of a file in ``folder``; empty when it can't be read."""
        try:
            return (self.folder / name).read_text()
        except OSError:
            return ""

    async def port_of(self, names: Sequence[str]) -> int:
        """The port of the first of these sockets that is held; 0 when none is."""
        held = await self.keeper.listening() if names else {}
        return next((held[name][1] for name in names if name in held), 0)

    async def listen(self, name: str, host: str) -> int:
        """Have a socket held on any free port; returns the port."""
        try:
            return await self.keeper.listen(name, host, 0)
        except KeeperFailure as error:
            raise ProxyFailure(f"can't listen on {host}: {error}") from error

    async def running(self, role: str, *, finishing: bool = False) -> list[Process]:
        """The processes of a role, oldest first: those that serve, or those told to finish.

        Retired ones are neither.

        Records of ended ones are removed on the way.
        """
        found = []
        for record in await self._records():
            if record.labels.get(ROLE) != role:
                continue
            process = _process(record)
            if record.exit_code is not None:
                await self._forget(process)
            elif _told_to_finish(record) is finishing and (finishing or not _is_retired(record)):
                found.append(process)
        return sorted(found, key=lambda process: process.generation)

    async def retired(self, role: str) -> list[tuple[Process, float]]:
        """Those that were replaced and are not told to finish yet, with the time of ``retire``."""
        return [
            (_process(record), float(record.notes[_RETIRED]))
            for record in await self._records()
            if record.labels.get(ROLE) == role
            and record.exit_code is None
            and _is_retired(record)
            and not _told_to_finish(record)
        ]

    async def newest(self, running: list[Process]) -> Process:
        """The last of ``running`` that answers; younger ones, which came up only in part, end."""
        for younger in range(len(running) - 1, 0, -1):
            try:
                admin = await self.connect(running[younger], restarts=1)
            except ProxyFailure:
                await self.kill(running[younger])
            else:
                await admin.close()
                return running[younger]
        return running[0]

    async def next(self, role: str, shape: str) -> Process:
        """Name the process that follows all those known."""
        known = [
            int(record.labels[GENERATION])
            for record in await self._records()
            if record.labels.get(ROLE) == role
        ]
        generation = max(known, default=0) + 1
        return Process(f"{role}-{generation}", role, generation, shape)

    async def start(self, process: Process, config: str, listening: Sequence[str]) -> AdminSocket:
        """Start ``process`` on held sockets; returns once it serves.

        Raises ProxyFailure with the last lines of its log when it doesn't come up.
        """
        write_atomically(self.folder / process.config, config)
        log = self.folder / f"{process.role}.log"
        spec = ProcessSpec(
            id=process.id,
            argv=(str(self.binary), "-db", "-f", process.config),
            env={"PATH": os.defpath},
            cwd=str(self.folder),
            log=str(log),
            fds=fd_numbers(listening),
            restart=True,
            labels={
                ROLE: process.role,
                GENERATION: str(process.generation),
                SHAPE: process.shape,
                PROGRAM: str(self.binary),
            },
        )
        try:
            await self.keeper.start(spec)
        except KeeperFailure as error:
            raise ProxyFailure(f"can't start {self.binary}: {error}") from error
        try:
            return await self.connect(process, restarts=1)
        except ProxyFailure as error:
            await self.kill(process)
            raise ProxyFailure(f"{self.binary} does not start: {_tail(log)}") from error

    async def connect(self, process: Process, *, restarts: int | None = None) -> AdminSocket:
        """Open the admin socket, waiting for a process that is starting.

        Raises ProxyFailure when it is gone, or was restarted more often than ``restarts``.
        """
        deadline = asyncio.get_running_loop().time() + _START_S
        while True:
            try:
                return await AdminSocket.open(self.admin_path(process))
            except Disconnected:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
                await self._check_alive(process, restarts)
            await asyncio.sleep(_POLL_S)

    async def retire(self, process: Process, at_s: float) -> None:
        """Note that another has taken its place; it is not started again when it ends."""
        try:
            await self.keeper.note(process.id, _RETIRED, str(at_s))
            await self.keeper.retire(process.id)
        except KeeperFailure as error:
            if error.code != "ESRCH":
                raise ProxyFailure(f"can't retire {process.id}: {error}") from error

    async def end(self, process: Process) -> None:
        """End it now, with whatever it still has in hand."""
        await self._signal(process, signal.SIGTERM)

    async def finish(self, process: Process) -> None:
        """Tell it to take nothing new and to end with its last connection."""
        await self._signal(process, signal.SIGUSR1)

    async def _signal(self, process: Process, number: int) -> None:
        try:
            await self.keeper.retire(process.id)
            await self.keeper.signal(process.id, number)
        except KeeperFailure as error:
            if error.code != "ESRCH":  # it has ended already
                raise ProxyFailure(f"can't end {process.id}: {error}") from error

    async def _records(self) -> list[ProcessRecord]:
        try:
            return await self.keeper.list()
        except KeeperFailure as error:
            raise ProxyFailure(f"can't list the proxy's processes: {error}") from error

    async def kill(self, process: Process) -> None:
        try:
            await self.keeper.retire(process.id)
            await self.keeper.signal(process.id, signal.SIGKILL)
            await self.keeper.wait(process.id)
        except KeeperFailure:
            pass  # it never ran, or has ended: that is what was wanted
        await self._forget(process)

    async def _check_alive(self, process: Process, restarts: int | None) -> None:
        for record in await self._records():
            if record.id == process.id and (restarts is None or record.restarts <= restarts):
                return
        raise ProxyFailure(f"{process.id} ends again and again")

    async def _forget(self, process: Process) -> None:
        try:
            await self.keeper.remove(process.id)
        except KeeperFailure:
            return  # not ended yet, or not there
        (self.folder / process.config).unlink(missing_ok=True)
        (self.folder / process.slots).unlink(missing_ok=True)
        self.admin_path(process).unlink(missing_ok=True)


def fd_numbers(listening: Sequence[str]) -> Mapping[str, int]:
    """Which inherited descriptor holds which socket."""
    return {name: _FIRST_FD + index for index, name in enumerate(listening)}


def _told_to_finish(record: ProcessRecord) -> bool:
    return any(number == signal.SIGUSR1 for number, _ in record.signals)


def _is_retired(record: ProcessRecord) -> bool:
    return _RETIRED in record.notes


def _process(record: ProcessRecord) -> Process:
    labels = record.labels
    return Process(record.id, labels[ROLE], int(labels[GENERATION]), labels.get(SHAPE, ""))


def _tail(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    return " / ".join(lines[-_LOG_TAIL_LINES:]) or f"nothing was written to {log}"
