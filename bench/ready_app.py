"""A service that tells how long it was ready before its first request came.

``X-Version`` of its answers is that time in milliseconds, from the moment its first readiness
answer was handed to the kernel to the moment the first other request was read: one clock, inside
the pod. ``X-Read-At`` is when the request was read, by the machine's monotonic clock. Only the
standard library, so that it starts quickly.
"""

import asyncio
import os
import time

POD = os.environ.get("POD_NAME", "")
ready_at = 0.0
delay_ms = -1.0


def answer_to(head: bytes) -> bytes:
    global ready_at, delay_ms
    probe = head.startswith(b"GET /healthz ")
    if not probe and ready_at and delay_ms < 0:
        delay_ms = (time.monotonic() - ready_at) * 1000
    text = f"HTTP/1.1 200 OK\r\nX-Pod: {POD}\r\nX-Version: {delay_ms:.2f}\r\n"
    return f"{text}X-Read-At: {time.monotonic():.6f}\r\nContent-Length: 0\r\n\r\n".encode()


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
