"""A service that writes down every request exactly as it came, byte for byte, and answers 200.

RECORD: file of JSON lines ``{"pod": …, "head": …, "body_bytes": …, "body": first bytes}``. It reads
as a lenient server does (chunked wins over Content-Length), so whatever a proxy lets through that
two readers would read differently shows up as a request too many or a body too long.
"""

import asyncio
import json
import os

POD = os.environ.get("NAME", "")
_KEPT_BYTES = 4096


async def read_body(reader: asyncio.StreamReader, head: str) -> tuple[int, bytes]:
    fields = {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
    }
    size, kept = 0, b""
    if "chunked" in fields.get("transfer-encoding", ""):
        while length := int((await reader.readline()).split(b";")[0], 16):
            piece = (await reader.readexactly(length + 2))[:-2]
            size, kept = size + length, (kept + piece)[:_KEPT_BYTES]
        while (await reader.readline()).strip():
            pass
        return size, kept
    left = int(fields.get("content-length") or 0)
    while left:
        piece = await reader.read(min(left, 65536))
        if not piece:
            raise EOFError
        size, left, kept = size + len(piece), left - len(piece), (kept + piece)[:_KEPT_BYTES]
    return size, kept


def note(head: str, size: int, body: bytes) -> None:
    if head.startswith("GET /healthz "):
        return
    line = {"pod": POD, "head": head, "body_bytes": size, "body": body.decode("latin-1")}
    with open(os.environ["RECORD"], "a") as file:
        file.write(json.dumps(line) + "\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode("latin-1")
            note(head, *await read_body(reader, head))
            answer = (
                f"HTTP/1.1 200 OK\r\nX-Version: v1\r\nX-Pod: {POD}\r\nContent-Length: 2\r\n\r\nok"
            )
            writer.write(answer.encode())
            await writer.drain()
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "0.0.0.0", 8080, backlog=512, limit=1 << 20)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
