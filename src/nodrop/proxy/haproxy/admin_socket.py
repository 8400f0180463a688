"""HAProxy's runtime API over its admin socket: one persistent connection, pipelined."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path

from nodrop.proxy.protocol import ProxyFailure

_PROMPT = b"\n> "
#: In prompt mode a ``+ `` is printed for every line of a payload.
_PAYLOAD_ECHO = re.compile(r"^(?:\+ )+")
#: A command with its payload must fit HAProxy's buffer of 16384 bytes.
PAYLOAD_BYTES = 12_000
_LONGEST_ANSWER_BYTES = 64 * 1024 * 1024
_DONE = (
    "New server registered",
    "Server deleted",
    "New version created",
    "New empty certificate store",
    "Transaction created",
    "New CA file created",
    "transaction created for CA",
    "Entry '",  # … deleted in crtlist
    "Certificate '",  # … deleted
)
#: Of these the last word counts.
_SUCCEEDED = re.compile(r"(?:Committing|Inserting) .*Success!", re.DOTALL)


class Disconnected(ProxyFailure):
    """The connection broke: the process ended, or was replaced by a new one."""


def chunk_lines(lines: Iterable[str], limit_bytes: int = PAYLOAD_BYTES) -> list[list[str]]:
    """Split lines into groups of at most ``limit_bytes`` each, newlines included."""
    chunks: list[list[str]] = []
    room = 0
    for line in lines:
        size = len(line.encode()) + 1
        if size > room:
            chunks.append([])
            room = limit_bytes
        chunks[-1].append(line)
        room -= size
    return chunks


def is_one_command(text: str) -> bool:
    """Whether HAProxy reads ``text`` as one command, its payload included.

    A line end or ``;`` ends a command; a payload follows ``<<`` and ends with an empty line.
    """
    first, _, payload = text.partition("\n")
    if ";" in first or not first.isprintable():
        return False
    if not payload:
        return "\n" not in text
    lines = payload.split("\n")
    return (
        first.endswith(" <<")
        and lines[-1] == ""
        and all(map(str.isprintable, lines))
        and (all(lines[:-1]) and len(lines) > 1)
    )


class _Reader(asyncio.StreamReader):
    """Tells at once when nothing more will come, also while nobody reads."""

    at_end: Callable[[], None] | None = None

    def feed_eof(self) -> None:
        super().feed_eof()
        if self.at_end is not None:
            self.at_end()


class AdminSocket:
    """One connection to one HAProxy process. Once broken it stays so: open another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self.broken = False
        #: Called when the process ends or hangs up, not when we do.
        self.on_lost: Callable[[], None] | None = None

    @staticmethod
    async def open(path: Path) -> AdminSocket:
        """Connect and switch to prompt mode. Raises Disconnected when nobody listens."""
        try:
            loop = asyncio.get_running_loop()
            reader = _Reader(limit=_LONGEST_ANSWER_BYTES, loop=loop)
            transport, protocol = await loop.create_unix_connection(
                lambda: asyncio.StreamReaderProtocol(reader, loop=loop), str(path)
            )
            writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        except OSError as error:
            raise Disconnected(f"can't reach HAProxy at {path}: {error}") from error
        opened = AdminSocket(reader, writer)
        reader.at_end = opened._lost
        await opened.ask("prompt")
        return opened

    async def close(self) -> None:
        self._break()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass  # the other side was quicker

    async def ask(self, command: str) -> str:
        """The answer to a query. Raises ProxyFailure when HAProxy doesn't know the command."""
        (answer,) = await self._exchange([command])
        if answer.startswith(("Unknown command", "Permission denied")):
            raise ProxyFailure(f"HAProxy refused `{command}`: {answer.splitlines()[0]}")
        return answer

    async def execute(self, commands: Sequence[str]) -> list[str]:
        """Carry out changes, all sent at once; returns when every one was answered.

        Raises ProxyFailure with the first command that failed and HAProxy's answer; the others
        were carried out all the same.
        """
        answers = await self._exchange(commands)
        for command, answer in zip(commands, answers, strict=True):
            if not _is_done(answer):
                raise ProxyFailure(f"HAProxy refused `{command.splitlines()[0]}`: {answer}")
        return answers

    async def attempt(self, commands: Sequence[str]) -> list[bool]:
        """Like ``execute``, but tells for each command whether it was carried out."""
        answers = await self._exchange(commands)
        return [_is_done(answer) for answer in answers]

    async def replace_map(self, name: str, entries: Mapping[str, str]) -> None:
        """Swap a whole map at once: lookups see either the old or the new one."""
        (created,) = await self.execute([f"prepare map {name}"])
        version = created.rpartition(":")[2].strip()
        lines = [f"{key} {value}" for key, value in sorted(entries.items())]
        loads = [
            f"add map @{version} {name} <<\n" + "\n".join(chunk) + "\n"
            for chunk in chunk_lines(lines)
        ]
        await self.execute([*loads, f"commit map @{version} {name}"])

    async def replace_maps(
        self, maps: Iterable[tuple[str, dict[str, str]]], served: dict[str, dict[str, str]]
    ) -> None:
        """Swap maps one after another; ``served`` is kept in step."""
        for name, entries in maps:
            await self.replace_map(name, entries)
            served[name] = entries

    async def _exchange(self, commands: Sequence[str]) -> list[str]:
        if not commands:
            return []
        for command in commands:
            if not is_one_command(command):
                first = command.partition("\n")[0]  # never a payload: it may hold a key
                raise ProxyFailure(f"not told to HAProxy, it is more than one command: {first!r}")
        async with self._turn:
            if self.broken:
                first = _first_line(commands)
                raise Disconnected(f"the connection to HAProxy broke before `{first}`")
            try:
                self._writer.write("".join(command + "\n" for command in commands).encode())
                await self._writer.drain()
                return [await self._answer() for _ in commands]
            except (OSError, asyncio.IncompleteReadError) as error:
                self._break()
                first = _first_line(commands)
                raise Disconnected(f"HAProxy went away during `{first}`") from error
            except BaseException:
                self._break()  # cancelled half-way: answers would be taken for others' ones
                raise

    async def _answer(self) -> str:
        raw = await self._reader.readuntil(_PROMPT)
        text = raw[: -len(_PROMPT)].decode(errors="replace")
        return _PAYLOAD_ECHO.sub("", text).strip()

    def _lost(self) -> None:
        if not self.broken and self.on_lost is not None:
            self.on_lost()

    def _break(self) -> None:
        self.broken = True
        self._writer.close()


async def refusal_of(work: Awaitable[object]) -> ProxyFailure | None:
    """What HAProxy has refused of ``work``, if anything. Raises Disconnected."""
    try:
        await work
    except Disconnected:
        raise
    except ProxyFailure as error:
        return error
    return None


def _is_done(answer: str) -> bool:
    return not answer or answer.startswith(_DONE) or bool(_SUCCEEDED.fullmatch(answer))


def _first_line(commands: Sequence[str]) -> str:
    """A command to show: its payload may hold a key."""
    return commands[0].partition("\n")[0]
