"""A server that answers at once and loses, by request id, one request in 10,000 of every cause.

``python -m tests.integration.planted [EVERY]`` prints its port and serves until its standard
input closes. It plays the app and the proxy in front of it: their headers are its own.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from enum import StrEnum

from nodrop.rehearse.cause import Cause

_ID = re.compile(rb"\r\nX-Request-Id: (\d+)\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")
NEW, OLD = "new_127.0.0.1_80", "old_127.0.0.1_80"
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close sends RST


class Plant(StrEnum):
    """What is done to a request; the n-th to those whose id leaves the rest n."""

    RESET = "reset"
    CLOSED = "closed"
    HALF = "half"
    HALF_RESET = "half and reset"
    APP_500 = "app 500"
    APP_503 = "app 503"
    PROXY_502 = "proxy 502"
    PROXY_503_POD = "proxy 503 of a pod"
    PROXY_503 = "proxy 503"
    PROXY_504 = "proxy 504"
    SILENCE = "silence"
    NOT_FOUND = "not found"
    OTHERS_ID = "another id"
    NO_HTTP = "no HTTP"
    TWO_ANSWERS = "two answers"
    SEEN_TWICE = "seen twice"
    OLD_VERSION = "old version"


CAUSES: dict[Plant, Cause] = {
    Plant.RESET: Cause.RESET,
    Plant.CLOSED: Cause.RESET,
    Plant.HALF: Cause.HALF_ANSWER,
    Plant.HALF_RESET: Cause.HALF_ANSWER,
    Plant.APP_500: Cause.APP_5XX,
    Plant.APP_503: Cause.APP_5XX,
    Plant.PROXY_502: Cause.PROXY_502,
    Plant.PROXY_503_POD: Cause.PROXY_503,
    Plant.PROXY_503: Cause.PROXY_503,
    Plant.PROXY_504: Cause.PROXY_504,
    Plant.SILENCE: Cause.TIMEOUT,
    Plant.NOT_FOUND: Cause.STATUS,
    Plant.OTHERS_ID: Cause.WRONG_ANSWER,
    Plant.NO_HTTP: Cause.WRONG_ANSWER,
    Plant.TWO_ANSWERS: Cause.WRONG_ANSWER,
    Plant.SEEN_TWICE: Cause.DUPLICATE,
    Plant.OLD_VERSION: Cause.WRONG_VERSION,
}
#: Those whose answer names the pod.
NAMED = {
    Plant.APP_500: NEW, Plant.APP_503: NEW, Plant.PROXY_502: OLD, Plant.PROXY_503_POD: OLD,
    Plant.PROXY_504: OLD, Plant.NOT_FOUND: NEW, Plant.OTHERS_ID: NEW, Plant.SEEN_TWICE: NEW,
    Plant.OLD_VERSION: OLD,
}  # fmt: skip
_ORDER = list(Plant)


def plant_of(number: int, every: int) -> Plant | None:
    """What is done to request ``number``: spread out, each once in ``every``."""
    place, rest = divmod(number % every, every // len(_ORDER))
    return _ORDER[place] if rest == 0 and place < len(_ORDER) else None


def _answer(status: int, body: bytes, id: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\nX-Request-Id: " + id + b"\r\n\r\n" + body


class Server(asyncio.Protocol):
    def __init__(self, every: int) -> None:
        self._every = every
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 4]
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            found = _ID.search(head)
            assert found is not None
            self._serve(found[1], body or b"hello")

    def _serve(self, id: bytes, body: bytes) -> None:
        plant = plant_of(int(id), self._every)
        fine = _answer(200, body, id, "Nodrop-App: 1", f"Nodrop-Pod: {NEW}")
        match plant:
            case None:
                self._transport.write(fine)
            case Plant.RESET:
                self._reset()
            case Plant.CLOSED:
                self._transport.close()
            case Plant.HALF:
                self._transport.write(fine[:-2])
                self._transport.close()
            case Plant.HALF_RESET:
                self._transport.write(fine[:-2])
                asyncio.get_running_loop().call_later(0.1, self._reset)
            case Plant.SILENCE:
                pass
            case Plant.NO_HTTP:
                self._transport.write(b"SSH-2.0 hello\r\n\r\n")
            case Plant.TWO_ANSWERS:
                self._transport.write(fine + fine)
            case _:
                self._transport.write(_spoken(plant, id, body))

    def _reset(self) -> None:
        sock: socket.socket = self._transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()


def _spoken(plant: Plant, id: bytes, body: bytes) -> bytes:
    """The plants that are complete answers."""
    app, pod = "Nodrop-App: 1", f"Nodrop-Pod: {NAMED.get(plant, '')}"
    match plant:
        case Plant.APP_500:
            return _answer(500, b"", id, app, pod)
        case Plant.APP_503:
            return _answer(503, b"", id, app, pod)
        case Plant.PROXY_502 | Plant.PROXY_503_POD | Plant.PROXY_503 | Plant.PROXY_504:
            return _answer(int(plant.split()[1]), b"", id, pod)
        case Plant.NOT_FOUND:
            return _answer(404, b"", id, app, pod)
        case Plant.OTHERS_ID:
            return _answer(200, body, b"9" + id, app, pod)
        case Plant.SEEN_TWICE:
            return _answer(200, body, id, app, pod, "X-Request-Seen: 2")
        case _:
            return _answer(200, body, id, app, pod)


async def main(every: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Server(every), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
