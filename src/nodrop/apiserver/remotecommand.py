"""exec and attach: a session's input and output over whatever the client speaks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from nodrop.apiserver.streams import OutputStream, Session
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj


@dataclass(frozen=True, slots=True)
class Input:
    """Bytes for standard input."""

    data: bytes


@dataclass(frozen=True, slots=True)
class EndOfInput:
    """The client has no more input."""


@dataclass(frozen=True, slots=True)
class Resize:
    """The client's terminal has a new size, in characters."""

    columns: int
    rows: int


ClientEvent: TypeAlias = Input | EndOfInput | Resize


class CommandClient(Protocol):
    """The client of one command, however it is connected."""

    async def feed(self, session: Session) -> None:
        """Give the session what the client sends, for as long as it can send more.

        Raises ConnectionError when the client has gone.
        """
        ...

    async def send(self, stream: OutputStream, data: bytes) -> None:
        """Raises ConnectionError when it has gone."""
        ...

    async def finish(self, status: Obj) -> None:
        """How the command ended: a Status."""
        ...


class ClientGone(ConnectionError):
    """The client has hung up, so its command has to end."""


async def serve_command(
    session: Session, client: CommandClient, outputs: Iterable[OutputStream]
) -> None:
    """Carry bytes until the command has ended and all of its output is sent.

    Returns early when the client has gone; whoever opened the session ends the command.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(client.feed(session))
            copies = [tasks.create_task(_copy(session, client, stream)) for stream in outputs]
            status = await _status_of(session)
            for copy in copies:
                await copy
            feeding.cancel()
            await client.finish(status)
    except* ConnectionError:
        pass


def exit_status(code: int) -> Obj:
    """The Status of a command that ended with ``code``, as clients read exit codes from it."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    said = f"command terminated with non-zero exit code: exit status {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": said,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


async def apply(session: Session, event: ClientEvent) -> None:
    """Do to the session what the client asked for; waits while it has enough input."""
    match event:
        case Input(data):
            await session.write(data)
        case EndOfInput():
            session.end_input()
        case Resize(columns, rows):
            session.resize(columns, rows)


# Private


async def _status_of(session: Session) -> Obj:
    try:
        return exit_status(await session.wait())
    except ApiError as error:
        return error.to_status()


async def _copy(session: Session, client: CommandClient, stream: OutputStream) -> None:
    while data := await session.read(stream):
        await client.send(stream, data)
