"""A site that clients attack: two services behind one host, and what their pods have recorded."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.manifests import service
from nodrop.model.meta import Obj
from nodrop.rehearse.http1 import ResponseReader
from nodrop.rehearse.schedule import Mix
from tests.system.harness import Engine, Traffic, apply

RECORDER = Path(__file__).with_name("recorder.py")
HOST = "shop.test"
_ANSWER_S = 60.0
_GETS = Mix(post_share=0, slow_share=0, fresh_share=0.5)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as a pod read it."""

    pod: str
    head: str
    body_bytes: int
    body: str

    @property
    def path(self) -> str:
        return self.head.split(" ")[1]

    def values(self, name: str) -> list[str]:
        pairs = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return [value.strip() for field, _, value in pairs if field.lower() == name.lower()]

    def names(self) -> set[str]:
        return {line.partition(":")[0].lower() for line in self.head.split("\r\n")[1:]}


@dataclass(frozen=True, slots=True)
class Site:
    """The engine under attack: its web address, and what its pods have recorded."""

    engine: Engine
    record: Path
    port: int

    def recorded(self, mark: str = "") -> list[Recorded]:
        """Requests with ``mark`` in their head."""
        text = self.record.read_text() if self.record.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # a line may be half written
        found = (Recorded(**json.loads(line)) for line in lines)
        return [each for each in found if mark in each.head]

    @asynccontextmanager
    async def bystanders(self) -> AsyncIterator[Traffic]:
        """Well-behaved clients beside the block; all of their requests must be answered."""
        async with Traffic(self.engine.url, rate=100, host=HOST, mix=_GETS) as traffic:
            await traffic.seen(20)
            yield traffic
            await traffic.seen(20)
        assert traffic.lost == []

    async def send(self, *pieces: bytes, ends: bool = True) -> list[int]:
        """Send bytes on a new connection; the statuses of all answers until it is closed.

        ``ends``: say that no more follow. In the middle of a body that is to give the request up:
        HAProxy need not answer it then.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            if ends and writer.can_write_eof():
                writer.write_eof()
            async with asyncio.timeout(_ANSWER_S):
                return statuses(await reader.read())
        except OSError:  # ended in the middle of what we sent
            return []
        finally:
            writer.close()


def statuses(received: bytes) -> list[int]:
    """The status of each answer of a connection that is over."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        response = ResponseReader().feed(head + b"\r\nContent-Length: 0\r\nX: \r\n\r\n") or None
        lengths = [
            int(line.partition(b":")[2])
            for line in head.lower().split(b"\r\n")
            if line.startswith(b"content-length:")
        ]
        found.append(response.status if response else int(head.split()[1]))
        received = rest[lengths[0] :] if lengths else b""
    return found


def ingress(annotations: Mapping[str, str] | None = None) -> Obj:
    """``public`` at / and ``admin`` at /admin of one host."""
    paths = (("/", "public"), ("/admin", "admin"))
    rules = [
        {
            "path": path,
            "pathType": "Prefix",
            "backend": {"service": {"name": name, "port": {"name": "http"}}},
        }
        for path, name in paths
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": "shop",
            "namespace": "default",
            "annotations": dict(annotations or {}),
        },
        "spec": {"rules": [{"host": HOST, "http": {"paths": rules}}]},
    }


async def deploy(engine: Engine, folder: Path) -> Site:
    """Two services behind one host: ``public`` at / and ``admin`` at /admin."""
    record = folder / "record.jsonl"
    documents: list[Obj] = []
    for name in ("public", "admin"):
        command = (sys.executable, str(RECORDER))
        env = {"RECORD": str(record), "NAME": name}
        documents += service(name, command, replicas=1, env=env)[:2]
    await apply(engine, [*documents, ingress()], wait=True)
    return Site(engine, record, int(engine.url.rpartition(":")[2]))
