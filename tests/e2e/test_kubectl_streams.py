"""kubectl exec, cp, attach, port-forward and logs, by every kubectl found here."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.conftest import KUBECTLS, Kubectl
from tests.processes import until_gone
from tests.system.harness import Engine

MIB = 1 << 20
SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args):
        print("served", flush=True)
        print("told", file=sys.stderr, flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with a pod ``web`` for all of these tests; they leave both as they were."""
    folder = tmp_path_factory.mktemp("web")
    script = folder / "server.py"
    script.write_text(SERVER)
    manifest = folder / "web.yaml"
    manifest.write_text(f"""
apiVersion: v1
kind: Pod
metadata: {{name: web}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: app:v1
    env: [{{name: COLOUR, value: blue}}]
    command: [{sys.executable}, {script}]
    readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
""")
    running = Engine(folder / "state").serve()
    try:
        running.run("up", str(manifest))
        (kubectl, *_) = KUBECTLS.values()
        wait = [str(kubectl), "wait", "pod/web", "--for=condition=Ready", "--timeout=60s"]
        subprocess.run(wait, env=running.environment, check=True)
        yield running
    finally:
        running.close()


@pytest.fixture
def pod(kubectl_binary: Path, web: Engine, tmp_path: Path) -> Kubectl:
    """kubectl where a pod ``web`` is ready."""
    return Kubectl(kubectl_binary, tmp_path, web.state.kubeconfig)


