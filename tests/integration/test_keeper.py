"""The keeper as a real process: start, end, logs, exec, held sockets, restarts, hostile clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import KeeperFailure, ProcessSpec
from tests.integration.kept import ENV, has_ipv6, sh, spec
from tests.processes import gone, until_gone


def _py(id: str, script: str, **more: Any) -> ProcessSpec:
    return spec(id, sys.executable, "-I", "-S", "-c", script, **more)


async def _until(path: Path) -> str:
    """The text of a file once it has some."""
    async with asyncio.timeout(20):
        while not path.exists() or not path.read_text():
            await asyncio.sleep(0.01)
    return path.read_text()


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)],
)
async def test_exit_codes(keeper: KeeperClient, tmp_path: Path, script: str, code: int) -> None:
    await keeper.start(sh("one", script))
    record = await keeper.wait("one")
    assert (record.exit_code, record.known) == (code, True)
    assert record.exited_at is not None
    assert record.exited_at >= record.started_at
    saved = json.loads((tmp_path / "keeper/processes/one.json").read_text())
    assert saved["exit_code"] == code


async def test_a_process_sees_its_own_environment_and_nothing_else(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    script = """
import os
print(open("/proc/self/environ").read().split(chr(0)))
print(os.getcwd(), oct(os.umask(0)), os.getsid(0) == os.getpid())
print(sorted(os.listdir("/proc/self/fd"))[:3], len(os.listdir("/proc/self/fd")))
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(int(status["SigBlk"], 16))
"""
    env = {"ONE": "1", "PATH": "/bin", "EMPTY": ""}
    log = tmp_path / "0.log"
    await keeper.start(_py("env", script, env=env, cwd=str(tmp_path), log=str(log)))
    assert (await keeper.wait("env")).exit_code == 0
    lines = [line.split(" ", 3)[3] for line in log.read_text().splitlines()]
    assert lines[0] == "['ONE=1', 'PATH=/bin', 'EMPTY=', '']"
    assert lines[1] == f"{tmp_path} 0o22 True"
    assert lines[2] == "['0', '1', '2'] 4"  # the fourth is the folder that is being listed
    assert lines[3] == "0"


async def test_start_again_returns_the_same_process(keeper: KeeperClient) -> None:
    first = await keeper.start(sh("one", "sleep 60"))
    assert (await keeper.start(sh("one", "sleep 60"))).pid == first.pid
    await keeper.signal("one", signal.SIGTERM)
    ended = await keeper.wait("one")
    assert ended.exit_code == 143
    assert [number for number, _at in ended.signals] == [signal.SIGTERM]
    assert (await keeper.start(sh("one", "sleep 60"))).exit_code == 143


@pytest.mark.parametrize(
    ("argv", "cwd", "code", "words"),
    [
        (("no-such-program",), "/tmp", "ENOENT", 'program "no-such-program" not found in PATH'),
        (("./absent",), "/tmp", "ENOENT", 'program "./absent" not found in /tmp'),
        (("/etc/passwd",), "/tmp", "EACCES", "not executable"),
        (("sh",), "/no/such/folder", "ENOENT", "working folder /no/such/folder"),
        (("/bin",), "/tmp", "EACCES", "not executable"),
        (("a\0b",), "/tmp", "EINVAL", "null"),
        ((), "/tmp", "EINVAL", "no command"),
    ],
)
async def test_what_cannot_start_says_why(
    keeper: KeeperClient, argv: tuple[str, ...], cwd: str, code: str, words: str
) -> None:
    with pytest.raises(KeeperFailure, match="(?s)" + words) as caught:
        await keeper.start(spec("bad", *argv, cwd=cwd, bind_ip="127.0.0.9"))
    assert caught.value.code == code
    assert await keeper.list() == []


async def test_scripts_that_cannot_run_say_why(keeper: KeeperClient, tmp_path: Path) -> None:
    for name, text, words in (
        ("lost", "#!/no/such/interpreter\n", "the interpreter it names does not"),
        ("plain", "echo hello\n", "not a program"),
    ):
        script = tmp_path / name
        script.write_text(text)
        script.chmod(0o755)
        with pytest.raises(KeeperFailure, match=words):
            await keeper.start(spec(name, f"./{name}", cwd=str(tmp_path)))


async def test_the_end_of_a_container_is_the_end_of_its_tree(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    script = f"(setsid sh -c '(sleep 600 & echo $! >{pids}) &' &) ; until [ -s {pids} ]; do :; done"
    await keeper.start(sh("daemon", script))
    other = await keeper.start(sh("other", "sleep 600"))
    assert (await keeper.wait("daemon")).exit_code == 0
    await until_gone(int(await _until(pids)))
    assert not gone(other.pid)


async def test_kill_reaches_setsid_children(keeper: KeeperClient, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"setsid sh -c 'trap \"\" TERM; sleep 600 & echo $! >{pids}; wait' & wait"
    await keeper.start(sh("tree", script))
    pid = int(await _until(pids))
    await keeper.signal("tree", signal.SIGKILL, tree=True)
    assert (await keeper.wait("tree")).exit_code == 137
    await until_gone(pid)
    await keeper.signal("tree", signal.SIGKILL, tree=True)  # ended: no error


async def test_orphans_are_reaped(keeper: KeeperClient, tmp_path: Path) -> None:
    script = "i=0; while [ $i -lt 20 ]; do (sh -c 'exit 3' &) ; i=$((i+1)); done;"
    script += f"echo ok >{tmp_path}/ok; exec sleep 600"
    await keeper.start(sh("orphans", script))
    await _until(tmp_path / "ok")
    pid = (await keeper.info()).pid
    async with asyncio.timeout(20):
        while len(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()) > 1:
            await asyncio.sleep(0.01)


async def test_logs_are_complete_when_wait_returns(keeper: KeeperClient, tmp_path: Path) -> None:
    log = tmp_path / "logs/0.log"
    script = (
        "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; echo oops >&2; printf end"
    )
    await keeper.start(sh("chatty", script, log=str(log)))
    await keeper.wait("chatty")
    lines = [line.split(" ", 3)[1:] for line in log.read_text().splitlines()]
    out = [text for name, _tag, text in lines if name == "stdout"]
    assert out == [*(f"line {number}" for number in range(3000)), "end"]
    assert ["stderr", "F", "oops"] in lines


async def test_exec_runs_beside(keeper: KeeperClient, tmp_path: Path) -> None:
    await keeper.start(sh("web", "sleep 600", env={**ENV, "COLOUR": "blue"}, cwd=str(tmp_path)))
    code, output = await keeper.exec(
        "web", ["sh", "-c", "echo $COLOUR; pwd; echo err >&2; exit 4"], timeout_s=20
    )
    assert (code, output.decode()) == (4, f"blue\n{tmp_path}\nerr\n")
    _code, much = await keeper.exec("web", ["head", "-c", "100000", "/dev/zero"], timeout_s=20)
    assert len(much) == 10 * 1024
    with pytest.raises(KeeperFailure, match="not found") as caught:
        await keeper.exec("web", ["no-such"], timeout_s=20)
    assert caught.value.code == "ENOENT"


async def test_exec_times_out_with_its_tree(keeper: KeeperClient, tmp_path: Path) -> None:
    await keeper.start(sh("web", "sleep 600"))
    script = f"setsid sleep 600 & echo $! >{tmp_path}/pid; wait"
    with pytest.raises(KeeperFailure) as caught:
        await keeper.exec("web", ["sh", "-c", script], timeout_s=2)
    assert caught.value.code == "ETIMEDOUT"
    await until_gone(int((tmp_path / "pid").read_text()))
    assert (await keeper.list())[0].exit_code is None


async def test_a_cancelled_exec_is_ended(keeper: KeeperClient, tmp_path: Path) -> None:
    await keeper.start(sh("web", "sleep 600"))
    script = f"echo $$ >{tmp_path}/pid; exec sleep 600"
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(keeper.exec("web", ["sh", "-c", script], timeout_s=None))
        pid = int(await _until(tmp_path / "pid"))
        task.cancel()
    await until_gone(pid)


async def test_unknown_ids(keeper: KeeperClient) -> None:
    for attempt in (
        keeper.wait("ghost"),
        keeper.signal("ghost", 15),
        keeper.exec("ghost", ["true"], timeout_s=1),
        keeper.note("ghost", "a", "b"),
        keeper.retire("ghost"),
    ):
        with pytest.raises(KeeperFailure) as caught:
            await attempt
        assert caught.value.code == "ESRCH"
    await keeper.remove("ghost")


async def test_notes_and_remove(keeper: KeeperClient, tmp_path: Path) -> None:
    await keeper.start(sh("one", "sleep 600", labels={"pod": "p"}))
    await keeper.note("one", "preStop", "done")
    (record,) = await keeper.list()
    assert (record.labels, record.notes) == ({"pod": "p"}, {"preStop": "done"})
    with pytest.raises(KeeperFailure) as caught:
        await keeper.remove("one")
    assert caught.value.code == "EBUSY"
    await keeper.signal("one", signal.SIGKILL)
    await keeper.wait("one")
    await keeper.remove("one")
    assert await keeper.list() == []
    assert list((tmp_path / "keeper/processes").iterdir()) == []


_SERVER = """
import os, socket
listener = socket.socket(fileno=5)
while True:
    client, _ = listener.accept()
    if client.recv(100) == b"die":
        os._exit(1)
    client.sendall(b"%d" % os.getpid())
    client.close()
