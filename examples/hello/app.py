"""A small web service: answers who it is, echoes, and is slow when asked to be.

Only the standard library. What it does is set by its environment:
  VERSION      what it calls itself                          (default: dev)
  POD_NAME     the pod that it runs in                       (default: the host's name)
  PORT         where it listens, on all addresses            (default: 8080)
  START_S      seconds of start-up before it listens         (default: 0)
  ON_SIGTERM   graceful: finish what is being answered, then end
               exit:     end at once, in the middle of whatever it does
               ignore:   go on as if nothing had happened     (default: graceful)
"""

import asyncio
import json
import os
import signal
import socket
from urllib.parse import parse_qs, urlsplit

VERSION = os.environ.get("VERSION", "dev")
POD = os.environ.get("POD_NAME") or socket.gethostname()
ON_SIGTERM = os.environ.get("ON_SIGTERM", "graceful")
ABOUT = json.dumps({"version": VERSION, "pod": POD}).encode() + b"\n"
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}
LARGEST_BODY_BYTES = 16 * 1024 * 1024
DRAIN_S = 10


class Request:
    """What a client asked for."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        self.method, target, protocol = lines[0].split(" ")
        url = urlsplit(target)
        self.path, self.query = url.path, parse_qs(url.query)
        pairs = (line.partition(":") for line in lines[1:] if line)
        self.headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        connection = self.headers.get("connection", "").lower()
        self.keep_alive = protocol == "HTTP/1.1" and connection != "close"
        self.length = int(self.headers.get("content-length", 0))
        if not 0 <= self.length <= LARGEST_BODY_BYTES or "transfer-encoding" in self.headers:
            raise ValueError("send a Content-Length of at most 16 MiB")


def answer(status, body, *, keep_alive, request_id="", content_type="application/json"):
    """The bytes of an answer, with the headers that tell which pod gave it."""
    head = [
        f"HTTP/1.1 {status} {REASONS[status]}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        f"X-Version: {VERSION}",
        f"X-Pod: {POD}",
    ]
    if request_id:
        head.append(f"X-Request-Id: {request_id}")
    if not keep_alive:
        head.append("Connection: close")
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


async def respond(request, body):
    """(status, body, content type) for one request."""
    if request.path == "/echo":
        if request.method != "POST":
            return 405, b"POST something\n", "text/plain"
        return 200, body, "application/octet-stream"
    if request.path == "/slow":
        try:
            seconds = float(request.query.get("s", ["0.3"])[0])
        except ValueError:
            return 400, b"s is a number of seconds\n", "text/plain"
        await asyncio.sleep(min(max(seconds, 0), 60))
        return 200, ABOUT, "application/json"
    if request.path in ("/", "/healthz"):
        return 200, ABOUT, "application/json"
    return 404, b"no such page\n", "text/plain"


class Server:
    """Serves HTTP/1.1 with keep-alive and knows how many requests it is answering."""

    def __init__(self):
        self.answering = 0
        self.stopping = asyncio.Event()
        self.connections = {}  # writer -> whether it is answering right now

    async def serve(self, reader, writer):
        self.connections[writer] = False
        try:
            while await self.serve_one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client has gone
        finally:
            del self.connections[writer]
            writer.close()

    async def serve_one(self, reader, writer):
        """Read and answer one request; False when the connection is to be closed."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.connections[writer] = True
        self.answering += 1
        try:
            try:
                request = Request(head)
            except ValueError as error:
                writer.write(answer(400, f"{error}\n".encode(), keep_alive=False))
                return False
            body = await reader.readexactly(request.length)
            status, content, kind = await respond(request, body)
            keep_alive = request.keep_alive and not self.stopping.is_set()
            request_id = request.headers.get("x-request-id", "")
            writer.write(
                answer(
                    status,
                    content,
                    keep_alive=keep_alive,
                    request_id=request_id,
                    content_type=kind,
                )
            )
            await writer.drain()
            return keep_alive
        finally:
            self.answering -= 1
            self.connections[writer] = False

    def on_sigterm(self):
        print(f"{POD} {VERSION}: SIGTERM ({ON_SIGTERM})", flush=True)
        if ON_SIGTERM == "exit":
            os._exit(0)
        if ON_SIGTERM == "graceful":
            self.stopping.set()

    async def drain(self):
        """Close idle connections, and wait (at most DRAIN_S) for what is being answered."""
        for writer, busy in list(self.connections.items()):
            if not busy:
                writer.close()
        for _ in range(DRAIN_S * 100):
            if not self.answering:
                return
            await asyncio.sleep(0.01)


async def main():
    server = Server()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, server.on_sigterm)
    loop.add_signal_handler(signal.SIGINT, server.stopping.set)
    await asyncio.sleep(float(os.environ.get("START_S", "0")))
    port = int(os.environ.get("PORT", "8080"))
    listener = await asyncio.start_server(server.serve, "0.0.0.0", port, backlog=512)
    print(f"{POD} {VERSION}: listening on 0.0.0.0:{port}", flush=True)
    await server.stopping.wait()
    listener.close()
    await server.drain()


if __name__ == "__main__":
    asyncio.run(main())