async def test_exec_has_output_input_and_exit_codes(pod: Kubectl, tmp_path: Path) -> None:
    said = await pod.ask("exec", "web", "--", "sh", "-c", "echo $COLOUR; echo oops >&2; exit 7")
    assert (said.code, said.out) == (7, "blue\n")
    assert "oops\n" in said.err
    assert "exit code 7" in said.err
    assert await pod("exec", "-i", "web", "--", "cat", stdin="piped\n") == "piped\n"
    missing = await pod.ask("exec", "web", "--", "nosuch")
    assert missing.code == 1
    assert 'program "nosuch" not found' in missing.err
    assert (await pod.ask("exec", "none", "--", "ls")).code == 1
    text = (os.urandom(MIB // 2).hex()) + "\n"  # a MiB in and out
    assert await pod("exec", "-i", "web", "--", "cat", stdin=text) == text


async def test_exec_on_a_terminal(pod: Kubectl) -> None:
    ours, theirs = pty.openpty()
    resize(ours, rows=33, columns=77)
    process = await pod.start("exec", "-it", "web", "--", "sh", terminal=theirs)
    os.close(theirs)
    screen = Screen(ours)
    # The size and what is typed come on channels of their own.
    sized = "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done"
    await screen.type(f"{sized}; tty; echo $TERM-$COLOUR-$((1+1))\r")
    assert "/dev/pts/" in await screen.until("xterm-blue-2")
    resize(ours, rows=40, columns=99)
    process.send_signal(signal.SIGWINCH)
    await screen.type(
        "until [ \"$(stty size)\" = '40 99' ]; do sleep 0.1; done; echo wide-$((1+1))\r"
    )
    await screen.until("wide-2")
    await screen.type("sh -c 'echo ready-$((1+1)); exec sleep 600'\r")
    await screen.until("ready-2")
    await screen.type("\x03")
    await screen.type("echo after-$?\r")
    await screen.until("after-130")
    await screen.type("exit 5\r")
    async with asyncio.timeout(60):
        assert await process.wait() == 5
    os.close(ours)


class Screen:
    """Our side of kubectl's terminal."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._shown = ""

    async def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def until(self, text: str) -> str:
        """What is shown since the last call, up to ``text``."""
        async with asyncio.timeout(60):
            while text not in self._shown:
                try:
                    self._shown += os.read(self._fd, 65536).decode()
                except BlockingIOError:
                    await asyncio.sleep(0.02)
        before, _, self._shown = self._shown.partition(text)
        return before + text


def resize(fd: int, *, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


async def test_without_websockets(pod: Kubectl) -> None:
    """SPDY, which every kubectl can be told to speak."""
    pod = pod.speaking_spdy()
    said = await pod.ask("exec", "-i", "web", "--", "sh", "-c", "cat; exit 7", stdin="piped\n")
    assert (said.code, said.out) == (7, "piped\n")
    verbose = await pod.ask("exec", "-v=8", "web", "--", "true")
    assert "SPDY/3.1" in verbose.err
    async with forwarding(pod, "8080") as (port,), aiohttp.ClientSession() as http:
        body = os.urandom(MIB)
        async with http.post(f"http://127.0.0.1:{port}/", data=io.BytesIO(body)) as response:
            assert await response.read() == body


async def test_a_killed_kubectl_leaves_no_process(pod: Kubectl) -> None:
    script = "setsid sleep 601 & echo $!; echo $$; echo end; wait"
    process = await pod.start("exec", "web", "--", "sh", "-c", script)
    assert process.stdout is not None
    pids = [int(await process.stdout.readline()) for _ in range(2)]
    process.kill()
    await process.communicate()
    for pid in pids:
        await until_gone(pid)


async def test_a_killed_control_plane_leaves_no_process(pod: Kubectl, web: Engine) -> None:
    process = await pod.start("exec", "web", "--", "sh", "-c", "echo $$; exec sleep 600")
    assert process.stdout is not None
    pid = int(await process.stdout.readline())
    web.kill()
    await until_gone(pid)
    await process.communicate()
    web.serve()
    assert await pod("exec", "web", "--", "echo", "again") == "again\n"


async def test_folders_are_copied_both_ways(pod: Kubectl, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    (source / "below").mkdir(parents=True)
    (source / "a.txt").write_text("a\n")
    (source / "below" / "big").write_bytes(os.urandom(3 * MIB))
    there = tmp_path / "there"
    await pod("cp", str(source), f"web:{there}")
    await pod("cp", f"web:{there}", str(back))
    assert (back / "a.txt").read_text() == "a\n"
    assert (back / "below" / "big").read_bytes() == (source / "below" / "big").read_bytes()


async def test_ports_are_forwarded_side_by_side(pod: Kubectl) -> None:
    async with forwarding(pod, "8080", "8080") as (first, second), aiohttp.ClientSession() as http:
        body = os.urandom(5 * MIB)

        async def post(port: int, content: bytes) -> bytes:
            async with http.post(f"http://127.0.0.1:{port}/", data=io.BytesIO(content)) as response:
                assert response.status == 200
                return await response.read()

        async with asyncio.TaskGroup() as tasks:
            large = tasks.create_task(post(first, body))
            small = [tasks.create_task(post(second, b"%d" % n)) for n in range(10)]
        assert large.result() == body
        assert [task.result() for task in small] == [b"%d" % n for n in range(10)]


async def test_a_port_without_listener_is_told(pod: Kubectl) -> None:
    async with forwarding(pod, "9") as (port,):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()


@asynccontextmanager
async def forwarding(pod: Kubectl, *ports: str) -> AsyncIterator[tuple[int, ...]]:
    """kubectl port-forward; gives the local ports."""
    process = await pod.start("port-forward", "pod/web", *(f":{port}" for port in ports))
    assert process.stdout is not None
    try:
        local: list[int] = []
        async with asyncio.timeout(60):
            while len(local) < len(ports):
                line = (await process.stdout.readline()).decode()
                if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line):
                    local.append(int(found[1]))
        yield tuple(local)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_attach_shows_both_outputs(pod: Kubectl) -> None:
    process = await pod.start("attach", "web")
    assert process.stdout is not None
    assert process.stderr is not None
    address = await pod("get", "pod", "web", "-o", "jsonpath={.status.podIP}")
    try:
        async with (
            aiohttp.ClientSession(f"http://{address}:8080") as http,
            asyncio.timeout(60),
            asyncio.TaskGroup() as tasks,
        ):
            out = tasks.create_task(until_line(process.stdout, b"served\n"))
            err = tasks.create_task(until_line(process.stderr, b"told\n"))
            while not (out.done() and err.done()):
                await (await http.post("/", data=b"x")).read()
                await asyncio.sleep(0.1)  # until it is attached: nothing tells when
    finally:
        process.kill()
        await process.communicate()


async def test_run_is_a_shell_on_a_terminal_with_its_exit_code(kubectl: Kubectl) -> None:
    ours, theirs = pty.openpty()
    resize(ours, rows=33, columns=77)
    process = await kubectl.start(
        *("run", "-it", "--rm", "--restart=Never", "--image=any", "box", "--", "sh"),
        terminal=theirs,
    )
    os.close(theirs)
    screen = Screen(ours)
    await screen.until("press")  # "If you don't see a command prompt …": it is attached
    await screen.type(
        "until [ \"$(stty size)\" = '33 77' ]; do sleep 0.1; done; echo $TERM-$((1+1))\r"
    )
    await screen.until("xterm-2")
    await screen.type("exit 5\r")
    await screen.until("deleted")
    async with asyncio.timeout(60):
        assert await process.wait() == 5
    os.close(ours)
    said = await kubectl.ask("get", "pod", "box")
    assert "not found" in said.err


async def test_run_pipes_through_a_container_and_attach_types_into_one(kubectl: Kubectl) -> None:
    run = ("run", "--restart=Never", "--image=any", "--quiet")
    out = await kubectl(*run, "-i", "--rm", "piped", "--", "cat", stdin="one\ntwo\n")
    assert "one\ntwo\n" in out
    await kubectl(*run, "--stdin", "--attach=false", "box", "--", "cat")
    await kubectl("wait", "pod/box", "--for=condition=Ready", "--timeout=60s")
    process = await kubectl.start("attach", "-i", "box")
    assert process.stdin is not None
    assert process.stdout is not None
    async with asyncio.timeout(60):
        process.stdin.write(b"typed\n")
        await until_line(process.stdout, b"typed\n")
    process.kill()
    await process.communicate()
    assert await kubectl("logs", "box") == "typed\n"
    await kubectl(*run, "--attach=false", "quiet", "--", "sleep", "600")
    await kubectl("wait", "pod/quiet", "--for=condition=Ready", "--timeout=60s")
    refused = await kubectl.ask("attach", "-i", "quiet")
    assert refused.code == 1
    assert "stdin is not enabled" in refused.err


async def until_line(reader: asyncio.StreamReader, line: bytes) -> None:
    while (found := await reader.readline()) != line:
        assert found


#: In a process of its own, as the client leaves sockets to the garbage collector.
PYTHON_CLIENT = """
from kubernetes import client, config
from kubernetes.stream import stream
config.load_kube_config()
run = client.CoreV1Api().connect_get_namespaced_pod_exec
quiet = {"stderr": True, "stdout": True, "tty": False}
print(stream(run, "web", "default", command=["sh", "-c", "echo $COLOUR"], stdin=False, **quiet))
shell = stream(run, "web", "default", command=["sh"], stdin=True, _preload_content=False, **quiet)
shell.write_stdin("echo one; exit 9\\n")
shell.run_forever(timeout=60)
print(shell.read_stdout(), shell.returncode)
"""


async def test_the_official_python_client_runs_commands(web: Engine) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PYTHON_CLIENT,
        env=web.environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert out.decode().split() == ["blue", "one", "9"]
