"""A service that tells when it was ready and when its first request came.

``X-Ready-At`` of its answers is when its first readiness answer was handed to the kernel,
``X-First-At`` when the first other request was read, ``X-Read-At`` when this one was: all by the
machine's monotonic clock. Only the standard library, so that it starts quickly.
"""

import asyncio
import os
import time

POD = os.environ.get("POD_NAME", "")
ready_at = first_at = 0.0


def answer_to(head: bytes) -> bytes:
    global first_at
    now = time.monotonic()
    if not first_at and not head.startswith(b"GET /healthz "):
        first_at = now
    times = f"X-Ready-At: {ready_at:.6f}\r\nX-First-At: {first_at:.6f}\r\nX-Read-At: {now:.6f}\r\n"
    return f"HTTP/1.1 200 OK\r\nX-Pod: {POD}\r\n{times}Content-Length: 0\r\n\r\n".encode()


class Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        global ready_at
        assert self.transport is not None
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            self.transport.write(answer_to(head))
            if not ready_at and head.startswith(b"GET /healthz "):
                ready_at = time.monotonic()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "0.0.0.0", 8080)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
