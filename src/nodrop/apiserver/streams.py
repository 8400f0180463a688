"""What the API server streams besides watches: logs, containers and commands beside them."""

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
    """A container, or a command that runs beside one, its input and output connected."""

    async def write(self, data: bytes) -> None:
        """Give it input; waits while it has enough. What nobody reads any more is dropped."""
        ...

    def end_input(self) -> None:
        """The client has no more; a command's input ends, on a terminal as if by Ctrl-D."""
        ...

    async def read(self, stream: OutputStream) -> bytes:
        """The next piece of output; b"" at its end, and at once for what is not connected."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """The terminal has a new size. Without a terminal nothing happens."""
        ...

    async def wait(self) -> int:
        """The exit code, 128 + n after signal n; 0 for a container that was attached to.

        Raises ApiError 500 when it did not start, or is not heard any more.
        """
        ...


class Executor(Protocol):
    """Runs commands in the environment of containers, and connects to containers."""

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
        """Start ``argv``, no shell. Leaving the block before its end kills it and its tree.

        Raises ApiError 500 when whoever runs containers can't be reached.
        """
        ...

    def attach(
        self,
        pod_uid: str,
        container: str,
        restart_count: int,
        *,
        stdin: bool,
        once: bool,
        tty: bool,
    ) -> AbstractAsyncContextManager[Session]:
        """Connect to a container, which goes on when the block is left.

        ``stdin``: it has an input, and the client wants it; with ``once`` that ends with the
        client's. ``tty``: it runs on a terminal. Raises ApiError 500.
        """
        ...
