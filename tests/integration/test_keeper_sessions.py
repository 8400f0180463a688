"""Sessions of the keeper: commands on a client's own descriptors, which end with the client."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import KeeperFailure, ProcessSpec
from nodrop.keeper.session import KeeperSession, open_session
from nodrop.statedir import StateDir
from tests.processes import until_gone


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[KeeperClient]:
    """A keeper with one process, ``web``."""
    state = StateDir(tmp_path)
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    env = {"PATH": os.defpath, "COLOUR": "blue"}
    argv = ("sleep", "600")
    spec = ProcessSpec(id="web", argv=argv, env=env, cwd=str(tmp_path), bind_ip="127.9.8.5")
    await client.start(spec)
    yield client
    await client.shutdown(grace_s=0.2)


@asynccontextmanager
async def session(
    keeper: KeeperClient, *argv: str, id: str = "web"
) -> AsyncIterator[tuple[KeeperSession, int]]:
    """A command without input; and the descriptor that its output comes from."""
    read, write = os.pipe()
    null = os.open(os.devnull, os.O_RDWR)
    try:
        async with open_session(
            keeper.socket_path, id, argv, fds=(null, write, write), tty=False, env={"SIZE": "7"}
        ) as opened:
            os.close(write)
            os.close(null)
            yield opened, read
    finally:
        os.close(read)


async def output(fd: int) -> str:
    return (await asyncio.to_thread(_read_all, fd)).decode()


def _read_all(fd: int) -> bytes:
    found = b""
    while piece := os.read(fd, 4096):
        found += piece
    return found


async def test_a_session_has_the_environment_and_folder_of_its_process(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    script = "echo $COLOUR $SIZE; pwd; exit 3"
    async with session(keeper, "sh", "-c", script) as (opened, fd):
        assert await opened.wait() == 3
        assert await output(fd) == f"blue 7\n{tmp_path}\n"


async def test_its_wildcard_binds_land_on_the_address_of_the_process(keeper: KeeperClient) -> None:
    script = "import socket as s; s = s.socket(); s.bind(('0.0.0.0', 8080)); print(s.getsockname())"
    async with session(keeper, "python3", "-c", script) as (opened, fd):
        assert await opened.wait() == 0
        assert await output(fd) == "('127.9.8.5', 8080)\n"


async def test_it_keeps_no_descriptor_of_others(keeper: KeeperClient) -> None:
    """Else a pipe would never end: neither a second session nor a new process may hold it."""
    async with session(keeper, "sleep", "600"), session(keeper, "ls", "/proc/self/fd") as two:
        assert await two[0].wait() == 0
        assert (await output(two[1])).split() == ["0", "1", "2", "3"]  # 3 is the folder itself


async def test_leaving_ends_all_of_its_tree(keeper: KeeperClient) -> None:
    script = (
        "setsid sleep 601 >/dev/null 2>&1 & echo $!; sleep 602 >/dev/null 2>&1 & echo $!; "
        "echo $$; exec >/dev/null 2>&1; wait"
    )
    async with session(keeper, "sh", "-c", script) as (_, fd):
        pids = [int(word) for word in (await output(fd)).split()]
    assert len(pids) == 3
    for pid in pids:
        await until_gone(pid)


async def test_what_it_leaves_in_the_background_ends_with_the_process(
    keeper: KeeperClient,
) -> None:
    script = "setsid sleep 601 >/dev/null 2>&1 & echo $!; sleep 602 >/dev/null 2>&1 & echo $!"
    async with session(keeper, "sh", "-c", script) as (opened, fd):
        assert await opened.wait() == 0
        pids = [int(word) for word in (await output(fd)).split()]
    async with session(keeper, "true") as (opened, _):  # which leaves nothing
        assert await opened.wait() == 0
    for pid in pids:
        os.kill(pid, 0)  # still there
    await keeper.signal("web", 9)
    for pid in pids:
        await until_gone(pid)


async def test_it_ends_with_its_process(keeper: KeeperClient) -> None:
    async with session(keeper, "sh", "-c", "echo on; exec sleep 600") as (opened, fd):
        assert await asyncio.to_thread(os.read, fd, 3) == b"on\n"
        await keeper.signal("web", 9, tree=True)
        assert await opened.wait() == 137


@pytest.mark.parametrize(
    ("id", "argv", "code"),
    [("web", ("nosuch",), "ENOENT"), ("other", ("ls",), "ESRCH"), ("web", (), "EINVAL")],
)
async def test_what_can_not_run_says_why(
    keeper: KeeperClient, id: str, argv: tuple[str, ...], code: str
) -> None:
    async with session(keeper, *argv, id=id) as (opened, _):
        with pytest.raises(KeeperFailure) as failure:
            await opened.wait()
    assert failure.value.code == code


async def test_a_session_without_descriptors_is_refused(keeper: KeeperClient) -> None:
    reader, writer = await asyncio.open_unix_connection(str(keeper.socket_path))
    args = {"id": "web", "argv": ["ls"], "tty": False, "env": {}}
    writer.write(json.dumps({"id": 1, "op": "session", "args": args}).encode() + b"\n")
    assert b"needs 3 descriptors" in await reader.readline()
    writer.close()


async def test_an_older_keeper_is_told_from_a_failure(tmp_path: Path) -> None:
    """A keeper that knows no sessions stays while everything else is upgraded."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        error = {"code": "ENOSYS", "message": "this keeper knows no 'session'"}
        writer.write(json.dumps({"id": 1, "error": error}).encode() + b"\n")
        writer.close()

    path = tmp_path / "keeper"
    async with (
        await asyncio.start_unix_server(refuse, path),
        session(KeeperClient(path), "ls") as (opened, _),
    ):
        with pytest.raises(KeeperFailure, match="started by an older nodrop"):
            await opened.wait()
