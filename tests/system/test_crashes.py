"""A pod that dies without warning costs only what was truly in its hands."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from nodrop.client.protocol import WatchEvent
from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import ProcessRecord
from nodrop.model.meta import Obj
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.schedule import Mix
from tests.system.harness import Engine, Traffic, Watching, apply, hello

LINGERER = Path(__file__).with_name("lingerer.py")
_HEALTHY = {"httpGet": {"path": "/healthz", "port": 8080}}
#: Whatever is noticed of a pod that has started was not noticed by a probe.
RARELY = {**_HEALTHY, "periodSeconds": 300}
STARTS = {"startupProbe": {**_HEALTHY, "periodSeconds": 1, "failureThreshold": 60}}
HALF_POSTS = Mix(post_share=0.5)


async def processes(engine: Engine) -> list[ProcessRecord]:
    """The living containers."""
    keeper = KeeperClient(engine.state.keeper_socket)
    try:
        records = await keeper.list()
    finally:
        keeper.close()
    return [r for r in records if r.exit_code is None and "nodrop.dev/pod-uid" in r.labels]


def only_what_was_in_hand(lost: list[Record]) -> bool:
    """POSTs that the dead pod had: each was answered, none closed in silence, no GET is lost."""
    return all(r.method == "POST" and r.outcome is Outcome.STATUS_5XX for r in lost)


async def test_a_killed_pod_is_ejected_at_once_and_loses_no_get(engine: Engine) -> None:
    """S8: its exit takes it out of the endpoints, not the next probe."""
    await apply(engine, hello("v1", replicas=3, probe=RARELY, container=STARTS), wait=True)
    async with (
        engine.client() as client,
        Watching(client) as watching,
        Traffic(engine.url, rate=200, mix=HALF_POSTS) as traffic,
    ):
        await traffic.seen(50)
        for record in await processes(engine):
            uid, seen = record.labels["nodrop.dev/pod-uid"], len(watching.history)
            os.kill(record.pid, signal.SIGKILL)
            await watching.until(partial(said_unready, watching, uid, since=seen), timeout_s=30)
            await traffic.seen(50)
            await watching.until(lambda: watching.rolled_out("v1"))
        await traffic.seen(50)
    assert only_what_was_in_hand(traffic.lost), traffic.lost
    assert len(traffic.lost) <= 3  # 200 a second and a millisecond each: seldom one in hand


async def test_a_pod_killed_while_nobody_is_at_the_helm_is_routed_around(engine: Engine) -> None:
    """kill -9 of the control plane, then of a pod: HAProxy itself tries another, for POST too."""
    await apply(engine, hello("v1", replicas=3, probe=RARELY, container=STARTS), wait=True)
    async with Traffic(engine.url, rate=200, mix=HALF_POSTS) as traffic:
        await traffic.seen(50)
        engine.kill()
        victim, *_ = await processes(engine)
        os.kill(victim.pid, signal.SIGKILL)
        await traffic.seen(600)
        await asyncio.to_thread(engine.serve)
        async with engine.client() as client, Watching(client) as watching:
            await watching.until(lambda: watching.rolled_out("v1"))
        await traffic.seen(100)
    assert only_what_was_in_hand(traffic.lost), traffic.lost
    assert len(traffic.lost) <= 3


async def test_what_a_dead_pod_had_in_hand_is_sent_elsewhere_or_answered(
    engine: Engine, short_tmp: Path
) -> None:
    """A GET goes to the other pod; a POST, on a connection used before, gets 502 and a word."""
    env = {"WITNESSES": str(short_tmp)}
    command = {"command": [sys.executable, str(LINGERER)], **STARTS}
    manifest = hello("v1", replicas=2, env=env, container=command, probe=RARELY)
    await apply(engine, manifest, wait=True)
    address = urlsplit(engine.url)
    streams = [await asyncio.open_connection(address.hostname, address.port) for _ in range(8)]

    async def ask(number: int, method: str, path: str) -> str:
        reader, writer = streams[number]
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode().lower()
        length = int(head.partition("content-length: ")[2].split()[0])
        await reader.readexactly(length)
        return head

    for number in range(8):
        assert " 200 " in await ask(number, "GET", "/")
    async with asyncio.TaskGroup() as group:
        slow = [group.create_task(ask(n, "POST" if n < 4 else "GET", "/?s=4")) for n in range(8)]
        async with asyncio.timeout(30):
            while requests_seen(short_tmp) < 16:
                await asyncio.sleep(0.02)
        victim, _ = await processes(engine)
        os.kill(victim.pid, signal.SIGKILL)
    posts, gets = [task.result() for task in slow[:4]], [task.result() for task in slow[4:]]
    assert all(" 200 " in head for head in gets)
    cut = [head for head in posts if " 200 " not in head]
    assert cut
    for head in cut:
        assert " 502 " in head
        assert "nodrop-request-state: maybe-processed" in head
    for _, writer in streams:
        writer.close()


def said_unready(watching: Watching, uid: str, *, since: int) -> bool:
    """Whether a slice said so after so many events."""
    return any(uid in unready(event) for event in watching.history[since:])


def unready(event: WatchEvent) -> set[str]:
    """Uids of the pods that a slice says are not ready."""
    endpoints: list[Obj] = event.obj.get("endpoints") or []
    return {e["targetRef"]["uid"] for e in endpoints if not e["conditions"]["ready"]}


def requests_seen(witnesses: Path) -> int:
    return sum(path.read_text().count("request") for path in witnesses.glob("hello-*"))
