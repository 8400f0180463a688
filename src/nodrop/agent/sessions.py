"""Containers and commands beside them with input, output and terminal, as exec and attach need."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from nodrop.agent.launch import container_id
from nodrop.agent.pipes import Input, Outputs, Stream
from nodrop.agent.plan.env import TERMINAL_ENV
from nodrop.keeper.protocol import KeeperFailure
from nodrop.keeper.session import (
    KeeperAttachment,
    KeeperSession,
    open_attachment,
    open_session,
)
from nodrop.model.errors import ApiError

_END_OF_INPUT = b"\x04"


class ProcessSessions:
    """Opens them through the keeper. See apiserver.streams.Containers."""

    def __init__(self, keeper_socket: Path) -> None:
        self._keeper_socket = keeper_socket
        #: By container: the sessions whose clients type into an input that is for once.
        self._typing: defaultdict[str, set[AttachedSession]] = defaultdict(set)

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
        async with AsyncExitStack() as stack:
            ends = _Ends.terminal() if tty else _Ends.pipes()
            try:
                session = await stack.enter_async_context(
                    open_session(
                        self._keeper_socket,
                        container_id(pod_uid, container, restart_count),
                        argv,
                        fds=ends.theirs,
                        tty=tty,
                        env=TERMINAL_ENV if tty else {},
                    )
                )
            except KeeperFailure as failure:
                ends.close_ours()
                raise _not_run(argv, failure) from failure
            finally:
                ends.close_theirs()
            input, outputs = await Input.open(ends.stdin), await Outputs.open(ends.outputs)
            stack.callback(outputs.close)
            stack.callback(input.close)
            opened = ProcessSession(session, argv, input=input, outputs=outputs, tty=tty)
            if not stdin and not tty:
                opened.end_input()  # on a terminal, nobody types
            yield opened

    @asynccontextmanager
    async def attach(
        self,
        pod_uid: str,
        container: str,
        restart_count: int,
        *,
        stdin: bool,
        once: bool,
        tty: bool,
    ) -> AsyncIterator[AttachedSession]:
        async with AsyncExitStack() as stack:
            (out_read, out_write), (err_read, err_write) = os.pipe(), os.pipe()
            outputs = await Outputs.open({"stdout": out_read, "stderr": err_read})
            stack.callback(outputs.close)
            try:
                attachment = await stack.enter_async_context(
                    open_attachment(
                        self._keeper_socket,
                        container_id(pod_uid, container, restart_count),
                        outputs=(out_write, err_write),
                        stdin=stdin,
                        tty=tty,
                    )
                )
            except KeeperFailure as failure:
                raise _not_attached(container, failure) from failure
            finally:
                os.close(out_write)
                os.close(err_write)
            input = None
            if attachment.input is not None:
                input = await Input.open(attachment.input)
                stack.callback(input.close)
            id = container_id(pod_uid, container, restart_count)
            sharing = self._typing[id] if input is not None and once and not tty else None
            session = AttachedSession(
                attachment, container, input=input, outputs=outputs, tty=tty, sharing=sharing
            )
            try:
                yield session
            finally:
                session.end_shared_input()
                if not self._typing[id]:
                    del self._typing[id]


class ProcessSession:
    """Our ends of one command."""

    def __init__(
        self,
        session: KeeperSession,
        argv: Sequence[str],
        *,
        input: Input,
        outputs: Outputs,
        tty: bool,
    ) -> None:
        self._session = session
        self._argv = argv
        self._input = input
        self._outputs = outputs
        self._tty = tty

    async def write(self, data: bytes) -> None:
        await self._input.write(data)

    def end_input(self) -> None:
        if self._tty:
            self._input.type(_END_OF_INPUT)
        else:
            self._input.end()

    async def read(self, stream: Stream) -> bytes:
        return await self._outputs.read(stream)

    def resize(self, columns: int, rows: int) -> None:
        if self._tty:
            self._input.resize(columns, rows)

    async def wait(self) -> int:
        try:
            return await self._session.wait()
        except KeeperFailure as failure:
            raise _not_run(self._argv, failure) from failure


class AttachedSession:
    """Our ends of a container's input and output, which others may share."""

    def __init__(
        self,
        attachment: KeeperAttachment,
        container: str,
        *,
        input: Input | None,
        outputs: Outputs,
        tty: bool,
        sharing: set[AttachedSession] | None,
    ) -> None:
        """``sharing``: all whose clients type into an input that ends with the first of them."""
        self._attachment = attachment
        self._container = container
        self._input = input
        self._outputs = outputs
        self._tty = tty
        self._sharing = sharing
        if sharing is not None:
            sharing.add(self)

    async def write(self, data: bytes) -> None:
        if self._input is not None:
            await self._input.write(data)

    def end_input(self) -> None:
        """The container's input ends, and it is heard to its end; or else the client leaves.

        As upstream: a terminal, or an input that stays open for others, has no such end.
        """
        if self._input is None:
            return
        if self._sharing is not None:
            self.end_shared_input()
            self._attachment.end_input()
        else:
            self._attachment.leave()

    def end_shared_input(self) -> None:
        """Each client has an end of the pipe, and its reader finds no end while one is open."""
        for session in self._sharing or ():
            assert session._input is not None, "it is shared by those who type"
            session._input.end()
        if self._sharing is not None:
            self._sharing.clear()

    async def read(self, stream: Stream) -> bytes:
        return await self._outputs.read(stream)

    def resize(self, columns: int, rows: int) -> None:
        if self._tty and self._input is not None:
            self._input.resize(columns, rows)

    async def wait(self) -> int:
        """0 at the end: an attached client asks the pod for its exit code."""
        try:
            await self._attachment.wait()
        except KeeperFailure as failure:
            raise _not_attached(self._container, failure) from failure
        return 0


class _Ends:
    """The descriptors of one command: ours, and those that it gets."""

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


def _not_run(argv: Sequence[str], failure: KeeperFailure) -> ApiError:
    """Upstream's words, with the keeper's reason."""
    shown = argv[0] if argv else ""
    message = f'error executing command in container: failed to start exec "{shown}": {failure}'
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")


def _not_attached(container: str, failure: KeeperFailure) -> ApiError:
    message = f'error attaching to container "{container}": {failure}'
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
