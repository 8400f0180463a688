"""The proxy's log with the real HAProxy: every line arrives, or is told to be dropped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.haproxy.log import Line, parse_line
from nodrop.proxy.haproxy.log_socket import receive
from tests.integration.test_proxy_haproxy import WEB, World, table, world
from tests.unit.proxy.support import Client, Pod

__all__ = ["world"]


async def driver(world: World, *, access_log: bool) -> HAProxy:
    proxy = HAProxy(
        keeper=world.keeper,
        folder=world.folder,
        sockets=world.sockets,
        binary=find_binary(),
        ingress_sockets=("ingress/test",),
        log_socket=world.sockets / "log.sock",
        access_log=access_log,
    )
    await proxy.start()
    return proxy


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[list[str]]:
    """The lines so far, read as the engine reads them."""
    lines: list[str] = []
    task = asyncio.ensure_future(receive(path, lines.extend))
    try:
        yield lines
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def ask(world: World, paths: list[str]) -> None:
    client = Client("127.0.0.1", world.port)
    for path in paths:
        assert (await client.request(path))[0] == 200
    await client.close()


async def test_every_request_is_told_with_its_pod(world: World) -> None:
    proxy = await driver(world, access_log=True)
    pod = await Pod("v1").start()
    await proxy.apply(table(pod))
    await ask(world, ["/early"])  # nobody listens yet: the ring keeps it
    async with reading(world.sockets / "log.sock") as lines, asyncio.timeout(30):
        await ask(world, [f"/{number}?secret" for number in range(20)])
        while len(lines) < 21:
            await asyncio.sleep(0.01)
    found = [parse_line(line) for line in lines]
    requests = [line.request for line in found if isinstance(line, Line) and line.request]
    assert [request.path for request in requests] == ["/early", *(f"/{n}" for n in range(20))]
    assert {line.server.partition("_")[0] for line in found if line} == {f"uid-{pod.name}"}
    assert {proxy.pool_of(line.slot) for line in found if line} == {WEB}
    await proxy.close()


async def test_a_sample_is_told_by_default(world: World) -> None:
    proxy = await driver(world, access_log=False)
    await proxy.apply(table(await Pod("v1").start()))
    async with reading(world.sockets / "log.sock") as lines, asyncio.timeout(60):
        sent = 0
        while len(lines) < 10:
            await ask(world, ["/"] * 50)
            sent += 50
    assert 10 <= len(lines) < sent / 4
    line = parse_line(lines[0])
    assert line is not None
    assert (line.code, line.request) == (200, None)
    await proxy.close()
