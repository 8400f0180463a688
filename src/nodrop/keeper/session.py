"""Input and output of containers and of commands beside them: the client's side.

A session is a command on descriptors of ours: its bytes never pass through the keeper, which gets
the ends of pipes, or of a terminal, over its socket (SCM_RIGHTS). To attach is to share what the
container has: the keeper copies its output to pipes of ours and hands out its end of the input.
Each has a connection of its own, so whatever ends this process ends the command and its tree, and
detaches from the container.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from nodrop.keeper.client import check_owner
from nodrop.keeper.protocol import KeeperFailure
from nodrop.keeper.wire import MAX_LINE_BYTES, decode, encode


class KeeperSession:
    """A command that runs, or could not be started."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def wait(self) -> int:
        """The exit code, 128 + n after signal n. Raises KeeperFailure when it never ran."""
        answer = _result(await self._reader.readline())
        return int(answer["code"])


class KeeperAttachment:
    """A container that is attached to.

    ``input`` is the descriptor that was handed out, if any: whoever opened this closes it.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, id: str, input: int | None
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._id = id
        self.input = input

    async def wait(self) -> None:
        """Return when the container has ended, or after ``leave``.

        Raises KeeperFailure when the keeper took us off.
        """
        line = await self._reader.readline()
        while line and decode(line)["id"] != _ATTACH:
            line = await self._reader.readline()
        _result(line)

    def end_input(self) -> None:
        """No more of it comes from us: with stdin_once that is its end."""
        self._writer.write(_request(_END_INPUT, "end_input", id=self._id))

    def leave(self) -> None:
        """Hear no more: the outputs end behind what was said before."""
        self._writer.write(_request(_LEAVE, "cancel", request=_ATTACH))


_INPUT, _ATTACH, _ATTACHED, _END_INPUT, _LEAVE = range(1, 6)
_ANSWER_BYTES = 64 * 1024


@asynccontextmanager
async def open_session(
    socket_path: Path,
    id: str,
    argv: Sequence[str],
    *,
    fds: tuple[int, int, int],
    tty: bool,
    env: Mapping[str, str],
) -> AsyncIterator[KeeperSession]:
    """Run ``argv`` beside process ``id`` on ``fds``, which stay ours to close.

    ``env`` is added to the process's own. Leaving the block before the command has ended kills it
    and its tree.
    """
    message = _request(1, "session", id=id, argv=list(argv), tty=tty, env=dict(env))
    async with _connected(socket_path) as connection:
        await _send(connection, message, fds)
        async with _streams(connection) as (reader, _writer):
            yield KeeperSession(reader)


@asynccontextmanager
async def open_attachment(
    socket_path: Path, id: str, *, outputs: tuple[int, int], stdin: bool, tty: bool
) -> AsyncIterator[KeeperAttachment]:
    """Attach to process ``id``: what it says comes out of ``outputs``, ours to close.

    With ``stdin`` or ``tty`` there is a descriptor to write to, or to set the terminal's size of;
    the caller closes it. Everything that is said from here on is heard. Raises KeeperFailure when
    there is nothing to attach to. Leaving the block detaches.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(_connected(socket_path))
        input: int | None = None
        with ExitStack() as unless_taken:
            if stdin or tty:
                await _send(connection, _request(_INPUT, "input", id=id), ())
                input = await _receive_fd(connection)
                unless_taken.callback(os.close, input)
            attach = _request(_ATTACH, "attach", id=id, stdin=stdin)
            await _send(connection, attach + _request(_ATTACHED, "info"), outputs)
            reader, writer = await stack.enter_async_context(_streams(connection))
            _result(await reader.readline())  # to attach is answered before only if refused
            unless_taken.pop_all()
        yield KeeperAttachment(reader, writer, id, input)


# Private


@asynccontextmanager
async def _connected(socket_path: Path) -> AsyncIterator[socket.socket]:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, str(socket_path))
            check_owner(connection, socket_path)
        except OSError as error:
            why = error.strerror or error
            raise KeeperFailure(f"no keeper answers at {socket_path}: {why}", "EIO") from error
        yield connection


@asynccontextmanager
async def _streams(
    connection: socket.socket,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    mine = connection.dup()  # closed by its transport, when that is ready to
    reader, writer = await asyncio.open_unix_connection(sock=mine, limit=MAX_LINE_BYTES)
    try:
        yield reader, writer
    finally:
        writer.close()


def _request(number: int, op: str, **args: object) -> bytes:
    return encode({"id": number, "op": op, "args": args})


async def _send(connection: socket.socket, message: bytes, fds: Sequence[int]) -> None:
    try:
        sent = socket.send_fds(connection, [message], fds)
        await asyncio.get_running_loop().sock_sendall(connection, message[sent:])
    except OSError as error:
        raise KeeperFailure(f"the keeper hung up: {error.strerror or error}", "EIO") from error


async def _receive_fd(connection: socket.socket) -> int:
    """The answer to a request for a descriptor, which comes in one piece."""
    await _readable(connection)
    line, fds, _flags, _address = socket.recv_fds(connection, _ANSWER_BYTES, 1)
    if not fds:
        _result(line)
        raise KeeperFailure("the keeper handed no descriptor over", "EPROTO")
    os.set_inheritable(fds[0], False)
    return fds[0]


async def _readable(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    come = asyncio.Event()
    loop.add_reader(connection, come.set)
    try:
        await come.wait()
    finally:
        loop.remove_reader(connection)


def _result(line: bytes) -> Any:
    """What a line answers. Raises KeeperFailure when it is a refusal, or the end."""
    if not line:
        raise KeeperFailure("the keeper hung up", "ECONNRESET")
    answer = decode(line)
    if error := answer.get("error"):
        raise KeeperFailure(_clearer(error["code"], error["message"]), error["code"])
    return answer.get("result")


def _clearer(code: str, message: str) -> str:
    if code != "ENOSYS":
        return message
    return (
        "the keeper was started by an older nodrop, whose keeper knows no input and output of this "
        "kind; it is the parent of all pods: when they may end, nodrop down and nodrop up start a "
        "newer one"
    )
