"""What the keeper promises; ``client.py`` implements it over the keeper's unix socket."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class KeeperFailure(Exception):
    """The keeper refused or could not be reached; ``code`` is an errno name or a short word."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class BindMount(NamedTuple):
    """A file or folder that one process finds at ``target`` too, whether that exists or not."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process for the keeper to start and to be the parent of.

    ``fds`` maps the names of held sockets to the file descriptor numbers that the process finds
    them at. ``bind_ip`` set: binds of a wildcard address land on this address (seccomp user
    notification). ``restart`` True: started again at once, as it was, whenever it ends unasked.
    ``log`` is a file that gets ``<RFC 3339 time> stdout|stderr F|P <line>`` lines; at 10 MiB it
    moves to ``<log>.1`` (… ``.4``). ``env`` is the whole environment of the process. ``id`` is a
    file name: letters, digits and ``._-:@``, at most 200. When the process ends, all that
    descends from it is killed. ``mounts`` give it a mount namespace (see keeper/mounts.py).
    ``stdin``: its standard input is a pipe that stays open, else it reads its end at once; with
    ``stdin_once`` it ends with the first client that was attached to it. ``tty``: input and output
    are a terminal. Keepers of before know none of the three and give an empty input.
    """

    id: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    log: str | None = None
    bind_ip: str | None = None
    fds: Mapping[str, int] = field(default_factory=dict)
    restart: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    mounts: Sequence[BindMount] = ()
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRecord:
    """A process as the keeper knows it. Times are seconds since the epoch.

    ``exit_code`` is None while it runs, 128 + n when signal n ended it. ``signals`` lists what
    was sent through the keeper: (signal number, time). ``bind_redirect`` tells whether wildcard
    binds are moved; when asked for and False, ``bind_error`` says why the kernel refused.
    """

    id: str
    pid: int
    start_ticks: int
    started_at: float
    exit_code: int | None
    exited_at: float | None
    known: bool
    labels: Mapping[str, str]
    notes: Mapping[str, str]
    signals: Sequence[tuple[int, float]]
    bind_redirect: bool
    bind_error: str
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperInfo:
    pid: int
    protocol: int
    boot_id: str
    network: int
    """Second octet of the 127.x.0.0/16 that this keeper holds against other engines."""


class Keeper(Protocol):
    """Parent of processes, holder of listening sockets and of the engine's loopback network."""

    async def info(self) -> KeeperInfo: ...

    async def listen(self, name: str, host: str, port: int) -> int:
        """Bind and listen under ``name``, held until ``unlisten``; returns the port.

        Asking again for a name with the same host and port (or port 0) returns what is held.
        Raises KeeperFailure with code EADDRINUSE, EACCES, EADDRNOTAVAIL …
        """
        ...

    async def unlisten(self, name: str) -> None: ...

    async def listening(self) -> Mapping[str, tuple[str, int]]:
        """The held sockets: name → (host, port)."""
        ...

    async def start(self, spec: ProcessSpec) -> ProcessRecord:
        """Start, or return the record of the process with this id if it was started already.

        Raises KeeperFailure (code = errno name) when it can't be executed; no record is left.
        """
        ...

    async def wait(self, id: str) -> ProcessRecord:
        """Return once it has ended. An unknown id gives KeeperFailure with code ESRCH."""
        ...

    async def signal(self, id: str, number: int, *, tree: bool = False) -> None:
        """Signal the main process, or with ``tree`` everything that descends from it."""
        ...

    async def retire(self, id: str) -> None:
        """Do not restart this process any more (``restart`` becomes False)."""
        ...

    async def exec(
        self, id: str, argv: Sequence[str], *, timeout_s: float | None
    ) -> tuple[int, bytes]:
        """Run beside process ``id`` (its environment, folder, bind address); (code, output).

        Output is stdout and stderr, the first 10 KiB. Code ETIMEDOUT after ``timeout_s``: the
        command's tree has been killed. Cancelling the call, or losing the client, kills it too.
        """
        ...

    async def note(self, id: str, key: str, value: str) -> None: ...

    async def list(self) -> list[ProcessRecord]: ...

    async def remove(self, id: str) -> None:
        """Forget an ended process; its files of record go, its log stays."""
        ...

    async def shutdown(self) -> None:
        """End every process (SIGTERM, soon SIGKILL to what is left), release sockets, exit."""
        ...
