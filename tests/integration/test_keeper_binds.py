"""Wildcard binds land on the pod's own address: Python, Node, a static binary; any user."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.engine import free_port
from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import ProcessRecord, ProcessSpec
from tests.integration.kept import has_ipv6

_ENV = {"PATH": os.environ["PATH"]}

_C_SERVER = r"""
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
int main(void) {
  int s = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  struct sockaddr_in a;
  memset(&a, 0, sizeof a);
  a.sin_family = AF_INET;
  a.sin_port = htons(8080);
  setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(s, (struct sockaddr *)&a, sizeof a) || listen(s, 9)) return 3;
  for (;;) {
    int c = accept(s, 0, 0);
    write(c, "static", 6);
    close(c);
  }
}
"""

_PY_SERVER = """
import os, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 8080))
s.listen()
if sys.argv[2] == "fork" and os.fork():
    os.wait()
while True:
    c, _ = s.accept()
    c.sendall(sys.argv[2].encode())
    c.close()
"""

_FORKING_SERVER = """
import os, subprocess, sys
subprocess.run([sys.executable, "-I", "-S", "-c", sys.argv[1], "0.0.0.0", "grandchild"])
"""

_NODE_SERVER = "require('net').createServer(c => c.end('node')).listen(8080)"

_MANY_BINDS = """
import socket, errno
def bound(kind, family, address, v6only=None):
    s = socket.socket(family, kind)
    if v6only is not None:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    try:
        s.bind(address)
    except OSError as error:
        return errno.errorcode[error.errno]
    kept.append(s)
    return s.getsockname()[:2]
kept = []
T, U, F4, F6 = socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.AF_INET, socket.AF_INET6
print(bound(T, F4, ("0.0.0.0", 8080)))
print(bound(T, F4, ("0.0.0.0", 8080)))
print(bound(U, F4, ("0.0.0.0", 8080)))
print(bound(T, F6, ("::", 8081)))
print(bound(T, F6, ("::", 8080), 1)[0])
print(bound(T, F4, ("0.0.0.0", 0))[0])
print(bound(T, F4, ("127.0.0.1", 0))[0])
print(bound(T, F4, ("192.0.2.1", 1)))
print(bound(T, F6, ("::1", 0))[0])
"""


async def _read(host: str) -> str:
    """What the server at host:8080 says, once it listens."""
    async with asyncio.timeout(30):
        while True:
            try:
                reader, writer = await asyncio.open_connection(host, 8080)
            except ConnectionRefusedError:
                await asyncio.sleep(0.02)
                continue
            text = (await reader.read()).decode()
            writer.close()
            await writer.wait_closed()
            return text


async def _start(keeper: KeeperClient, ip: str, *argv: str) -> ProcessRecord:
    spec = ProcessSpec(id=f"at-{ip}", argv=argv, env=_ENV, cwd="/tmp", bind_ip=ip)
    record = await keeper.start(spec)
    assert record.bind_error == ""
    assert record.bind_redirect
    return record


async def test_programs_bind_the_same_port_side_by_side(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    """Several pods on 0.0.0.0:8080 and [::]:8080, unchanged, each at its own address."""
    net = f"127.{(await keeper.info()).network}.1"
    py = (sys.executable, "-I", "-S", "-c")
    programs = {
        "four": (*py, _PY_SERVER, "0.0.0.0", "four"),
        "six": (*py, _PY_SERVER, "::", "six"),
        "fork": (*py, _PY_SERVER, "0.0.0.0", "fork"),
        "grandchild": (*py, _FORKING_SERVER, _PY_SERVER),
    }
    if node := shutil.which("node"):
        programs["node"] = (node, "-e", _NODE_SERVER)
    if (static := _static_server(tmp_path)) is not None:
        programs["static"] = (str(static),)
    for number, argv in enumerate(programs.values()):
        await _start(keeper, f"{net}.{number + 1}", *argv)
    said = [await _read(f"{net}.{number + 1}") for number in range(len(programs))]
    assert said == list(programs)


def _static_server(folder: Path) -> Path | None:
    """A static binary that binds the wildcard; None where no compiler can make one."""
    if shutil.which("cc") is None:
        return None
    source, program = folder / "server.c", folder / "server"
    source.write_text(_C_SERVER)
    made = subprocess.run(["cc", "-static", "-w", "-o", program, source], capture_output=True)
    return program if made.returncode == 0 else None


async def test_a_static_binary_can_be_made_or_this_is_skipped(tmp_path: Path) -> None:
    if (program := _static_server(tmp_path)) is None:
        pytest.skip("no compiler makes static binaries here: the static case was not shown")
    assert b"interpreter" not in program.read_bytes()[:4096]


async def test_every_kind_of_bind(keeper: KeeperClient, tmp_path: Path) -> None:
    ip = f"127.{(await keeper.info()).network}.2.1"
    log = tmp_path / "0.log"
    argv = (sys.executable, "-I", "-S", "-c", _MANY_BINDS)
    await keeper.start(
        ProcessSpec(id="binds", argv=argv, env=_ENV, cwd="/tmp", bind_ip=ip, log=str(log))
    )
    assert (await keeper.wait("binds")).exit_code == 0
    six = "::1" if has_ipv6() else "E"  # EADDRNOTAVAIL
    assert [line.split(" ", 3)[3] for line in log.read_text().splitlines()] == [
        f"('{ip}', 8080)",
        "EADDRINUSE",
        f"('{ip}', 8080)",
        f"('::ffff:{ip}', 8081)",
        six,
        "0.0.0.0",
        "127.0.0.1",
        "EADDRNOTAVAIL",
        six,
    ]


async def test_signals_in_mid_bind_do_no_harm(keeper: KeeperClient, tmp_path: Path) -> None:
    """Programs that get many signals (Go's runtime sends them) still bind once and succeed.

    With SA_RESTART, as Go and most C programs set it. Without it a signal that comes before the
    keeper has picked the bind up makes bind fail with EINTR: the kernel leaves no way around.
    """
    ip = f"127.{(await keeper.info()).network}.3.1"
    script = """
import signal, socket
signal.signal(signal.SIGALRM, lambda *_: None)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.00005, 0.00005)
try:
    for port in range(20000, 20200):
        with socket.socket() as s:
            s.bind(("0.0.0.0", port))
            assert s.getsockname()[1] == port
finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
print("fine")
"""
    log = tmp_path / "0.log"
    argv = (sys.executable, "-I", "-S", "-c", script)
    await keeper.start(
        ProcessSpec(id="alarmed", argv=argv, env=_ENV, cwd="/tmp", bind_ip=ip, log=str(log))
    )
    record = await keeper.wait("alarmed")
    assert (record.exit_code, "fine" in log.read_text()) == (0, True), log.read_text()


async def test_without_a_bind_address_nothing_moves(keeper: KeeperClient) -> None:
    script = f"import socket; s = socket.socket(); s.bind(('0.0.0.0', {free_port()}))\n"
    script += "assert s.getsockname()[0] == '0.0.0.0'"
    argv = (sys.executable, "-I", "-S", "-c", script)
    record = await keeper.start(ProcessSpec(id="plain", argv=argv, env=_ENV, cwd="/tmp"))
    assert not record.bind_redirect
    assert (await keeper.wait("plain")).exit_code == 0


_AS_NOBODY = """
import asyncio, sys
from pathlib import Path
from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import ProcessSpec

async def main(folder, server, *more):
    keeper = await ensure_keeper(Path(folder) / "keeper", Path(folder) / "run" / "k.sock")
    try:
        net = (await keeper.info()).network
        py = (sys.executable, "-I", "-S", "-c", server)
        programs = [(*py, "0.0.0.0", "py"), (*py, "::", "py")]
        programs += [(program,) for program in more]
        for number, argv in enumerate(programs, 1):
            ip = f"127.{net}.4.{number}"
            record = await keeper.start(ProcessSpec(
                id=f"p{number}", argv=argv, env={}, cwd="/", bind_ip=ip))
            assert record.bind_redirect, record.bind_error
            while True:
                try:
                    reader, writer = await asyncio.open_connection(ip, 8080)
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)
            print((await reader.read()).decode(), flush=True)
            writer.close()
    finally:
        await keeper.shutdown(grace_s=0.2)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that uid 65534 may use; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory(prefix="nodrop-nobody-", dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_an_ordinary_user_gets_the_same(open_folder: Path) -> None:
    python = shutil.which("python3", path="/usr/bin:/usr/local/bin")
    if os.geteuid() != 0 or python is None:
        pytest.skip("only root can become another user, with a Python open to all")
    package = Path(sys.modules["nodrop"].__path__[0])
    shutil.copytree(package / "keeper", open_folder / "src/nodrop/keeper")
    shutil.copy(package / "__init__.py", open_folder / "src/nodrop/__init__.py")
    state = open_folder / "state"
    state.mkdir()
    os.chown(state, 65534, 65534)
    static = _static_server(open_folder)
    subprocess.run(["chmod", "-R", "a+rX", open_folder], check=True)  # whatever the umask is
    said = subprocess.run(
        [python, "-c", _AS_NOBODY, state, _PY_SERVER, *([static] if static else [])],
        user=65534, group=65534, extra_groups=[], cwd="/", timeout=60, check=True,
        env={"PYTHONPATH": str(open_folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
    ).stdout.decode().split()  # fmt: skip
    assert said == ["py", "py", *(["static"] if static else [])]
