"""exec, attach, port-forward and logs over WebSocket, with a real keeper behind."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlencode

import aiohttp
import pytest

from nodrop.apiserver import command_clients
from nodrop.apiserver.spdy import Data, Decoder, Encoder, Frame, Open, Ping, Reply
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import ProcessSpec
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, ObjectKey, uid_of
from tests.processes import until_gone
from tests.serving import Served, serving, signed_in

PODS = "/api/v1/namespaces/default/pods"
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
POD_IP = "127.9.8.4"
MIB = 1 << 20

Socket: TypeAlias = aiohttp.ClientWebSocketResponse[Any]


@dataclass(slots=True)
class Rig:
    """A served pod ``web`` with one running container ``a``."""

    http: aiohttp.ClientSession
    pod: Obj
    served: Served
    keeper: KeeperClient

    @asynccontextmanager
    async def socket(self, path: str, *protocols: str, **query: object) -> AsyncIterator[Socket]:
        url = f"{PODS}/web/{path}?{urlencode(query, doseq=True)}"
        async with self.http.ws_connect(url, protocols=protocols, max_msg_size=0) as socket:
            yield socket


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path / "state") as served:
        keeper = await ensure_keeper(served.state.keeper, served.state.keeper_socket)
        pod = planted(served)
        script = "while read line; do echo said $line; echo err $line >&2; done; sleep 600"
        log = served.state.pods / uid_of(pod) / "logs" / "a" / "0.log"
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        await keeper.start(
            ProcessSpec(
                id=f"{uid_of(pod)}_a_0",
                argv=("sh", "-c", f"exec <>{shlex.quote(str(fifo))}; {script}"),
                env={"PATH": os.defpath, "COLOUR": "blue"},
                cwd=str(tmp_path),
                log=str(log),
            )
        )
        try:
            async with signed_in(served) as http:
                yield Rig(http, pod, served, keeper)
        finally:
            await keeper.shutdown(grace_s=0.2)


def planted(served: Served) -> Obj:
    spec = {"containers": [{"name": "a", "image": "x", "command": ["x"]}]}
    meta = {"name": "web", "namespace": "default"}
    obj = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}
    pod = served.registry.create(POD, "default", obj).obj
    container = {"name": "a", "state": {"running": {}}, "restartCount": 0}
    status = {"phase": "Running", "podIP": POD_IP, "containerStatuses": [container]}
    key = ObjectKey(POD, "default", "web")
    served.registry.patch(key, {"status": status}, "merge", subresource="status")
    return pod


@dataclass(slots=True)
class Heard:
    """What came over the channels of one session."""

    channels: dict[int, bytes] = field(default_factory=dict)
    closed: int | None = None

    @property
    def status(self) -> Obj:
        found: Obj = json.loads(self.channels[3])
        return found

    def add(self, message: bytes) -> None:
        self.channels[message[0]] = self.channels.get(message[0], b"") + message[1:]


async def all_of(socket: Socket) -> Heard:
    heard = Heard()
    async with asyncio.timeout(60):
        async for message in socket:
            heard.add(message.data)
    heard.closed = socket.close_code
    return heard


async def until(socket: Socket, text: bytes) -> bytes:
    """Read standard output up to ``text``."""
    found = b""
    async with asyncio.timeout(60):
        while text not in found:
            found += (await socket.receive_bytes())[1:]
    return found


# exec


@pytest.mark.parametrize("protocol", [V4, V5])
async def test_a_command_tells_its_output_and_exit_code(rig: Rig, protocol: str) -> None:
    command = ["sh", "-c", "echo $COLOUR; pwd >&2; exit 7"]
    async with rig.socket("exec", protocol, command=command, stdout=1, stderr=1) as socket:
        assert socket.protocol == protocol
        heard = await all_of(socket)
    assert heard.channels[1] == b"blue\n"
    assert heard.channels[2].endswith(b"\n")
    assert heard.status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]
    assert heard.closed == 1000


@pytest.mark.parametrize("protocol", ["v4.base64.channel.k8s.io", "base64.channel.k8s.io"])
async def test_a_command_in_text_messages(rig: Rig, protocol: str) -> None:
    """As JavaScript clients behind kubectl proxy have it."""
    script = "read x; echo $x; exit 7"
    command = ["sh", "-c", script]
    async with rig.socket("exec", protocol, command=command, stdin=1, stdout=1) as socket:
        assert socket.protocol == protocol
        await socket.send_str("0" + base64.b64encode(b"hi\n").decode())
        texts = [str(message.data) async for message in socket]
    heard = Heard()
    for text in texts:
        heard.add(bytes((int(text[0]),)) + base64.b64decode(text[1:]))
    assert heard.channels[1] == b"hi\n"
    assert b"exit code: exit status 7" in heard.channels[3]
    assert heard.channels[3].startswith(b"{") is protocol.startswith("v4")


async def test_a_client_without_a_protocol_gets_binary_messages_and_words(rig: Rig) -> None:
    command = ["sh", "-c", "echo hi; exit 7"]
    async with rig.socket("exec", command=command, stdout=1) as socket:
        assert socket.protocol is None
        heard = await all_of(socket)
    assert heard.channels[1] == b"hi\n"
    assert heard.channels[3] == b"command terminated with non-zero exit code: exit status 7"


async def test_v5_is_chosen_over_v4(rig: Rig) -> None:
    async with rig.socket("exec", V4, V5, command="true", stdout="true") as socket:
        assert socket.protocol == V5
        assert (await all_of(socket)).status["status"] == "Success"


async def test_a_mebibyte_goes_in_and_comes_out_as_it_was(rig: Rig) -> None:
    content = os.urandom(MIB)
    async with rig.socket("exec", V5, command="cat", stdin=1, stdout=1) as socket:

        async def send() -> None:
            for at in range(0, MIB, 32768):
                await socket.send_bytes(b"\0" + content[at : at + 32768])
            await socket.send_bytes(b"\xff\0")

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            heard = await all_of(socket)
    assert heard.channels[1] == content
    assert heard.status["status"] == "Success"


async def test_a_command_without_input_reads_its_end(rig: Rig) -> None:
    async with rig.socket("exec", V5, command="cat", stdout=1) as socket:
        assert (await all_of(socket)).status["status"] == "Success"


async def test_input_that_nobody_reads_hurts_nobody(rig: Rig) -> None:
    async with rig.socket("exec", V5, command=["sh", "-c", "exit 4"], stdin=1) as socket:
        for _ in range(64):
            await socket.send_bytes(b"\0" + bytes(32768))
        heard = await all_of(socket)
    assert heard.status["details"]["causes"][0]["message"] == "4"


async def test_a_terminal_has_a_size_signals_and_one_output(rig: Rig) -> None:
    query = {"command": "sh", "stdin": 1, "stdout": 1, "stderr": 1, "tty": 1}
    async with rig.socket("exec", V5, **query) as socket:
        await socket.send_bytes(b'\x04{"Width":77,"Height":33}')
        await socket.send_bytes(b"\0tty; echo $TERM; stty size; ls /none; echo over-$?\n")
        found = await until(socket, b"over-2")
        assert b"/dev/pts/" in found
        assert b"xterm" in found
        assert b"33 77" in found
        assert b"No such file" in found
        await socket.send_bytes(b"\0sh -c 'echo ready-$((1+1)); exec sleep 600'\n")
        await until(socket, b"ready-2")
        await socket.send_bytes(b"\0\x03")
        await socket.send_bytes(b"\0echo after-$?\n")
        await until(socket, b"after-130")
        await socket.send_bytes(b"\0exit 5\n")
        heard = await all_of(socket)
    assert heard.status["details"]["causes"][0]["message"] == "5"


async def test_the_end_of_input_ends_a_shell_on_a_terminal(rig: Rig) -> None:
    async with rig.socket("exec", V5, command="sh", stdin=1, stdout=1, tty=1) as socket:
        await socket.send_bytes(b"\0echo up-$((1+1))\n")
        await until(socket, b"up-2")
        await socket.send_bytes(b"\xff\0")
        assert (await all_of(socket)).status["status"] == "Success"


async def test_a_client_that_goes_takes_the_whole_tree_along(rig: Rig) -> None:
    script = "setsid sleep 601 & echo $!; sleep 602 & echo $!; echo $$ end; wait"
    async with rig.socket("exec", V5, command=["sh", "-c", script], stdout=1) as socket:
        pids = [int(word) for word in (await until(socket, b"end")).split()[:-1]]
    assert len(pids) == 3
    for pid in pids:
        await until_gone(pid)


async def test_a_cut_connection_takes_the_whole_tree_along(rig: Rig) -> None:
    command = ["sh", "-c", "echo $$ end; exec sleep 600"]
    async with rig.socket("exec", V5, command=command, stdout=1, tty=1) as socket:
        pid = int((await until(socket, b"end")).split()[0])
        transport = socket._writer.transport  # no way to cut a connection is public
        assert transport is not None
        transport.abort()
    await until_gone(pid)


async def test_a_program_that_is_not_there_is_a_status(rig: Rig) -> None:
    async with rig.socket("exec", V5, command="nosuch", stdout=1) as socket:
        status = (await all_of(socket)).status
    assert (status["status"], status["reason"]) == ("Failure", "InternalError")
    assert 'program "nosuch" not found in PATH' in status["message"]


async def test_a_broken_message_ends_the_session(rig: Rig) -> None:
    async with rig.socket("exec", V5, command=["sleep", "600"], stdout=1) as socket:
        await socket.send_bytes(b"\x09")
        assert (await all_of(socket)).closed == 1002


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    ("path", "headers", "code", "words"),
    [
        ("web/exec?command=ls&stdout=1", {}, 400, "Upgrade request required"),
        ("web/exec?command=ls", UPGRADE, 400, "at least 1 of stdin, stdout, stderr"),
        ("web/exec?stdout=1", UPGRADE, 400, "at least one command"),
        (
            "web/exec?command=ls&stdout=1",
            {**UPGRADE, "Sec-WebSocket-Protocol": "v9.channel.k8s.io"},
            403,
            "unable to negotiate protocol",
        ),
        ("web/exec?command=ls&stdout=1&container=x", UPGRADE, 400, "container x is not valid"),
        ("web/attach?stdin=1&stdout=1", UPGRADE, 400, "takes no input"),
        ("none/exec?command=ls&stdout=1", UPGRADE, 404, "not found"),
        ("web/portforward", {}, 400, "Upgrade request required"),
        ("web/portforward?ports=http", {**UPGRADE, "Sec-WebSocket-Protocol": V4}, 400, '"http"'),
    ],
)
async def test_what_can_not_be_streamed_is_a_status(
    rig: Rig, path: str, headers: dict[str, str], code: int, words: str
) -> None:
    async with rig.http.get(f"{PODS}/{path}", headers=headers) as response:
        assert response.status == code
        assert words in (await response.json())["message"]


async def test_a_container_that_does_not_run_takes_no_command(rig: Rig) -> None:
    container = {"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    patch = {"status": {"containerStatuses": [container]}}
    key = ObjectKey(POD, "default", "web")
    rig.served.registry.patch(key, patch, "merge", subresource="status")
    url = f"{PODS}/web/exec?command=ls&stdout=1"
    async with rig.http.get(url, headers=UPGRADE) as response:
        assert response.status == 404
        assert (await response.json())["message"].startswith('container not found ("a")')


# attach and logs


async def test_attach_tells_what_the_container_says_from_now_on(rig: Rig, tmp_path: Path) -> None:
    fifo = (tmp_path / "fifo").open("wb", buffering=0)
    async with rig.socket("attach", V5, stdout=1, stderr=1) as socket:
        await socket.receive_bytes()  # all is up
        said: dict[int, bytes] = {1: b"", 2: b""}
        async with asyncio.timeout(60):
            while b"" in said.values():
                fifo.write(b"hello\n")
                message = await socket.receive_bytes()
                said[message[0]] += message[1:]
        assert said[1].startswith(b"said hello\n")
        assert said[2].startswith(b"err hello\n")
        fifo.close()


async def test_attach_ends_with_the_container(rig: Rig) -> None:
    async with rig.socket("attach", V5, stdout=1) as socket:
        await socket.receive_bytes()
        await rig.keeper.signal(f"{uid_of(rig.pod)}_a_0", 9, tree=True)
        assert (await all_of(socket)).status["status"] == "Success"


async def test_a_client_whose_input_is_not_read_hears_that_we_live(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_clients, "_PONG_EVERY_S", 0.05)
    query = urlencode({"command": ["sleep", "600"], "stdin": 1}, doseq=True)
    url = f"{PODS}/web/exec?{query}"
    async with rig.http.ws_connect(url, protocols=(V5,), autoping=False) as socket:

        async def send() -> None:
            while True:
                await socket.send_bytes(b"\0" + bytes(65536))

        async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(send())
            pongs = 0
            while pongs < 5:
                pongs += (await socket.receive()).type == aiohttp.WSMsgType.PONG
            sending.cancel()
        transport = socket._writer.transport  # it reads no goodbye either
        assert transport is not None
        transport.abort()


@pytest.mark.parametrize("protocols", [(), ("binary.k8s.io",), ("base64.binary.k8s.io",)])
async def test_a_log_comes_in_messages(
    rig: Rig, tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    with (tmp_path / "fifo").open("wb", buffering=0) as fifo:
        fifo.write(b"hello\n")
        async with rig.socket("log", *protocols, follow=1, stream="Stdout") as socket:
            message = await socket.receive()
    is_text = protocols == ("base64.binary.k8s.io",)
    assert message.data == ("c2FpZCBoZWxsbwo=" if is_text else b"said hello\n")


# port-forward


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """In the pod: gives back what comes, and at the end of it says so."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
            writer.write(b"<end>")
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, POD_IP, 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Tunnel:
    """A SPDY client inside of WebSocket messages, as kubectl is."""

    def __init__(self, socket: Socket) -> None:
        self._socket = socket
        self._encoder, self._decoder = Encoder(), Decoder()
        self.data: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.others: list[Frame] = []

    async def send(self, *frames: Frame) -> None:
        for frame in frames:
            await self._socket.send_bytes(self._encoder.encode(frame))

    async def connect(self, number: int, port: int) -> tuple[int, int]:
        """Open the pair of streams of one connection: (data, error)."""
        error, data = 4 * number + 1, 4 * number + 3
        headers = {"port": str(port), "requestid": str(number)}
        await self.send(
            Open(error, {"streamtype": "error", **headers}),
            Data(error, b"", fin=True),
            Open(data, {"streamtype": "data", **headers}),
        )
        return data, error

    async def until_ended(self, *streams: int) -> None:
        await self.until(lambda: self.ended.issuperset(streams))

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not reached():
                for frame in self._decoder.feed(await self._socket.receive_bytes()):
                    self._note(frame)

    def _note(self, frame: Frame) -> None:
        match frame:
            case Data(stream, data, fin):
                self.data[stream] = self.data.get(stream, b"") + data
                self.ended |= {stream} if fin else set()
            case other:
                self.others.append(other)


