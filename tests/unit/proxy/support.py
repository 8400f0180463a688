"""What proxy tests share: pods, clients, a load."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import ClassVar

from tests.unit.proxy.tls import trusting

#: For the key of 16 zero bytes.
_SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n"
)


class Pod:
    """A tiny HTTP server that answers its name, and echoes what a WebSocket sends.

    It answers after ``delay_s``, and while ``answers`` is set. ``die`` ends it with all its
    connections.
    """

    alive: ClassVar[set[Pod]] = set()

    def __init__(self, name: str, address: str = "127.0.0.1", delay_s: float = 0.0) -> None:
        self.name = name
        self.address = address
        self.port = 0
        self.delay_s = delay_s
        self.answers = asyncio.Event()
        self.answers.set()
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
                if "upgrade: websocket" in head.lower():
                    writer.write(_SWITCHED)
                    while data := await reader.read(1000):
                        writer.write(data)
                    return
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self.answers.wait()
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

    def __init__(self, host: str, port: int, name: str = "", *, tls: bool = False) -> None:
        self.host, self.port, self.name, self.tls = host, port, name or host, tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, path: str = "/", method: str = "GET", headers: str = ""
    ) -> tuple[int, str]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(
                self.host, self.port,
                ssl=trusting() if self.tls else None,
                server_hostname=self.name if self.tls else None,
            )  # fmt: skip
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
            if self.tls:  # tickets that are still on their way are not waited for
                self._streams[1].transport.abort()
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
    tls: bool = False

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
        client = Client(self.host, self.port, self.name, tls=self.tls)
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
