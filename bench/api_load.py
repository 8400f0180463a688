"""The clients of the API section, in a process of their own: what they saw, as JSON on stdout.

``python -m bench.api_load KUBECONFIG '{"pods": 1000, …}'``: creates pods, opens watches, sends
small PATCHes at a fixed rate, adds pods and lists them all. A PATCH counts from when it was due,
so a server that falls behind can't hide it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec

from nodrop.client.kubeconfig import read_kubeconfig
from nodrop.model.meta import Obj

_PODS = "/api/v1/namespaces/default/pods"
_MERGE = {"Content-Type": "application/merge-patch+json"}
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_AT_ONCE = 8
_EVENTS_TIMEOUT_S = 60.0


class Wanted(msgspec.Struct, frozen=True):
    """How much of everything."""

    pods: int
    watchers: int
    patches_per_s: float
    seconds: float
    listed_pods: int
    lists: int


class Phase(msgspec.Struct, frozen=True):
    """Latencies of PATCHes, and when the first was due and the last answered (``loop.time()``)."""

    patch_ms: list[float]
    start: float
    end: float
    events: int


class Seen(msgspec.Struct, frozen=True):
    """What the clients saw."""

    creates_per_s: float
    alone: Phase
    watched: Phase
    list_ms: list[float]
    table_ms: list[float]
    list_bytes: int


def pod(name: str) -> Obj:
    """A small pod. It runs nowhere: the server has no agent."""
    container = {"name": "a", "image": "i", "command": ["true"], "env": [{"name": "A"}]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "x"}},
        "spec": {"containers": [container]},
    }


class Clients:
    """Everybody who asks, over one session."""

    def __init__(self, http: aiohttp.ClientSession, wanted: Wanted) -> None:
        self._http = http
        self._wanted = wanted
        self._events = 0
        self._due_events = 0
        self._reached = asyncio.Event()

    async def run(self) -> Seen:
        loop, wanted = asyncio.get_running_loop(), self._wanted
        start = loop.time()
        await self._create(0, wanted.pods)
        rate = wanted.pods / (loop.time() - start)
        alone = await self._patch_phase(0)
        async with self._watching():
            watched = await self._patch_phase(wanted.watchers)
        await self._create(wanted.pods, wanted.listed_pods)
        list_ms, size = await self._list("application/json")
        table_ms, _ = await self._list(_TABLE)
        return Seen(rate, alone, watched, list_ms, table_ms, size)

    async def _create(self, first: int, end: int) -> None:
        numbers = iter(range(first, end))
        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(self._create_each(numbers))

    async def _create_each(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            async with self._http.post(_PODS, json=pod(f"p{number}")) as answer:
                await answer.read()

    async def _patch_phase(self, watchers: int) -> Phase:
        """PATCHes at the rate, until every watcher has seen every one."""
        loop, wanted = asyncio.get_running_loop(), self._wanted
        count = int(wanted.patches_per_s * wanted.seconds)
        self._due_events = self._events + count * watchers
        self._reached.clear()
        found: list[float] = []
        start = loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                due = start + number / wanted.patches_per_s
                await asyncio.sleep(due - loop.time())
                group.create_task(self._patch(number, due, found))
        if watchers:
            async with asyncio.timeout(_EVENTS_TIMEOUT_S):
                await self._reached.wait()
        return Phase(found, start, loop.time(), count * watchers)

    async def _patch(self, number: int, due: float, found: list[float]) -> None:
        url = f"{_PODS}/p{number % self._wanted.pods}"
        body = json.dumps({"metadata": {"annotations": {"n": f"{number}-{due}"}}})
        async with self._http.patch(url, data=body, headers=_MERGE) as answer:
            await answer.read()
        found.append(1000 * (asyncio.get_running_loop().time() - due))

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """Watches from now on; all are open when the block begins."""
        async with self._http.get(_PODS, params={"limit": "1"}) as answer:
            since = (await answer.json())["metadata"]["resourceVersion"]
        opened = asyncio.Semaphore(0)
        async with asyncio.TaskGroup() as group:
            watchers = [
                group.create_task(self._watch(since, opened)) for _ in range(self._wanted.watchers)
            ]
            for _ in watchers:
                await opened.acquire()
            yield
            for task in watchers:
                task.cancel()

    async def _watch(self, since: str, opened: asyncio.Semaphore) -> None:
        params = {"watch": "1", "resourceVersion": since}
        async with self._http.get(_PODS, params=params) as answer:
            opened.release()
            async for chunk in answer.content.iter_any():
                self._events += chunk.count(b"\n")
                if self._events >= self._due_events:
                    self._reached.set()

    async def _list(self, accept: str) -> tuple[list[float], int]:
        loop = asyncio.get_running_loop()
        found, size = [], 0
        for _ in range(self._wanted.lists):
            start = loop.time()
            async with self._http.get(_PODS, headers={"Accept": accept}) as answer:
                size = len(await answer.read())
            found.append(1000 * (loop.time() - start))
        return found, size


async def ask(kubeconfig: Path, wanted: Wanted) -> Seen:
    """Raises aiohttp.ClientError when something is refused."""
    config = read_kubeconfig(kubeconfig)
    connector = aiohttp.TCPConnector(ssl=config.ssl_context() or True, limit=0)
    async with aiohttp.ClientSession(
        config.server,
        connector=connector,
        headers={"Authorization": f"Bearer {config.token}"},
        timeout=aiohttp.ClientTimeout(total=None),
        raise_for_status=True,
    ) as http:
        return await Clients(http, wanted).run()


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.argv[2].encode(), type=Wanted)
    print(msgspec.json.encode(asyncio.run(ask(Path(sys.argv[1]), asked))).decode())
