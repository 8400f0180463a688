"""Attaching to containers that have an input, through the real keeper."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from nodrop.agent.sessions import AttachedSession, ProcessSessions
from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import ProcessSpec
from nodrop.model.errors import ApiError

WITHIN_S = 60


class Box:
    """A keeper, and containers of one pod in it."""

    def __init__(self, keeper: KeeperClient, folder: Path) -> None:
        self.keeper = keeper
        self._sessions = ProcessSessions(keeper.socket_path)
        self.folder = folder
        self._once = self._tty = False

    async def start(
        self, *argv: str, stdin: bool = False, stdin_once: bool = False, tty: bool = False
    ) -> None:
        self._once, self._tty = stdin_once, tty
        await self.keeper.start(
            ProcessSpec(
                id="pod_a_0",
                argv=argv,
                env={"PATH": os.defpath},
                cwd=str(self.folder),
                log=str(self.folder / "log"),
                stdin=stdin,
                stdin_once=stdin_once,
                tty=tty,
            )
        )

    def attach(self, *, stdin: bool = True) -> AbstractAsyncContextManager[AttachedSession]:
        return self._sessions.attach("pod", "a", 0, stdin=stdin, once=self._once, tty=self._tty)

    async def ended(self) -> int | None:
        async with asyncio.timeout(WITHIN_S):
            return (await self.keeper.wait("pod_a_0")).exit_code

    async def runs(self) -> bool:
        return (await self.keeper.list())[0].exit_code is None

    @property
    def log(self) -> str:
        return (self.folder / "log").read_bytes().decode()


@pytest.fixture
def box(keeper: KeeperClient, tmp_path: Path) -> Box:
    return Box(keeper, tmp_path)


async def until(session: AttachedSession, text: bytes) -> bytes:
    found = b""
    async with asyncio.timeout(WITHIN_S):
        while text not in found:
            piece = await session.read("stdout")
            assert piece, found
            found += piece
    return found


async def rest(session: AttachedSession) -> bytes:
    found = b""
    async with asyncio.timeout(WITHIN_S):
        while piece := await session.read("stdout"):
            found += piece
    return found


async def test_what_is_typed_arrives_and_what_is_said_comes_at_once(box: Box) -> None:
    await box.start("cat", stdin=True)
    async with box.attach() as one, box.attach(stdin=False) as two:
        await one.write(b"half a li")
        assert await until(one, b"half a li") == b"half a li"  # no newline was needed
        assert await until(two, b"half a li") == b"half a li"
        await one.write(b"ne\n")
        await until(one, b"ne\n")
    assert await box.runs()
    assert box.log.endswith(" stdout F half a line\n")


async def test_an_input_that_is_not_for_once_goes_on_with_the_next_client(box: Box) -> None:
    await box.start("cat", stdin=True)
    for text in (b"one", b"two"):
        async with box.attach() as session:
            await session.write(text)
            await until(session, text)
            session.end_input()  # which is not that of the container
            assert await session.wait() == 0
            assert await rest(session) == b""
    assert await box.runs()


async def test_stdin_once_ends_with_its_client_and_the_output_is_heard_to_its_end(box: Box) -> None:
    await box.start("sh", "-c", "cat; echo over; exit 3", stdin=True, stdin_once=True)
    content = os.urandom(1 << 20)
    async with box.attach() as session:

        async def send() -> None:
            await session.write(content)
            session.end_input()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            assert await rest(session) == content + b"over\n"
        assert await session.wait() == 0
    assert await box.ended() == 3


@pytest.mark.parametrize("lost", [True, False])
async def test_stdin_once_ends_with_the_first_of_its_clients(box: Box, lost: bool) -> None:
    await box.start("cat", stdin=True, stdin_once=True)
    async with box.attach() as other, AsyncExitStack() as first:
        session = await first.enter_async_context(box.attach())
        await session.write(b"first")
        await until(other, b"first")
        if lost:
            await first.aclose()
        else:
            session.end_input()
        await other.write(b"into nothing")
        assert await box.ended() == 0
        assert await rest(other) == b""


async def test_a_lost_client_ends_stdin_once(box: Box) -> None:
    await box.start("cat", stdin=True, stdin_once=True)
    async with box.attach(stdin=False):
        pass
    assert await box.runs()
    async with box.attach():
        pass
    assert await box.ended() == 0


async def test_a_terminal_has_a_size_and_outlives_its_clients(box: Box) -> None:
    await box.start("sh", stdin=True, stdin_once=True, tty=True)
    async with box.attach() as session:
        session.resize(77, 33)
        await session.write(b"tty; stty size; ls /none; echo over-$((1+1))\r")
        found = await until(session, b"over-2")
        assert b"/dev/pts/" in found
        assert b"33 77" in found
        assert b"/none" in found
    async with box.attach() as session:
        await session.write(b"echo again-$((1+1)); exit 5\r")
        assert b"again-2" in await rest(session)
        assert await session.wait() == 0
    assert await box.ended() == 5
    assert " stdout F over-2\r\n" in box.log


async def test_a_container_without_input_reads_its_end_and_can_be_heard(box: Box) -> None:
    await box.start("sh", "-c", "cat; until [ -e go ]; do sleep 0.05; done; echo hello; exit 1")
    async with box.attach(stdin=False) as session:
        (box.folder / "go").touch()
        assert await rest(session) == b"hello\n"
        assert await session.wait() == 0
    with pytest.raises(ApiError, match="does not run"):
        async with box.attach(stdin=False):
            pass


async def test_a_restart_of_the_engine_leaves_the_input_open(box: Box) -> None:
    """The keeper holds it, not whoever started the container."""
    await box.start("cat", stdin=True)
    box.keeper.close()
    async with box.attach() as session:
        await session.write(b"there?")
        await until(session, b"there?")


@pytest.mark.parametrize("stdin", [True, False])
async def test_an_older_keeper_is_told_from_a_failure(tmp_path: Path, stdin: bool) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = json.loads(await reader.readline())
        error = {"code": "ENOSYS", "message": f"this keeper knows no {request['op']!r}"}
        writer.write(json.dumps({"id": request["id"], "error": error}).encode() + b"\n")
        writer.close()

    path = tmp_path / "keeper"
    sessions = ProcessSessions(path)
    async with await asyncio.start_unix_server(refuse, path):
        with pytest.raises(ApiError, match="started by an older nodrop"):
            async with sessions.attach("p", "a", 0, stdin=stdin, once=False, tty=False):
                pass
