"""What proxy tests share: a keeper inside the test process, pods, a load."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import ClassVar

from nodrop.keeper.protocol import KeeperFailure, KeeperInfo, ProcessRecord, ProcessSpec


@dataclass
class _Child:
    spec: ProcessSpec
    process: asyncio.subprocess.Process
    record: ProcessRecord
    restart: bool
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class InProcessKeeper:
    """The Keeper protocol inside the test: its children end with the test."""

    def __init__(self) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._children: dict[str, _Child] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}

    async def info(self) -> KeeperInfo:
        return KeeperInfo(pid=os.getpid(), protocol=1, boot_id="test", network=9)

    async def listen(self, name: str, host: str, port: int) -> int:
        if name not in self._sockets:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, port))
                sock.listen(1024)
            except OSError as error:
                sock.close()
                code = errno.errorcode[error.errno or 0]
                raise KeeperFailure(f"can't listen on {host}:{port}: {error}", code) from error
            sock.setblocking(False)
            self._sockets[name] = sock
        bound: int = self._sockets[name].getsockname()[1]
        return bound

    async def unlisten(self, name: str) -> None:
        self._sockets.pop(name).close()

    async def listening(self) -> Mapping[str, tuple[str, int]]:
        return {name: sock.getsockname()[:2] for name, sock in self._sockets.items()}

    async def start(self, spec: ProcessSpec) -> ProcessRecord:
        if spec.id not in self._children:
            process = await self._spawn(spec)
            child = _Child(spec, process, _record(spec, process.pid), spec.restart)
            self._children[spec.id] = child
            self._watchers[spec.id] = asyncio.get_running_loop().create_task(self._watch(child))
        return self._children[spec.id].record

    async def wait(self, id: str) -> ProcessRecord:
        child = self._child(id)
        await child.ended.wait()
        return child.record

    async def signal(self, id: str, number: int, *, tree: bool = False) -> None:
        child = self._child(id)
        if child.record.exit_code is None:
            os.kill(child.record.pid, number)

    async def retire(self, id: str) -> None:
        self._child(id).restart = False

    async def exec(
        self, id: str, argv: Sequence[str], *, timeout_s: float | None
    ) -> tuple[int, bytes]:
        raise NotImplementedError

    async def note(self, id: str, key: str, value: str) -> None:
        raise NotImplementedError

    async def list(self) -> list[ProcessRecord]:
        return [child.record for child in self._children.values()]

    async def remove(self, id: str) -> None:
        if self._child(id).record.exit_code is None:
            raise KeeperFailure(f"{id} runs", "EBUSY")
        del self._children[id]

    async def shutdown(self) -> None:
        for child in self._children.values():
            child.restart = False
            if child.record.exit_code is None:
                with suppress(ProcessLookupError):
                    os.kill(child.record.pid, signal.SIGKILL)
        await asyncio.gather(*self._watchers.values())
        for sock in self._sockets.values():
            sock.close()

    def _child(self, id: str) -> _Child:
        if id not in self._children:
            raise KeeperFailure(f"no process {id}", "ESRCH")
        return self._children[id]

    async def _spawn(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        passed = {self._sockets[name].fileno(): fd for name, fd in spec.fds.items()}

        def hand_over() -> None:
            spare = {
                os.dup(held) if held in passed.values() else held: fd for held, fd in passed.items()
            }
            for held, fd in spare.items():
                os.dup2(held, fd)

        with open(spec.log or os.devnull, "ab") as log:
            return await asyncio.create_subprocess_exec(
                *spec.argv,
                env=dict(spec.env),
                cwd=spec.cwd,
                stdout=log,
                stderr=log,
                close_fds=False,
                preexec_fn=hand_over,
            )

    async def _watch(self, child: _Child) -> None:
        while True:
            code = await child.process.wait()
            if not child.restart:
                break
            child.process = await self._spawn(child.spec)
            child.record = replace(
                child.record, pid=child.process.pid, restarts=child.record.restarts + 1
            )
        code = code if code >= 0 else 128 - code
        child.record = replace(child.record, exit_code=code, exited_at=time.time())
        child.ended.set()


def _record(spec: ProcessSpec, pid: int) -> ProcessRecord:
    return ProcessRecord(
        id=spec.id, pid=pid, start_ticks=0, started_at=time.time(), exit_code=None,
        exited_at=None, known=True, labels=spec.labels, notes={}, signals=(),
        bind_redirect=False, bind_error="", restarts=0,
    )  # fmt: skip


class Pod:
    """A tiny HTTP server that answers its name; ``die`` ends it with all its connections."""

    alive: ClassVar[set[Pod]] = set()

    def __init__(self, name: str, address: str = "127.0.0.1", delay_s: float = 0.0) -> None:
        self.name = name
        self.address = address
        self.port = 0
        self.delay_s = delay_s
        self.requests: list[str] = []
        self.heads: list[str] = []
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> Pod:
        self._server = await asyncio.start_server(self._serve, self.address, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        Pod.alive.add(self)
        return self

    @staticmethod
    async def end_all() -> None:
        for pod in set(Pod.alive):
            await pod.die()
        await asyncio.sleep(0)  # lets the aborted connections end

    async def die(self) -> None:
        Pod.alive.discard(self)
        if self._server is not None:
            self._server.close()
        for writer in set(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                for line in head.lower().splitlines():
                    if line.startswith("content-length:"):
                        await reader.readexactly(int(line.partition(":")[2]))
                self.requests.append(head.partition(" HTTP")[0])
                self.heads.append(head)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                body = self.name.encode()
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


class Client:
    """One keep-alive connection; a lost request is an exception or a status other than 200."""

    def __init__(self, host: str, port: int, name: str = "") -> None:
        self.host, self.port, self.name = host, port, name or host
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, path: str = "/", method: str = "GET", headers: str = ""
    ) -> tuple[int, str]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port)
        reader, writer = self._streams
        body = "x=1" if method == "POST" else ""
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {self.name}\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            int(line.partition(":")[2])
            for line in head.splitlines()
            if line.startswith("content-length:")
        )
        answer = (await reader.readexactly(length)).decode()
        if "connection: close" in head:
            await self.close()
        return int(head.split(" ")[1]), answer

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


@dataclass
class Load:
    """A few clients asking in a loop until stopped; half of the requests are POSTs."""

    host: str
    port: int
    name: str = ""
    clients: int = 8
    pause_s: float = 0.002
    answered: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    only_get: bool = False

    async def __aenter__(self) -> Load:
        self._stop = asyncio.Event()
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        for number in range(self.clients):
            self._group.create_task(self._run(number))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._stop.set()
        await self._group.__aexit__(None, None, None)

    @property
    def total(self) -> int:
        return sum(self.answered.values()) + len(self.lost)

    async def reached(self, count: int) -> None:
        """Return once so many requests more were made."""
        goal = self.total + count
        while self.total < goal:
            await asyncio.sleep(0.002)

    async def _run(self, number: int) -> None:
        client = Client(self.host, self.port, self.name)
        turn = number
        while not self._stop.is_set():
            turn += 1
            method = "GET" if turn % 2 or self.only_get else "POST"
            try:
                status, body = await asyncio.wait_for(client.request(f"/r{turn}", method), 20)
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                self.lost.append(f"{method}: {error!r}")
                await client.close()
            else:
                if status == 200:
                    self.answered[body] = self.answered.get(body, 0) + 1
                else:
                    self.lost.append(f"{method}: {status} {body.strip()}")
            if turn % 10 == 0:
                await client.close()  # new connections too
            await asyncio.sleep(self.pause_s)
        await client.close()
