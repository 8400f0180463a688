"""A command run by the keeper on descriptors of ours: the client's side of a session.

The bytes never pass through the keeper: it gets the ends of pipes, or of a terminal, over its
socket (SCM_RIGHTS). Each session has a connection of its own, so whatever ends this process ends
the command and its tree too.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from nodrop.keeper.client import check_owner
from nodrop.keeper.protocol import KeeperFailure
from nodrop.keeper.wire import MAX_LINE_BYTES, decode, encode


class KeeperSession:
    """A command that runs, or could not be started."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def wait(self) -> int:
        """The exit code, 128 + n after signal n. Raises KeeperFailure when it never ran."""
        line = await self._reader.readline()
        if not line:
            raise KeeperFailure("the keeper hung up", "ECONNRESET")
        answer = decode(line)
        if error := answer.get("error"):
            raise KeeperFailure(_clearer(error["code"], error["message"]), error["code"])
        return int(answer["result"]["code"])


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

    ``env`` is added to the process's own. Leaving the block kills the command and its tree.
    """
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await loop.sock_connect(connection, str(socket_path))
        check_owner(connection, socket_path)
        args = {"id": id, "argv": list(argv), "tty": tty, "env": dict(env)}
        message = encode({"id": 1, "op": "session", "args": args})
        sent = socket.send_fds(connection, [message], fds)
        await loop.sock_sendall(connection, message[sent:])
        reader, writer = await asyncio.open_unix_connection(sock=connection, limit=MAX_LINE_BYTES)
    except BaseException as error:
        connection.close()
        if isinstance(error, OSError):
            why = error.strerror or error
            raise KeeperFailure(f"no keeper answers at {socket_path}: {why}", "EIO") from error
        raise
    try:
        yield KeeperSession(reader)
    finally:
        writer.close()


def _clearer(code: str, message: str) -> str:
    if code != "ENOSYS":
        return message
    return (
        "the keeper was started by an older nodrop, whose keeper runs no command with input and "
        "output of its own; it is the parent of all pods: when they may end, nodrop down and "
        "nodrop up start a newer one"
    )