@asynccontextmanager
async def tunnel(rig: Rig) -> AsyncIterator[Tunnel]:
    async with rig.socket("portforward", "SPDY/3.1+portforward.k8s.io") as socket:
        yield Tunnel(socket)


async def test_connections_side_by_side_each_with_its_own_end(rig: Rig) -> None:
    async with echo_server() as port, tunnel(rig) as client:
        first = await client.connect(0, port)
        second = await client.connect(1, port)
        await client.send(Data(second[0], b"two", fin=True))
        await client.until_ended(*second)
        await client.send(Data(first[0], b"one"), Ping(1), Data(first[0], b"", fin=True))
        await client.until_ended(*first)
    assert client.data[second[0]] == b"two<end>"
    assert client.data[first[0]] == b"one<end>"
    assert client.data[first[1]] == b""
    assert Ping(1) in client.others
    assert Reply(1, {}) in client.others


async def test_a_large_body_is_forwarded_byte_by_byte(rig: Rig) -> None:
    content = os.urandom(MIB)
    async with echo_server() as port, tunnel(rig) as client:
        data, error = await client.connect(0, port)

        async def send() -> None:
            for at in range(0, MIB, 32768):
                await client.send(Data(data, content[at : at + 32768]))
            await client.send(Data(data, b"", fin=True))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send())
            await client.until_ended(data, error)
    assert client.data[data] == content + b"<end>"


