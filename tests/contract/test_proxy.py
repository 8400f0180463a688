"""One suite for every data plane: HAProxy and the one in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest
from trustme import CA

from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import Keeper
from nodrop.model.ingressoptions import WEIGHT_PARTS
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.protocol import (
    Backend,
    Canary,
    Certificate,
    InFlight,
    Listener,
    Proxy,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)
from tests.contract.simulated import simulated_proxy
from tests.unit.proxy.support import Client, Pod
from tests.unit.proxy.tls import pem_of, shown

WEB = ServicePort("default", "web", 80)
API = ServicePort("default", "api", 80)


class Plane(Protocol):
    """A data plane under test, and a client of it."""

    @property
    def proxy(self) -> Proxy: ...

    async def pod(self, name: str) -> Backend: ...

    async def ask(self, host: str, path: str) -> tuple[int, str]:
        """(status, name of the pod that answered)."""
        ...

    async def shown(self, name: str) -> str:
        """The name in the certificate for ``name``; empty for the self-signed one."""
        ...

    async def hang(self) -> None:
        """Start a request that goes on until ``let_go``."""
        ...

    async def let_go(self) -> None: ...

    async def stream(self) -> None:
        """Open a long-lived connection that only ``cut`` ends."""
        ...

    async def taken(self) -> Listener:
        """A listener that can't be had."""
        ...

    async def crash(self) -> None: ...


class Memory:
    def __init__(self) -> None:
        self.proxy = MemoryProxy()
        self._hanging: list[Backend] = []

    async def pod(self, name: str) -> Backend:
        return Backend(f"uid-{name}", name, "127.0.0.1", 80)

    async def ask(self, host: str, path: str) -> tuple[int, str]:
        pool = self.proxy.pool_for(host, path)
        if pool is None:
            return 404, ""
        backend = self.proxy.choose(pool)
        if backend is None:
            return 503, ""
        self.proxy.begin(pool, backend)
        await self.proxy.end(backend)
        return 200, backend.name

    async def shown(self, name: str) -> str:
        found = self.proxy.certificate_for(name)
        return found.hosts[0] if found else ""

    async def hang(self) -> None:
        pool = self.proxy.pool_for("x", "/")
        assert pool is not None
        backend = self.proxy.choose(pool)
        assert backend is not None
        self.proxy.begin(pool, backend)
        self._hanging.append(backend)

    async def let_go(self) -> None:
        await self.proxy.end(self._hanging.pop())

    async def stream(self) -> None:
        pool = self.proxy.pool_for("x", "/")
        assert pool is not None
        backend = self.proxy.choose(pool)
        assert backend is not None
        self.proxy.open_stream(backend)

    async def taken(self) -> Listener:
        listener = Listener("127.0.0.1", 1)
        self.proxy.unavailable = {listener: "in use"}
        return listener

    async def crash(self) -> None:
        self.proxy.crash()


class Simulated:
    """The simulator's data plane: the one in memory for routing, with its own counting."""

    def __init__(self) -> None:
        self.proxy = simulated_proxy()
        self._memory = Memory()
        self._memory.proxy = self.proxy.memory
        self._hanging: list[Backend] = []

    async def pod(self, name: str) -> Backend:
        return await self._memory.pod(name)

    async def ask(self, host: str, path: str) -> tuple[int, str]:
        return await self._memory.ask(host, path)

    async def shown(self, name: str) -> str:
        return await self._memory.shown(name)

    async def hang(self) -> None:
        pool = self.proxy.memory.pool_for("x", "/")
        assert pool is not None
        backend = self.proxy.memory.choose(pool)
        assert backend is not None
        self.proxy.begin(backend)
        self._hanging.append(backend)

    async def let_go(self) -> None:
        self.proxy.end(self._hanging.pop())

    async def stream(self) -> None:
        pool = self.proxy.memory.pool_for("x", "/")
        assert pool is not None
        backend = self.proxy.memory.choose(pool)
        assert backend is not None
        pod = backend.pod

        def close() -> None:
            self.proxy.end_stream(pod, close)

        self.proxy.open_stream(pod, close)

    async def taken(self) -> Listener:
        return await self._memory.taken()

    async def crash(self) -> None:
        self.proxy.memory.crash()


