"""The life of the keeper itself: clients killed, keepers killed, races, networks, signals."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import KeeperFailure, ProcessSpec
from nodrop.statedir import StateDir
from tests.processes import gone, until_gone

_ENV = {"PATH": os.environ["PATH"]}


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[StateDir]:
    """A state folder whose keeper, if there is one, is ended."""
    state = StateDir(tmp_path)
    yield state
    client = KeeperClient(state.keeper_socket)
    if state.keeper_socket.exists():
        await client.shutdown(grace_s=0.2)


def _sh(id: str, script: str, log: Path | None = None) -> ProcessSpec:
    argv = ("sh", "-c", script)
    return ProcessSpec(id=id, argv=argv, env=_ENV, cwd="/tmp", log=str(log) if log else None)


_CONTROL_PLANE = """
import asyncio, sys
from pathlib import Path
from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import ProcessSpec

async def main(folder, socket, log):
    keeper = await ensure_keeper(Path(folder), Path(socket))
    for id, script in (
        ("short", "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done; exit 5"),
        ("long", "while :; do sleep 600; done"),
    ):
        spec = ProcessSpec(id=id, argv=("sh", "-c", script), env={"PATH": "/bin:/usr/bin"},
                           cwd="/tmp", log=f"{log}-{id}")
        await keeper.start(spec)
    print("started", flush=True)
    await keeper.wait("long")

asyncio.run(main(*sys.argv[1:]))
"""


async def test_containers_outlive_a_killed_control_plane(state: StateDir, tmp_path: Path) -> None:
    """Killed with SIGKILL in mid-life; then adopted, with exit codes and complete logs."""
    source = str(Path(sys.modules["nodrop"].__path__[0]).parent)
    plane = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CONTROL_PLANE,
        str(state.keeper), str(state.keeper_socket), str(tmp_path / "log"),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": source},
    )  # fmt: skip
    assert plane.stdout is not None
    assert await plane.stdout.readline() == b"started\n"
    plane.kill()
    await plane.wait()

    again = await ensure_keeper(state.keeper, state.keeper_socket)
    short = await again.wait("short")
    assert (short.exit_code, short.known) == (5, True)
    lines = [text.split(" ", 3)[3] for text in (tmp_path / "log-short").read_text().splitlines()]
    assert lines == [f"line {number}" for number in range(2000)]
    (long,) = [record for record in await again.list() if record.id == "long"]
    assert long.exit_code is None
    assert not gone(long.pid)
    again.close()


async def test_only_one_of_many_starts_a_keeper(state: StateDir) -> None:
    async with asyncio.TaskGroup() as tasks:
        starts = [
            tasks.create_task(ensure_keeper(state.keeper, state.keeper_socket)) for _ in range(5)
        ]
    clients = [start.result() for start in starts]
    assert len({(await client.info()).pid for client in clients}) == 1
    for client in clients:
        client.close()


async def test_the_keeper_stands_apart(state: StateDir) -> None:
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    pid = (await client.info()).pid
    assert os.getsid(pid) == pid != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    assert os.readlink(f"/proc/{pid}/fd/2") == str(state.keeper / "keeper.log")
    assert stat.S_IMODE(state.keeper_socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.sockets.stat().st_mode) == 0o700
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        os.kill(pid, number)
    assert (await client.info()).pid == pid
    client.close()


async def test_shutdown_ends_the_stubborn_and_leaves_no_socket(state: StateDir) -> None:
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    port = await client.listen("http", "127.0.0.1", 0)
    stubborn = await client.start(_sh("stubborn", "trap '' TERM; while :; do sleep 600; done"))
    keeper = (await client.info()).pid
    await client.shutdown(grace_s=0.3)
    await until_gone(keeper)
    assert gone(stubborn.pid)
    assert not state.keeper_socket.exists()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
    with pytest.raises(KeeperFailure) as caught:
        await client.info()
    assert caught.value.code in ("ENOENT", "ECONNREFUSED")


async def test_sigterm_ends_all_in_order_and_records_it(state: StateDir) -> None:
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    script = "trap 'kill $!; exit 3' TERM; sleep 600 & echo ready; wait"
    log = state.root / "0.log"
    record = await client.start(_sh("polite", script, log))
    async with asyncio.timeout(20):
        while "ready" not in log.read_text():
            await asyncio.sleep(0.01)
    pid = (await client.info()).pid
    os.kill(pid, signal.SIGTERM)
    await until_gone(pid)
    assert gone(record.pid)
    client.close()
    after = await ensure_keeper(state.keeper, state.keeper_socket)
    (polite,) = await after.list()
    assert (polite.exit_code, polite.known) == (3, True)
    after.close()


async def test_after_a_killed_keeper_nothing_runs_twice(state: StateDir) -> None:
    """What a lost keeper left running is ended, setsid children too, and its end is unknown."""
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    pids = state.root / "pids"
    record = await client.start(_sh("left", f"setsid sleep 600 & echo $! >{pids}; wait"))
    await client.start(_sh("done", "exit 4"))
    await client.wait("done")
    async with asyncio.timeout(20):
        while not pids.exists() or not pids.read_text():
            await asyncio.sleep(0.01)
    pid = (await client.info()).pid
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(_code_of_failure(client))
        await client.list()
        os.kill(pid, signal.SIGKILL)
    assert waiting.result() == "ECONNRESET"
    await until_gone(pid)
    after = await ensure_keeper(state.keeper, state.keeper_socket)
    ends = {record.id: (record.exit_code, record.known) for record in await after.list()}
    assert ends == {"left": (137, False), "done": (4, True)}
    await until_gone(record.pid)
    await until_gone(int(pids.read_text()))
    assert {found.id for found in await client.list()} == {"left", "done"}  # it reconnects
    after.close()
    client.close()


async def _code_of_failure(client: KeeperClient) -> str:
    with pytest.raises(KeeperFailure) as caught:
        await client.wait("left")
    return caught.value.code


async def test_engines_hold_networks_of_their_own(state: StateDir, tmp_path: Path) -> None:
    one = await ensure_keeper(state.keeper, state.keeper_socket)
    network = (await one.info()).network
    other = StateDir(tmp_path / "other")
    with pytest.raises(KeeperFailure, match=f"127.{network}.0.0/16 is held") as caught:
        await ensure_keeper(other.keeper, other.keeper_socket, network=network)
    assert caught.value.code == "EADDRINUSE"
    two = await ensure_keeper(other.keeper, other.keeper_socket)
    try:
        assert (await two.info()).network != network
    finally:
        await two.shutdown()
    await one.shutdown()
    async with asyncio.timeout(60):  # another test's keeper may have it meanwhile
        while (again := await _keeper_in(state, network)) is None:
            await asyncio.sleep(0.05)
    assert (await again.info()).network == network
    again.close()


async def _keeper_in(state: StateDir, network: int) -> KeeperClient | None:
    """None where another keeper has the network."""
    try:
        return await ensure_keeper(state.keeper, state.keeper_socket, network=network)
    except KeeperFailure as failure:
        if failure.code != "EADDRINUSE":
            raise
        return None


async def test_a_keeper_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeeperFailure, match="can't listen on"):
        await ensure_keeper(tmp_path / "keeper", tmp_path / "file" / "keeper.sock")
    with pytest.raises(KeeperFailure, match="too long"):
        await ensure_keeper(tmp_path / "keeper", tmp_path / ("x" * 120))


_NESTED = """
import asyncio, sys
from pathlib import Path
from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import ProcessSpec

