"""Engines of our own: started in a folder under /tmp, looked at, ended without a trace."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

from nodrop.cli.background import down_apart, ensure_engine
from nodrop.cli.session import connect, engine_of
from nodrop.client.http import HttpClient
from nodrop.client.protocol import Scope
from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

FREE_PORTS = (
    *("--http-port", "0", "--https-port", "0", "--api-port", "0"),
    *("--bind", "127.0.0.1"),
)
#: Ports that no kernel gives out unasked (ip_local_port_range) and no NodePort has.
_UNASKED = range(10_000, 30_000)
_STOP_TIMEOUT_S = 120.0
_AVAILABLE_TIMEOUT_S = 180.0
_ANSWER_TIMEOUT_S = 30.0
_BETWEEN_TRIES_S = 0.005
_T = TypeVar("_T")


class BenchFailed(Exception):
    """A measurement could not be made; the sentence says why."""


def say(text: str) -> None:
    """Progress, for a person who waits."""
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds used so far, by part of the engine, and when that was (``loop.time()``)."""

    at: float
    cpu_s: dict[str, float]

    def percent_since(self, before: Usage) -> dict[str, float]:
        """Percent of a core by part, and ``total``."""
        passed_s = self.at - before.at
        parts = {
            name: 100 * (used - before.cpu_s[name]) / passed_s for name, used in self.cpu_s.items()
        }
        return {**parts, "total": sum(parts.values())}


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine and a client of it."""

    state: StateDir
    client: HttpClient

    @property
    def info(self) -> Obj:
        return engine_of(self.state)

    @property
    def url(self) -> str:
        first: str = self.info["http"]["urls"][0]
        return first

    def pids(self) -> dict[str, list[int]]:
        """The processes that are nodrop itself: control plane, keeper, proxy. Pods are none."""
        info = self.info
        pids = info["pids"]
        return {
            "control plane": [pids["engine"]],
            "keeper": [pids["keeper"]],
            "proxy": _proxies(pids["keeper"], self.state),
        }

    def usage(self) -> Usage:
        now = asyncio.get_running_loop().time()
        return Usage(now, {name: cpu_s(pids) for name, pids in self.pids().items()})

    async def until_available(self, name: str, replicas: int) -> None:
        """Return once the Deployment has so many available pods, all of its newest version."""
        scope = Scope("default", fields=(("metadata.name", name),))
        page = await self.client.list(DEPLOYMENT, scope)
        if any(_is_available(obj, replicas) for obj in page.items):
            return
        try:
            async with asyncio.timeout(_AVAILABLE_TIMEOUT_S):
                async for event in self.client.watch(DEPLOYMENT, scope, since=page.revision):
                    if _is_available(event.obj, replicas):
                        return
        except TimeoutError:
            raise BenchFailed(
                f"{name} had no {replicas} available pods after {_AVAILABLE_TIMEOUT_S:g} s"
            ) from None


def _is_available(deployment: Obj, replicas: int) -> bool:
    status = deployment.get("status") or {}
    counts = ("replicas", "updatedReplicas", "availableReplicas")
    return status.get("observedGeneration") == deployment["metadata"]["generation"] and all(
        status.get(count) == replicas for count in counts
    )


def _proxies(keeper: int, state: StateDir) -> list[int]:
    """HAProxy processes run by the keeper for the proxy (pods may be HAProxies too)."""
    found = []
    for process in psutil.Process(keeper).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if Path(process.cwd()) == state.proxy:
                found.append(process.pid)
    return found


def cpu_s(pids: Iterable[int]) -> float:
    """CPU seconds, user and system, that processes have used."""
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return sum(time.user + time.system for time in times)


def rss_bytes(pids: Iterable[int]) -> int:
    """Resident memory; pages that processes share count in each."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def pss_bytes(pids: Iterable[int]) -> int:
    """Proportional memory: a page shared by n processes counts 1/n in each."""
    return sum(psutil.Process(pid).memory_full_info().pss for pid in pids)


# Starting and ending


@asynccontextmanager
async def state_folder() -> AsyncIterator[StateDir]:
    """A fresh state folder; whatever runs in it is ended and it is removed at the end."""
    state = StateDir(Path(tempfile.mkdtemp(prefix="nodrop-bench-")))
    try:
        yield state
    finally:
        await asyncio.shield(_end_and_remove(state))


@asynccontextmanager
async def engine_in(
    state: StateDir, arguments: Sequence[str] = FREE_PORTS
) -> AsyncIterator[Engine]:
    """The engine of a state folder, started if need be. It runs on afterwards."""
    await ensure_engine(state, arguments)
    async with connect(state) as client:
        yield Engine(state, client)


@asynccontextmanager
async def fresh_engine() -> AsyncIterator[Engine]:
    """An engine with nothing in it, on free ports; gone at the end."""
    async with state_folder() as state, engine_in(state) as engine:
        yield engine


async def end(state: StateDir) -> None:
    """``nodrop down``: everything gracefully; the objects stay. Raises BenchFailed."""
    if said := await down_apart(state, timeout_s=_STOP_TIMEOUT_S):
        raise BenchFailed(f"the engine in {state.root} could not be ended: {said}")


async def _end_and_remove(state: StateDir) -> None:
    await end(state)
    shutil.rmtree(state.root)


def free_port() -> int:
    """A port that no address of this machine has in use, for a program to listen at soon.

    Not one of those that the kernel hands out: it would give it to anybody else meanwhile.
    """
    while True:
        port = random.choice(_UNASKED)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port


# Asking


async def until_answered(url: str) -> float:
    """Ask again and again until the answer is 200; returns when it was (``loop.time()``)."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            while await status_of(host, int(port)) != 200:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(_BETWEEN_TRIES_S)
    except TimeoutError:
        raise BenchFailed(f"{url} did not answer within {_ANSWER_TIMEOUT_S:g} s") from None
    return asyncio.get_running_loop().time()


async def status_of(host: str, port: int) -> int | None:
    """The status of an answer on a new connection; 0 without one, None when it was refused."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return None
    except OSError:
        return 0
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        words = (await reader.readline()).split()
        return int(words[1]) if len(words) > 1 else 0
    except OSError:
        return 0
    finally:
        writer.close()


async def output_of(what: str, *argv: str, timeout_s: float) -> bytes:
    """What a program prints. Raises BenchFailed when ``what`` fails or takes too long."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(timeout_s):
            out, _ = await process.communicate()
    except TimeoutError:
        raise BenchFailed(f"{what} took longer than {timeout_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise BenchFailed(f"{what} failed")
    return out


async def timed(work: Awaitable[_T]) -> tuple[_T, float]:
    """What ``work`` returns and how many seconds it took."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    return await work, loop.time() - start