"""


async def _ask(port: int, text: bytes = b"?") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(text)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_a_held_socket_survives_its_server(keeper: KeeperClient) -> None:
    """S-kept: a crash of the server refuses no connection; the next one finds it in the backlog."""
    port = await keeper.listen("http", "127.0.0.1", 0)
    assert await keeper.listen("http", "127.0.0.1", 0) == port
    assert await keeper.listen("http", "127.0.0.1", port) == port
    assert await keeper.listening() == {"http": ("127.0.0.1", port)}
    await keeper.start(_py("server", _SERVER, fds={"http": 5}, restart=True))
    first = await _ask(port)
    assert await _ask(port, b"die") == b""
    second = await _ask(port)
    assert first != second
    (record,) = await keeper.list()
    assert (record.pid, record.restarts, record.exit_code) == (int(second), 1, None)
    await keeper.retire("server")
    await _ask(port, b"die")
    assert (await keeper.wait("server")).exit_code == 1
    await keeper.unlisten("http")
    assert await keeper.listening() == {}
    with pytest.raises(ConnectionRefusedError):
        await _ask(port)


async def test_listen_failures(keeper: KeeperClient) -> None:
    port = await keeper.listen("one", "127.0.0.1", 0)
    for name, host, number, code in (
        ("two", "127.0.0.1", port, "EADDRINUSE"),
        ("two", "192.0.2.1", 0, "EADDRNOTAVAIL"),
        ("one", "127.0.0.2", port, "EEXIST"),
        ("two", "127.0.0.1", 99999, "EINVAL"),
    ):
        with pytest.raises(KeeperFailure) as caught:
            await keeper.listen(name, host, number)
        assert caught.value.code == code
    if has_ipv6():
        assert await keeper.listen("six", "::1", 0) > 0
    with pytest.raises(KeeperFailure, match="no socket") as caught:
        await keeper.start(sh("x", "true", fds={"nothing": 3}))
    assert caught.value.code == "ENOENT"


async def test_descriptors_at_crossing_numbers(keeper: KeeperClient, tmp_path: Path) -> None:
    ports = {name: await keeper.listen(name, "127.0.0.1", 0) for name in ("a", "b", "c")}
    script = "import socket\nfor n in (3, 4, 40): print(socket.socket(fileno=n).getsockname()[1])"
    log = tmp_path / "0.log"
    await keeper.start(_py("fds", script, fds={"a": 4, "b": 3, "c": 40}, log=str(log)))
    assert (await keeper.wait("fds")).exit_code == 0
    found = [int(line.rsplit(" ", 1)[1]) for line in log.read_text().splitlines()]
    assert found == [ports["b"], ports["a"], ports["c"]]


async def test_a_crash_loop_backs_off_and_retires(keeper: KeeperClient) -> None:
    await keeper.start(sh("loop", "exit 9", restart=True))
    async with asyncio.timeout(20):
        while (await keeper.list())[0].restarts < 3:
            await asyncio.sleep(0.02)
    await keeper.retire("loop")
    assert (await keeper.wait("loop")).exit_code == 9


async def test_fifty_containers_and_the_size_of_their_keeper(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(50):
            spec = sh(
                f"c{number}",
                "echo up; exec sleep 600",
                log=str(tmp_path / f"{number}.log"),
                bind_ip=f"127.9.0.{number + 1}",
            )
            tasks.create_task(keeper.start(spec))
    records = await keeper.list()
    assert len({record.pid for record in records}) == 50
    status = Path(f"/proc/{(await keeper.info()).pid}/status").read_text()
    resident_mib = int(status.split("VmRSS:")[1].split()[0]) / 1024
    print(f"keeper of 50 containers: {resident_mib:.1f} MiB resident")
    assert resident_mib < 16
    async with asyncio.TaskGroup() as tasks:
        for record in records:
            tasks.create_task(keeper.signal(record.id, signal.SIGKILL, tree=True))
            tasks.create_task(keeper.wait(record.id))
    assert {record.exit_code for record in await keeper.list()} == {137}
