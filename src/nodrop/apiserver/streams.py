"""What the API server streams besides watches: logs, and commands that run beside containers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from nodrop.model.meta import Obj

OutputStream: TypeAlias = Literal["stdout", "stderr"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """corev1.PodLogOptions; None = not asked for."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_s: int | None = None
    since_time: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None
    stream: OutputStream | None = None


class LogSource(Protocol):
    """Gives the log of one container as a client sees it."""

    def open(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of log text.

        Raises ApiError 400 at once (not at the first step) when there is no such log. With
        ``follow`` it ends when the container has ended and all of its log has been given.
        """
        ...


class Session(Protocol):
    """A command that runs beside a container, its input and output connected."""

    async def write(self, data: bytes) -> None:
        """Give it input; waits while it has enough. What nobody reads any more is dropped."""
        ...

    def end_input(self) -> None:
        """Its standard input ends here; on a terminal, as if Ctrl-D was pressed."""
        ...

    async def read(self, stream: OutputStream) -> bytes:
        """The next piece of output; b"" at its end, and at once for what is not connected."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has a new size. Without a terminal nothing happens."""
        ...

    async def wait(self) -> int:
        """The exit code, 128 + n after signal n. Raises ApiError 500 when it did not start."""
        ...


class Executor(Protocol):
    """Runs commands in the environment of containers."""

    def exec(
        self,
        pod_uid: str,
        container: str,
        restart_count: int,
        argv: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
    ) -> AbstractAsyncContextManager[Session]:
        """Start ``argv``, no shell. Leaving the block kills it and all that descends from it.

        Raises ApiError 500 when whoever runs containers can't be reached.
        """
        ...
