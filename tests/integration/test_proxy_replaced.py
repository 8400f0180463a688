"""Replacing HAProxy under load, by itself or by another version: nothing is lost, ever."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from pathlib import Path

import pytest

from bench.engine import free_port
from nodrop.keeper.protocol import Keeper
from nodrop.proxy.haproxy.binary import find_binary, parse_version, version_of
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import Backend, InFlight, Listener, ProxyFailure, RoutingTable
from tests.integration.test_proxy_haproxy import ANY, WEB, World, backend, swap, table, world
from tests.integration.test_proxy_streams import Lingering
from tests.unit.proxy.support import Client, Load, Pod

__all__ = ["world"]

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"


def other_haproxy() -> Path:
    """The system's HAProxy; the test is skipped where there is none besides the wheel's."""
    found = shutil.which("haproxy", path=_PATH)
    if found is None:
        pytest.skip("no second HAProxy on PATH (apt-get install haproxy)")
    return Path(found)


async def test_replaced_again_and_again_between_two_versions_under_load(world: World) -> None:
    """S13: swaps of all pods go on meanwhile; each old pod dies at once when it is drained."""
    programs = (other_haproxy(), find_binary())
    assert version_of(programs[0]) != version_of(programs[1]) != ()
    await _replace_under_load(world, programs, times=6)


async def test_replaced_by_itself_under_load(world: World) -> None:
    await _replace_under_load(world, (find_binary(),), times=4)


async def _replace_under_load(world: World, programs: tuple[Path, ...], times: int) -> None:
    proxy = await world.driver()
    listener = Listener("127.0.0.1", free_port())
    pods = [await Pod("v0", delay_s=0.005).start()]
    await proxy.apply(table(*pods, listener=listener))
    async with Load("127.0.0.1", world.port) as web, Load(*listener) as service:
        for number in range(1, times + 1):
            await proxy.replace(programs[number % len(programs)])
            new = [Pod(f"v{number}", delay_s=0.005)]
            await swap(proxy, pods, new, listener)
            pods = new
            await web.reached(30)
            await service.reached(30)
    assert (web.lost, service.lost) == ([], [])
    assert await mains(proxy) == 1
    async with asyncio.timeout(30):
        while await proxy._processes.retired("proxy-main"):
            await proxy.verify()
            await asyncio.sleep(0.05)
    await proxy.close()


async def test_a_replaced_process_sleeps(world: World) -> None:
    """It is not woken by connections to sockets that it has let go of (they are others' too)."""
    proxy = await world.driver()
    pod = await Pod("pod").start()
    pod.answers.clear()
    await proxy.apply(table(pod))
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(Client("127.0.0.1", world.port).request("/slow"))
        while not pod.requests:
            await asyncio.sleep(0.01)
        knocking = group.create_task(_knock(world.keeper))
        await proxy.replace(find_binary())
        knocking.cancel()
        (old, _), *_ = await proxy._processes.retired("proxy-main")
        pid = next(one.pid for one in await world.keeper.list() if one.id == old.id)
        process = Path(f"/proc/{pid}")
        assert watched(process) <= {int(entry.name) for entry in (process / "fd").iterdir()}
        pod.answers.set()
    assert slow.result()[0] == 200
    await proxy.close()


async def _knock(keeper: Keeper) -> None:
    """New connections to every socket, one after another."""
    places = list((await keeper.listening()).values())
    while True:
        for host, port in places:
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            await writer.wait_closed()


def watched(process: Path) -> set[int]:
    """The file descriptors that the process's epoll instances watch."""
    return {
        int(line.split()[1])
        for entry in (process / "fdinfo").iterdir()
        for line in entry.read_text().splitlines()
        if line.startswith("tfd:")
    }


async def mains(proxy: HAProxy) -> int:
    return len(await proxy._processes.running("proxy-main"))


async def test_what_a_replaced_main_has_in_hand_is_waited_for(world: World) -> None:
    """Also by an engine that starts after the replacement; then it ends by itself."""
    proxy = await world.driver()
    old, new = await Pod("old").start(), await Pod("new").start()
    old.answers.clear()
    await proxy.apply(table(old))
    async with asyncio.TaskGroup() as group:
        slow = group.create_task(Client("127.0.0.1", world.port).request("/slow"))
        while not old.requests:
            await asyncio.sleep(0.01)
        await proxy.replace(find_binary())
        await proxy.apply(table(new))
        await proxy.close()
        again = await world.driver()
        for driver in (proxy, again):
            assert (await driver.drain("uid-old", 0.1)).requests == 1
        old.answers.set()
        assert (await again.drain("uid-old", 20)).requests == 0
        assert await slow == (200, "old")
    await again.apply(table(new))
    async with asyncio.timeout(30):
        while await again._processes.retired("proxy-main"):
            await again.verify()
            await asyncio.sleep(0.05)
    await again.close()
    await proxy.close()


async def test_an_idle_connection_of_a_replaced_main_reaches_the_pods_of_now(world: World) -> None:
    """Also when the engine was restarted in between: a file says what the old slots are for."""
    proxy = await world.driver()
    pods = [await Pod(name).start() for name in ("a", "b", "c")]
    await proxy.apply(table(pods[0]))
    idle = [Client("127.0.0.1", world.port) for _ in range(2)]
    for client in idle:
        assert await client.request("/") == (200, "a")
    await proxy.replace(find_binary())
    await proxy.apply(table(pods[1]))
    await pods[0].die()
    assert await idle[0].request("/") == (200, "b")
    await proxy.close()
    again = await world.driver()
    await again.apply(table(pods[2]))
    assert (await again.drain("uid-b", 10)).requests == 0
    await pods[1].die()
    assert await idle[1].request("/") == (200, "c")
    await again.close()


async def test_no_more_than_three_replaced_mains_are_kept_for_their_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest one's are closed and told; a request or an answer that it has in hand goes on."""
    monkeypatch.setattr("nodrop.proxy.haproxy.retired._ANSWER_S", 600)
    monkeypatch.setattr("nodrop.proxy.haproxy.retired._SPREAD_S", 0.3)
    proxy = await world.driver()
    fast, slow = await Pod("fast").start(), Lingering()
    await proxy.apply(RoutingTable(pools={WEB: frozenset({await slow.start()})}, routes={ANY: WEB}))
    async with asyncio.TaskGroup() as group:
        patient = group.create_task(Client("127.0.0.1", world.port).request("/poll"))
        reader = Client("127.0.0.1", world.port)
        answered = group.create_task(reader.request("/download"))
        while (await proxy.drain("uid-old", 0, answers_s=0)) != InFlight(1, 1):
            await asyncio.sleep(0.01)
        await proxy.apply(table(fast))
        sockets: list[WebSocket] = []
        for _ in range(5):
            sockets.append(await WebSocket.open(world.port))
            await proxy.replace(find_binary())
        assert len(await proxy._processes.retired("proxy-main")) == 5
        async with Load("127.0.0.1", world.port, clients=2) as load:
            await proxy.verify()
            await load.reached(10)
        assert load.lost == []
        assert [await one.echoes() for one in sockets] == [False, False, True, True, True]
        assert [patient.done(), answered.done()] == [False, False]
        slow.close()
        assert (await patient, await answered) == ((200, "done"), (200, "done"))
        await reader.close()
    told = sorted(proxy.cuts.get_nowait() for _ in range(2))
    assert told[0].startswith("1 long-lived connections of proxy-main-1 were closed: it was")
    assert proxy.cuts.empty()
    async with asyncio.timeout(20):
        while len(await proxy._processes.retired("proxy-main")) > 3:
            await proxy.verify()
            await asyncio.sleep(0.02)
    for one in sockets:
        one.close()
    await proxy.close()


async def test_no_more_than_three_replaced_edges_are_kept_for_their_streams(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every new Service replaces the edge. Main tells what a request is: that one goes on."""
    monkeypatch.setattr("nodrop.proxy.haproxy.retired._SPREAD_S", 0.3)
    proxy = await world.driver()
    fast, slow = await Pod("fast").start(), Lingering()
    old = await slow.start()
    places = [Listener("127.0.0.1", free_port()) for _ in range(6)]

    async def listen(count: int, pod: Backend) -> None:
        listeners = dict.fromkeys(places[:count], WEB)
        await proxy.apply(RoutingTable(pools={WEB: frozenset({pod})}, listeners=listeners))

    await listen(1, old)
    async with asyncio.TaskGroup() as group:
        waits, idle = Client(*places[0]), Client(*places[0])
        patient = group.create_task(waits.request("/poll"))
        while (await proxy.drain("uid-old", 0)) != InFlight(1):
            await asyncio.sleep(0.01)
        sockets: list[WebSocket] = []
        for count in range(1, 6):
            await listen(count, backend(fast))
            sockets.append(await WebSocket.open(places[0].port))
            if count == 1:
                assert await idle.request("/") == (200, "fast")
        await listen(6, backend(fast))
        assert len(await proxy._processes.retired("proxy-edge")) == 5
        async with Load(*places[0], clients=2) as load:
            await proxy.verify()
            await load.reached(10)
        assert load.lost == []
        assert [await one.echoes() for one in sockets] == [False, False, True, True, True]
        assert await idle.request("/") == (200, "fast")
        assert not patient.done()
        slow.close()
        assert await patient == (200, "done")
    told = sorted(proxy.cuts.get_nowait() for _ in range(2))
    assert told[0].startswith("1 long-lived connections of proxy-edge-1 were closed: it was")
    assert proxy.cuts.empty()
    for client in (waits, idle):
        await client.close()
    async with asyncio.timeout(20):
        while len(await proxy._processes.retired("proxy-edge")) > 3:
            await proxy.verify()
            await asyncio.sleep(0.02)
    for one in sockets:
        one.close()
    await proxy.close()


class WebSocket:
    """An open one, whose pod sends back what it gets."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @staticmethod
    async def open(port: int) -> WebSocket:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
        return WebSocket(reader, writer)

    async def echoes(self) -> bool:
        """Whether it is still open."""
        try:
            self._writer.write(b"ping")
            return await asyncio.wait_for(self._reader.readexactly(4), 20) == b"ping"
        except (OSError, asyncio.IncompleteReadError):
            return False

    def close(self) -> None:
        self._writer.transport.abort()


async def test_a_program_that_does_not_come_up_changes_nothing(
    world: World, tmp_path: Path
) -> None:
    proxy = await world.driver()
    with pytest.raises(ProxyFailure, match="no routing table yet"):
        await proxy.replace(find_binary())
    pod = await Pod("v1").start()
    await proxy.apply(table(pod))
    before = await world.pid("proxy-main")
    broken = tmp_path / "haproxy"
    broken.write_text("#!/bin/sh\necho broken >&2\nexit 1\n")
    broken.chmod(0o755)
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(10)
        with pytest.raises(ProxyFailure, match=r"does not start: .*broken"):
            await proxy.replace(broken)
        await load.reached(10)
        new = await Pod("v2").start()
        await proxy.apply(table(new))
        assert (await proxy.drain("uid-v1", 10)).requests == 0
        await pod.die()
        await load.reached(10)
    assert load.lost == []
    assert await world.pid("proxy-main") == before
    await proxy.close()


async def test_a_replaced_main_that_is_killed_is_not_started_again(world: World) -> None:
    proxy = await world.driver()
    pod = await Pod("v1", delay_s=0.005).start()
    await proxy.apply(table(pod))
    idle = Client("127.0.0.1", world.port)
    assert await idle.request("/") == (200, "v1")
    old = await world.pid("proxy-main")
    await proxy.replace(find_binary())
    os.kill(old, signal.SIGKILL)
    async with asyncio.timeout(60):
        while await proxy._processes.retired("proxy-main"):
            await asyncio.sleep(0.02)
    await idle.close()
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(20)
        await proxy.apply(table(pod, await Pod("v2").start()))
    assert load.lost == []
    assert await mains(proxy) == 1
    await proxy.close()


def test_versions_are_read() -> None:
    assert parse_version("HAProxy version 2.6.12-1+deb12u3 2025/10/03") == (2, 6, 12)
    assert version_of(Path("/nonexistent")) == ()