async def test_a_port_that_nobody_listens_at_is_said_on_the_error_stream(rig: Rig) -> None:
    async with tunnel(rig) as client:
        data, error = await client.connect(0, 9)
        await client.until_ended(data, error)
    said = f"error forwarding port 9 to pod {uid_of(rig.pod)}: connecting to {POD_IP}:9: "
    assert client.data[error].decode() == said + "Connection refused"


async def test_connections_of_a_client_that_goes_are_closed(rig: Rig) -> None:
    ended = asyncio.Event()

    async def wait_for_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"up")
        try:
            await reader.read()
        except ConnectionError:
            pass
        writer.close()
        ended.set()

    async with await asyncio.start_server(wait_for_end, POD_IP, 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with tunnel(rig) as client:
            data, _ = await client.connect(0, port)
            await client.until(lambda: client.data.get(data) == b"up")
        async with asyncio.timeout(30):
            await ended.wait()


async def test_bytes_that_are_no_spdy_end_the_tunnel(rig: Rig) -> None:
    async with rig.socket("portforward", "SPDY/3.1+portforward.k8s.io") as socket:
        await socket.send_bytes(b"GET / HTTP/1.1\r\n\r\n" + bytes([255]) * 64)
        async with asyncio.timeout(30):
            while (await socket.receive()).type is aiohttp.WSMsgType.BINARY:
                pass
        assert socket.closed


async def test_ports_over_text_channels(rig: Rig) -> None:
    heard = b""
    async with (
        echo_server() as port,
        rig.socket("portforward", "v4.base64.channel.k8s.io", ports=port) as socket,
        asyncio.timeout(60),
    ):
        await socket.send_str("0" + base64.b64encode(b"hello").decode())
        while len(heard) < 7:
            text = await socket.receive_str()
            heard += base64.b64decode(text[1:]) if text[0] == "0" else b""
    assert heard == port.to_bytes(2, "little") + b"hello"


async def test_ports_over_channels(rig: Rig) -> None:
    """The way of the official Python client."""
    heard = Heard()
    async with (
        echo_server() as port,
        rig.socket("portforward", V4, ports=f"{port},9") as socket,
        asyncio.timeout(60),
    ):
        await socket.send_bytes(b"\0hello")
        while len(heard.channels.get(0, b"")) < 7 or len(heard.channels.get(3, b"")) < 3:
            heard.add(await socket.receive_bytes())
    assert heard.channels[0] == port.to_bytes(2, "little") + b"hello"
    assert heard.channels[1] == port.to_bytes(2, "little")
    assert heard.channels[3].startswith((9).to_bytes(2, "little") + b"error forwarding port 9")
