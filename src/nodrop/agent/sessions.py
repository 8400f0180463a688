"""Commands beside containers with input, output and a terminal of their own, as exec needs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from nodrop.keeper.protocol import KeeperFailure
from nodrop.keeper.session import KeeperSession, open_session
from nodrop.model.errors import ApiError

_READ_BYTES = 64 * 1024
_END_OF_INPUT = b"\x04"
_TERMINAL_ENV = {"TERM": "xterm"}  # what container runtimes give to commands on a terminal

Stream = Literal["stdout", "stderr"]


class ProcessSessions:
    """Runs them through the keeper, in the environment of the container's own process."""

    def __init__(self, keeper_socket: Path) -> None:
        self._keeper_socket = keeper_socket

    @asynccontextmanager
    async def exec(
        self,
        pod_uid: str,
        container: str,
        restart_count: int,
        argv: Sequence[str],
        *,
        stdin: bool,
        tty: bool,
    ) -> AsyncIterator[ProcessSession]:
        """See apiserver.streams.Executor."""
        async with AsyncExitStack() as stack:
            ends = _Ends.terminal() if tty else _Ends.pipes()
            try:
                session = await stack.enter_async_context(
                    open_session(
                        self._keeper_socket,
                        f"{pod_uid}_{container}_{restart_count}",
                        argv,
                        fds=ends.theirs,
                        tty=tty,
                        env=_TERMINAL_ENV if tty else {},
                    )
                )
            except KeeperFailure as failure:
                ends.close_ours()
                raise _not_run(argv, failure) from failure
            finally:
                ends.close_theirs()
            opened = await ProcessSession.connect(session, ends, argv, tty=tty)
            stack.callback(opened.close)
            if not stdin:
                opened.no_input()
            yield opened


class ProcessSession:
    """Our ends of one command."""

    def __init__(
        self,
        session: KeeperSession,
        *,
        argv: Sequence[str],
        writer: asyncio.StreamWriter,
        input: _Input,
        readers: dict[Stream, asyncio.StreamReader],
        transports: Sequence[asyncio.BaseTransport],
        terminal: int | None,
    ) -> None:
        self._session = session
        self._argv = argv
        self._writer = writer
        self._input = input
        self._readers = readers
        self._transports = transports
        self._terminal = terminal

    @staticmethod
    async def connect(
        session: KeeperSession, ends: _Ends, argv: Sequence[str], *, tty: bool
    ) -> ProcessSession:
        writer, input = await _writer(ends.stdin)
        transports: list[asyncio.BaseTransport] = []
        readers: dict[Stream, asyncio.StreamReader] = {}
        for name, fd in ends.outputs.items():
            readers[name], transport = await _reader(fd)
            transports.append(transport)
        terminal = ends.stdin if tty else None
        return ProcessSession(
            session,
            argv=argv,
            writer=writer,
            input=input,
            readers=readers,
            transports=transports,
            terminal=terminal,
        )

    async def write(self, data: bytes) -> None:
        if self._writer.is_closing():
            return
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    def end_input(self) -> None:
        if self._writer.is_closing():
            return
        if self._terminal is None:
            self._writer.close()
        else:
            self._writer.write(_END_OF_INPUT)

    def no_input(self) -> None:
        """A command without input reads its end at once; on a terminal nobody types."""
        if self._terminal is None:
            self._writer.close()

    async def read(self, stream: Stream) -> bytes:
        reader = self._readers.get(stream)
        if reader is None:
            return b""
        return await reader.read(_READ_BYTES)

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None and not self._writer.is_closing():
            size = struct.pack("HHHH", rows, columns, 0, 0)
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    async def wait(self) -> int:
        try:
            return await self._session.wait()
        except KeeperFailure as failure:
            raise _not_run(self._argv, failure) from failure

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        if not self._input.lost.is_set():  # else what is unsent would keep the pipe open
            self._writer.transport.abort()


class _Ends:
    """The descriptors of one session: ours, and those that the command gets."""

    def __init__(
        self, stdin: int, outputs: dict[Stream, int], theirs: tuple[int, int, int]
    ) -> None:
        self.stdin = stdin
        self.outputs = outputs
        self.theirs = theirs

    @staticmethod
    def pipes() -> _Ends:
        (in_read, in_write), (out_read, out_write), (err_read, err_write) = (
            os.pipe() for _ in range(3)
        )
        outputs: dict[Stream, int] = {"stdout": out_read, "stderr": err_read}
        return _Ends(in_write, outputs, (in_read, out_write, err_write))

    @staticmethod
    def terminal() -> _Ends:
        ours, theirs = os.openpty()
        # asyncio wants one descriptor for each direction.
        return _Ends(os.dup(ours), {"stdout": ours}, (theirs, theirs, theirs))

    def close_theirs(self) -> None:
        for fd in set(self.theirs):
            os.close(fd)

    def close_ours(self) -> None:
        for fd in (self.stdin, *self.outputs.values()):
            os.close(fd)


class _ToTheEnd(asyncio.StreamReaderProtocol):
    """A terminal that its command has left gives EIO: that is the end of what it said."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)


async def _reader(fd: int) -> tuple[asyncio.StreamReader, asyncio.BaseTransport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_READ_BYTES)
    transport, _ = await loop.connect_read_pipe(
        lambda: _ToTheEnd(reader), os.fdopen(fd, "rb", buffering=0)
    )
    return reader, transport


class _Input(asyncio.StreamReaderProtocol):
    """Lets a writer wait for room, and knows when the pipe is gone."""

    def __init__(self) -> None:
        super().__init__(asyncio.StreamReader())
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        super().connection_lost(exc)


async def _writer(fd: int) -> tuple[asyncio.StreamWriter, _Input]:
    loop = asyncio.get_running_loop()
    transport, input = await loop.connect_write_pipe(_Input, os.fdopen(fd, "wb", buffering=0))
    return asyncio.StreamWriter(transport, input, None, loop), input


def _not_run(argv: Sequence[str], failure: KeeperFailure) -> ApiError:
    """Upstream's words, with the keeper's reason."""
    shown = argv[0] if argv else ""
    message = f'error executing command in container: failed to start exec "{shown}": {failure}'
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