class Real:
    def __init__(self, proxy: HAProxy, keeper: Keeper, port: int, tls_port: int) -> None:
        self._tls_port = tls_port
        self.proxy = proxy
        self._keeper = keeper
        self._port = port
        self._hanging: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._streams: list[asyncio.StreamWriter] = []

    def close(self) -> None:
        for writer in self._streams:
            writer.close()

    async def pod(self, name: str) -> Backend:
        pod = await Pod(name).start()
        return Backend(f"uid-{name}", name, pod.address, pod.port)

    async def ask(self, host: str, path: str) -> tuple[int, str]:
        client = Client("127.0.0.1", self._port, host)
        status, body = await client.request(path)
        await client.close()
        return status, body if status == 200 else ""

    async def shown(self, name: str) -> str:
        return next(iter(await shown(self._tls_port, name)), "")

    async def hang(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        await writer.drain()
        async with asyncio.timeout(60):
            while not any(b.in_flight for b in (await self.proxy.stats()).backends.values()):
                await asyncio.sleep(0.005)
        self._hanging.append((reader, writer))

    async def let_go(self) -> None:
        reader, writer = self._hanging.pop()
        writer.write(b"2")
        assert b" 200 " in await reader.readline()
        writer.close()

    async def stream(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(
            b"GET /socket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in await reader.readline()
        self._streams.append(writer)

    async def taken(self) -> Listener:
        return Listener("127.0.0.1", self._port)

    async def crash(self) -> None:
        for record in await self._keeper.list():
            await self._keeper.signal(record.id, 9)


@pytest.fixture(params=["memory", "simulated", "haproxy"])
async def plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Plane]:
    if request.param == "memory":
        yield Memory()
        return
    if request.param == "simulated":
        yield Simulated()
        return
    with tempfile.TemporaryDirectory(prefix="nd", dir="/tmp") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        tls_port = await keeper.listen("ingress-tls/test", "127.0.0.1", 0)
        proxy = HAProxy(
            keeper=keeper, folder=tmp_path / "proxy", sockets=Path(sockets),
            binary=find_binary(), ingress_sockets=["ingress/test"],
            tls_sockets=["ingress-tls/test"], slots=8,
        )  # fmt: skip
        await proxy.start()
        real = Real(proxy, keeper, port, tls_port)
        yield real
        real.close()
        await proxy.close()
        await Pod.end_all()
        await keeper.shutdown()


def certificate(host: str) -> Certificate:
    return Certificate(f"default/{host.removeprefix('*.')}", (host,), pem_of(CA().issue_cert(host)))


def table(*backends: Backend) -> RoutingTable:
    return RoutingTable({WEB: frozenset(backends)}, {Route("", "/", False): WEB})


async def test_unknown_host_is_404_and_empty_pool_503(plane: Plane) -> None:
    await plane.proxy.apply(RoutingTable())
    assert await plane.ask("x", "/") == (404, "")
    await plane.proxy.apply(table())
    assert await plane.ask("x", "/") == (503, "")


async def test_only_pods_of_the_acknowledged_table_get_requests(plane: Plane) -> None:
    """S8 S14."""
    one, two = await plane.pod("one"), await plane.pod("two")
    await plane.proxy.apply(table(one, two))
    assert {await plane.ask("x", "/") for _ in range(6)} == {(200, "one"), (200, "two")}
    await plane.proxy.apply(table(two))
    assert {await plane.ask("x", "/") for _ in range(6)} == {(200, "two")}
    await plane.proxy.apply(table(one))
    assert {await plane.ask("x", "/") for _ in range(6)} == {(200, "one")}


ROUTED = [
    ("a.example", "/", "web"), ("A.example", "/x/y", "web"), ("a.example", "/api", "api"),
    ("a.example", "/api/x", "api"), ("a.example", "/apix", "web"), ("a.example", "/only", "api"),
    ("a.example", "/only/", "web"), ("b.w.example", "/", "api"), ("b.c.w.example", "/", "web"),
    ("w.example", "/", "web"), ("none", "/", "web"),
]  # fmt: skip


async def test_routes_choose_by_host_and_longest_path(plane: Plane) -> None:
    """S1, semantics 4.4."""
    routes = {
        Route("a.example", "/", False): WEB,
        Route("a.example", "/api", False): API,
        Route("a.example", "/only", True): API,
        Route("*.w.example", "/", False): API,
    }
    pods = {pool: frozenset({await plane.pod(pool.service)}) for pool in (WEB, API)}
    await plane.proxy.apply(RoutingTable(pods, routes, WEB))
    for host, path, name in ROUTED:
        assert await plane.ask(host, path) == (200, name), (host, path)


async def test_a_canary_with_all_the_weight_takes_all(plane: Plane) -> None:
    one, two = await plane.pod("one"), await plane.pod("two")
    pools = {WEB: frozenset({one}), API: frozenset({two})}
    route = Route("", "/", False)
    for weight, name in ((WEIGHT_PARTS, "two"), (0, "one")):
        options = {route: RouteOptions(canary=Canary(pool=API, weight=weight))}
        await plane.proxy.apply(RoutingTable(pools, {route: WEB}, options=options))
        assert {await plane.ask("x", "/") for _ in range(4)} == {(200, name)}


async def test_sni_chooses_among_the_certificates_of_the_table(plane: Plane) -> None:
    """Semantics 4.4."""
    exact, wild = certificate("shop.example"), certificate("*.w.example")
    table = RoutingTable(certificates=(exact, wild))
    applied = await plane.proxy.apply(table)
    assert applied.uncertified == {}
    for name, found in (
        ("shop.example", "shop.example"), ("a.w.example", "*.w.example"),
        ("a.b.w.example", ""), ("other", ""),
    ):  # fmt: skip
        assert await plane.shown(name) == found, name
    await plane.proxy.apply(RoutingTable())
    assert await plane.shown("shop.example") == ""


async def test_drain_returns_when_the_last_request_is_over(plane: Plane) -> None:
    """S13."""
    old, new = await plane.pod("old"), await plane.pod("new")
    await plane.proxy.apply(table(old))
    await plane.hang()
    await plane.proxy.apply(table(new))
    assert (await plane.proxy.drain(old.pod, 0.05)).requests == 1
    async with asyncio.TaskGroup() as group:
        drained = group.create_task(plane.proxy.drain(old.pod, 20))
        await asyncio.sleep(0)
        await plane.let_go()
        assert (await drained).requests == 0
    assert (await plane.proxy.drain("uid-never-known", 5)).requests == 0


async def test_a_drain_does_not_wait_for_streams_and_a_cut_closes_them(plane: Plane) -> None:
    """S13: requests are waited for, long-lived connections are only counted."""
    old, new = await plane.pod("old"), await plane.pod("new")
    await plane.proxy.apply(table(old))
    await plane.stream()
    await plane.stream()
    await plane.hang()
    await plane.proxy.apply(table(new))
    assert await plane.proxy.drain(old.pod, 0.5, answers_s=60) == InFlight(1, 2)
    await plane.let_go()
    assert await plane.proxy.drain(old.pod, 60, answers_s=60) == InFlight(0, 2)
    assert await plane.proxy.cut(old.pod, 0.05) == 2
    assert await plane.proxy.drain(old.pod, 20) == InFlight(0, 0)
    assert await plane.proxy.cut(old.pod, 0.05) == 0


async def test_a_listener_that_cannot_be_had_is_refused_and_the_rest_serves(plane: Plane) -> None:
    pod = await plane.pod("one")
    taken = await plane.taken()
    routing = table(pod)
    applied = await plane.proxy.apply(
        RoutingTable(routing.pools, routing.routes, None, {taken: WEB})
    )
    assert "in use" in applied.refused[taken]
    assert await plane.ask("x", "/") == (200, "one")


async def test_counters_are_per_pod(plane: Plane) -> None:
    one = await plane.pod("one")
    await plane.proxy.apply(table(one))
    for _ in range(3):
        await plane.ask("x", "/")
    stats = await plane.proxy.stats()
    assert stats.state == "up"
    for _ in range(500):  # a request is counted when all is over, a moment after its answer
        if stats.backends[(WEB, one)].requests == 3 and not stats.backends[(WEB, one)].in_flight:
            break
        await asyncio.sleep(0.01)
        stats = await plane.proxy.stats()
    assert stats.backends[(WEB, one)].requests == 3
    assert stats.backends[(WEB, one)].in_flight == 0


async def test_a_crash_is_noticed_and_apply_mends_it(plane: Plane) -> None:
    one, two = await plane.pod("one"), await plane.pod("two")
    await plane.proxy.apply(table(one))
    assert await plane.proxy.verify()
    await plane.crash()
    for _ in range(500):  # the operating system closes its connection in its own time
        if not await plane.proxy.verify():
            break
        await asyncio.sleep(0.01)
    assert not await plane.proxy.verify()
    assert await plane.ask("x", "/") == (200, "one")
    await plane.proxy.apply(table(two))
    assert await plane.proxy.verify()
    assert await plane.ask("x", "/") == (200, "two")
