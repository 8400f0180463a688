"""TLS to backends with the real HAProxy, the wheel's and the system's: names, authorities, hot."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme

from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import Keeper
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import (
    Backend,
    BackendTls,
    Listener,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)
from tests.unit.proxy.support import Load, Pod
from tests.unit.proxy.tls import Answer, ask

WEB = ServicePort("default", "web", 443)
ANY = Route("", "/", False)
GOOD, OTHER = trustme.CA(), trustme.CA()
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


class TlsPod(Pod):
    """Its certificate is for web.example, by GOOD; remembers which names it was asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.asked: list[str | None] = []

    async def start(self) -> TlsPod:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        GOOD.issue_cert("web.example").configure_cert(context)
        context.sni_callback = lambda _, asked, __: self.asked.append(asked)
        self._server = await asyncio.start_server(self._serve, self.address, 0, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]
        Pod.alive.add(self)
        return self


@dataclass
class World:
    keeper: Keeper
    folder: Path
    sockets: Path
    binary: Path
    port: int

    async def driver(self) -> HAProxy:
        proxy = HAProxy(
            keeper=self.keeper, folder=self.folder, sockets=self.sockets, binary=self.binary,
            ingress_sockets=["ingress/test"], slots=8,
        )  # fmt: skip
        await proxy.start()
        return proxy

    async def ask(self, host: str = "shop.example") -> Answer:
        return await ask(self.port, "/", host)

    async def kill(self, proxy: HAProxy) -> None:
        for record in await self.keeper.list():
            if record.labels.get("nodrop.dev/proxy") == "proxy-main":
                await self.keeper.signal(record.id, signal.SIGKILL)
        while await proxy.verify():
            await asyncio.sleep(0.01)


@pytest.fixture(params=["wheel", "system"])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    binary = find_binary() if request.param == "wheel" else _system()
    with tempfile.TemporaryDirectory(prefix="nd", dir="/tmp") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        yield World(keeper, tmp_path / "proxy", Path(sockets), binary, port)
        await Pod.end_all()
        await keeper.shutdown()


def _system() -> Path:
    found = shutil.which("haproxy", path=_PATH)
    if found is None:
        pytest.skip("no second HAProxy on PATH (apt-get install haproxy)")
    return Path(found)


def table(
    *pods: Pod,
    tls: BackendTls | None = None,
    options: RouteOptions | None = None,
    listener: Listener | None = None,
) -> RoutingTable:
    backends = (Backend(f"uid-{pod.name}", pod.name, pod.address, pod.port, tls) for pod in pods)
    return RoutingTable(
        pools={WEB: frozenset(backends)},
        routes={ANY: WEB},
        protocols={WEB: "https"},
        listeners={listener: WEB} if listener else {},
        options={ANY: options} if options else {},
    )


async def test_who_is_not_the_one_that_was_meant_gets_nothing(world: World) -> None:
    """Checked by name and by authority, changed at run time, again after a crash."""
    proxy = await world.driver()
    pod = await TlsPod("a").start()
    main = await proxy._processes.running("proxy-main")

    async def answers(tls: BackendTls | None) -> int:
        await proxy.apply(table(pod, tls=tls))
        return (await world.ask()).status

    assert await answers(None) == 200
    assert await answers(BackendTls("web.example", pem(GOOD))) == 200
    assert await answers(BackendTls("web.example", pem(OTHER))) == 503
    assert await answers(BackendTls("other.example", pem(GOOD))) == 503
    assert await answers(BackendTls("web.example", "", closed=True)) == 503
    assert await answers(BackendTls("other.example")) == 200
    assert pod.asked == [None, "web.example", *pod.asked[2:-1], "other.example"]
    both = pem(OTHER) + pem(GOOD)
    assert await answers(BackendTls("web.example", both)) == 200
    assert await proxy._processes.running("proxy-main") == main, "nothing was started anew"
    await world.kill(proxy)
    assert (await world.ask()).status == 200
    assert await answers(BackendTls("web.example", both)) == 200
    assert len(list((world.folder / "authorities").iterdir())) == 1
    await proxy.close()
    again = await world.driver()
    await again.apply(table(pod, tls=BackendTls("web.example", pem(GOOD))))
    assert (await world.ask()).status == 200
    await again.close()


async def test_how_tls_is_spoken_changes_under_load_without_loss(world: World) -> None:
    """S13: also by a main that was replaced meanwhile."""
    proxy = await world.driver()
    pods = [await TlsPod(name).start() for name in "ab"]
    await proxy.apply(table(*pods))
    tlss = (BackendTls("web.example"), BackendTls("web.example", pem(GOOD)), None)
    async with Load("127.0.0.1", world.port, clients=4) as load:
        for turn in range(9):
            await load.reached(10)
            await proxy.apply(table(*pods, tls=tlss[turn % 3]))
            if turn == 5:
                await proxy.replace(world.binary)
        await load.reached(10)
    assert load.lost == []
    await proxy.close()


async def test_a_host_may_be_named_otherwise_than_the_client_names_it(world: World) -> None:
    """upstream-vhost: without it a pod, and an ExternalName, sees the client's Host."""
    proxy = await world.driver()
    pod = await TlsPod("a").start()
    await proxy.apply(table(pod))
    await world.ask()
    await proxy.apply(table(pod, options=RouteOptions(upstream_host="there.example:8443")))
    await world.ask()
    seen = [
        sorted(line for line in head.lower().split("\r\n") if "host:" in line) for head in pod.heads
    ]
    assert seen == [
        ["host: shop.example", "x-forwarded-host: shop.example"],
        ["host: there.example:8443", "x-forwarded-host: shop.example"],
    ]
    await proxy.close()


async def test_addresses_of_a_host_come_and_go_without_loss(world: World) -> None:
    """S13: an ExternalName whose addresses change, and whose old ones end at once."""
    proxy = await world.driver()

    def named(*pods: Pod) -> RoutingTable:
        tls = BackendTls("web.example", pem(GOOD))
        return table(*pods, tls=tls)

    pods = [await TlsPod("v0").start()]
    await proxy.apply(named(*pods))
    async with Load("127.0.0.1", world.port, clients=4) as load:
        for version in range(1, 8):
            new = await TlsPod(f"v{version}").start()
            await proxy.apply(named(new))
            assert (await proxy.drain(f"uid-v{version - 1}", 10)).requests == 0
            await pods.pop().die()
            pods.append(new)
            await load.reached(10)
    assert load.lost == []
    await proxy.close()