async def main(folder):
    keeper = await ensure_keeper(Path(folder) / "keeper", Path(folder) / "run" / "k.sock")
    spec = ProcessSpec(id="inner", argv=("/bin/sleep", "600"), env={}, cwd="/",
                       bind_ip="127.0.0.9")
    record = await keeper.start(spec)
    info = await keeper.info()
    print(info.pid, record.pid, record.bind_redirect, record.bind_error.split(":")[0], flush=True)
    await keeper.wait("inner")

asyncio.run(main(sys.argv[1]))
"""


async def test_an_engine_inside_a_pod(state: StateDir, tmp_path: Path) -> None:
    """It learns that its kernel refuses a second listener, and ends with the pod, wholly."""
    source = str(Path(sys.modules["nodrop"].__path__[0]).parent)
    log = tmp_path / "0.log"
    outer = await ensure_keeper(state.keeper, state.keeper_socket)
    await outer.start(
        ProcessSpec(
            id="outer", argv=(sys.executable, "-c", _NESTED, str(tmp_path / "in")),
            env={**_ENV, "PYTHONPATH": source}, cwd="/", log=str(log), bind_ip="127.0.0.8",
        )
    )  # fmt: skip
    async with asyncio.timeout(30):
        while not log.read_text().endswith("\n"):
            await asyncio.sleep(0.01)
    keeper, inner, redirect, error = log.read_text().split()[3:]
    assert (redirect, error) == ("False", "EBUSY")
    await outer.signal("outer", signal.SIGKILL, tree=True)
    assert (await outer.wait("outer")).exit_code == 137
    await until_gone(int(keeper))
    await until_gone(int(inner))
    outer.close()
