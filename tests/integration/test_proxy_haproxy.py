"""The HAProxy driver with the real HAProxy: nothing is lost by swaps, crashes and restarts."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench.engine import free_port
from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import Keeper
from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.haproxy.layout import Placed, default_layout
from nodrop.proxy.protocol import (
    Backend,
    Listener,
    ProxyFailure,
    Route,
    RoutingTable,
    ServicePort,
)
from tests.unit.proxy.support import Client, Load, Pod

WEB = ServicePort("default", "web", 80)
ANY = Route("", "/", False)


class World:
    """A keeper with one Ingress socket, and drivers over it."""

    def __init__(self, keeper: Keeper, folder: Path, sockets: Path, port: int) -> None:
        self.keeper, self.folder, self.sockets, self.port = keeper, folder, sockets, port

    async def driver(
        self, slots: int = 16, sockets: tuple[str, ...] = ("ingress/test",)
    ) -> HAProxy:
        proxy = HAProxy(
            keeper=self.keeper, folder=self.folder, sockets=self.sockets, binary=find_binary(),
            ingress_sockets=sockets, slots=slots,
        )  # fmt: skip
        await proxy.start()
        return proxy

    async def pid(self, role: str) -> int:
        records = [r for r in await self.keeper.list() if r.labels["nodrop.dev/proxy"] == role]
        return max(records, key=lambda record: record.started_at).pid


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="nd", dir="/tmp") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        yield World(keeper, tmp_path / "proxy", Path(sockets), port)
        await Pod.end_all()
        await keeper.shutdown()


def backend(pod: Pod) -> Backend:
    return Backend(pod=f"uid-{pod.name}", name=pod.name, address=pod.address, port=pod.port)


def table(*pods: Pod, listener: Listener | None = None, waiting: bool = False) -> RoutingTable:
    return RoutingTable(
        pools={WEB: frozenset(backend(pod) for pod in pods)},
        routes={ANY: WEB},
        listeners={listener: WEB} if listener else {},
        waiting=frozenset({WEB} if waiting else ()),
    )


async def swap(proxy: HAProxy, old: list[Pod], new: list[Pod], listener: Listener | None) -> None:
    """All pods replaced in the acknowledged order; each old one dies at once."""
    for pod in new:
        await pod.start()
    await proxy.apply(table(*old, *new, listener=listener))
    await proxy.apply(table(*new, listener=listener))
    for pod in old:
        assert (await proxy.drain(f"uid-{pod.name}", 5)).requests == 0
        await pod.die()


async def test_fifty_swaps_of_all_pods_lose_nothing(world: World) -> None:
    """S2 S13 S14: pods that die at once when they are told lose no request, GET or POST."""
    proxy = await world.driver()
    pods = [await Pod(f"v0-{n}", delay_s=0.005).start() for n in range(2)]
    await proxy.apply(table(*pods))
    async with Load("127.0.0.1", world.port) as load:
        for version in range(1, 51):
            new = [Pod(f"v{version}-{n}", delay_s=0.005) for n in range(2)]
            await swap(proxy, pods, new, None)
            await load.reached(10)
            pods = new
    assert load.lost == []
    assert len(load.answered) > 80
    await proxy.close()


async def test_stopping_pods_first_loses_requests(world: World) -> None:
    """The counter-check: the same load does notice when the order is wrong."""
    proxy = await world.driver()
    pods = [await Pod(f"v0-{n}", delay_s=0.005).start() for n in range(2)]
    await proxy.apply(table(*pods))
    async with Load("127.0.0.1", world.port) as load:
        for version in range(1, 21):
            new = [await Pod(f"v{version}-{n}", delay_s=0.005).start() for n in range(2)]
            await load.reached(10)
            for pod in pods:
                await pod.die()
            await load.reached(10)
            await proxy.apply(table(*new))
            pods = new
    assert load.lost != []
    await proxy.close()


async def test_a_killed_main_comes_back_with_its_routes(world: World) -> None:
    proxy = await world.driver()
    pod = await Pod("v1").start()
    listener = Listener("127.0.0.1", free_port())
    await proxy.apply(table(pod, listener=listener))
    os.kill(await world.pid("proxy-main"), signal.SIGKILL)
    through = Client(*listener)  # waits in the queue of a held socket, twice
    assert await through.request("/") == (200, "v1")
    await through.close()
    os.kill(await world.pid("proxy-main"), signal.SIGKILL)
    client = Client("127.0.0.1", world.port)
    assert await client.request("/") == (200, "v1")
    await client.close()
    assert not await proxy.verify()
    new = Pod("v2")
    await swap(proxy, [pod], [new], listener)
    assert await client.request("/") == (200, "v2")
    await client.close()
    await proxy.close()


async def test_a_crash_is_told_at_once_and_what_came_back_is_looked_at(world: World) -> None:
    proxy = await world.driver()
    pods = [await Pod(name).start() for name in ("a", "b")]
    lost = asyncio.Event()
    proxy.on_lost = lost.set
    await proxy.close()
    assert not lost.is_set(), "we hung up ourselves"
    await proxy.apply(table(*pods))
    assert await proxy.verify()
    os.kill(await world.pid("proxy-main"), signal.SIGKILL)
    async with asyncio.timeout(60):
        await lost.wait()
    assert not await proxy.verify()
    await proxy.apply(table(*pods))
    assert await proxy.verify()
    await proxy.close()


@pytest.mark.parametrize("change", ["server", "map"])
async def test_what_others_have_changed_is_seen_and_mended(world: World, change: str) -> None:
    """The state is compared with what was told, never assumed."""
    proxy = await world.driver()
    pod = await Pod("a").start()
    await proxy.apply(table(pod))
    assert await proxy.verify()
    assert proxy._main is not None
    stranger = await AdminSocket.open(proxy._processes.admin_path(proxy._main))
    section, name = next(
        (section, name)
        for section, servers in proxy._served.servers.items()
        for name in servers
        if name.startswith("uid-")
    )
    if change == "server":
        await stranger.execute([f"set server {section}/{name} state maint"])
    else:
        await stranger.execute(["clear map paths.map"])
    await stranger.close()
    assert not await proxy.verify()
    await proxy.apply(table(pod))
    assert await proxy.verify()
    client = Client("127.0.0.1", world.port)
    assert await client.request("/") == (200, "a")
    await client.close()
    await proxy.close()


async def test_a_main_that_dies_before_the_files_are_written_brings_no_pod_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after it let go of a pod, it starts again from files that name this pod."""
    proxy = await world.driver()
    old, new = await Pod("old").start(), await Pod("new").start()
    await proxy.apply(table(old, new))
    write = proxy._write_files
    dead: list[int] = []

    async def write_late(table: RoutingTable, placed: Placed, *, wait: bool) -> None:
        if not dead:
            dead.append(await world.pid("proxy-main"))
            os.kill(dead[0], signal.SIGKILL)
            client = Client("127.0.0.1", world.port)
            while (await client.request("/"))[0] != 200 or await world.pid("proxy-main") in dead:
                await asyncio.sleep(0.01)
            await client.close()
        await write(table, placed, wait=wait)

    monkeypatch.setattr(proxy, "_write_files", write_late)
    await proxy.apply(table(new))
    assert dead
    client = Client("127.0.0.1", world.port)
    assert {await client.request("/") for _ in range(6)} == {(200, "new")}
    await client.close()
    await proxy.close()


async def test_a_restarted_control_plane_adopts_what_serves(world: World) -> None:
    first = await world.driver()
    old = [await Pod("v1-0", delay_s=0.005).start()]
    listener = Listener("127.0.0.1", free_port())
    await first.apply(table(*old, listener=listener))
    pids = await world.pid("proxy-main"), await world.pid("proxy-edge")
    async with (
        Load("127.0.0.1", world.port) as load,
        Load(listener.host, listener.port) as service_load,
    ):
        for version in range(2, 8):
            await first.close()
            proxy = await world.driver()
            applied = await proxy.apply(table(*old, listener=listener))
            assert applied.reloads == 0
            new = [Pod(f"v{version}-0", delay_s=0.005)]
            await swap(proxy, old, new, listener)
            await load.reached(20)
            await service_load.reached(20)
            old, first = new, proxy
    assert load.lost == []
    assert service_load.lost == []
    assert pids == (await world.pid("proxy-main"), await world.pid("proxy-edge"))
    await first.close()


async def test_new_service_listeners_under_load_lose_nothing(world: World) -> None:
    proxy = await world.driver()
    pod = await Pod("v1").start()
    first = Listener("127.0.0.1", free_port())
    listeners = {first: WEB}
    routing = table(pod)
    await proxy.apply(RoutingTable(routing.pools, routing.routes, None, listeners))
    async with Load(first.host, first.port) as load:
        for _ in range(8):
            listeners = {**listeners, Listener("127.0.0.1", free_port()): WEB}
            applied = await proxy.apply(
                RoutingTable(routing.pools, routing.routes, None, listeners)
            )
            assert applied.reloads == 1
            await load.reached(30)
            for listener in listeners:
                client = Client(*listener)
                assert await client.request("/") == (200, "v1")
                await client.close()
    assert load.lost == []
    await proxy.close()


async def test_more_services_than_slots_grow_without_loss(world: World) -> None:
    proxy = await world.driver(slots=2)
    pods = [await Pod("v1", delay_s=0.005).start()]
    await proxy.apply(table(*pods))
    extra = {
        Route(f"h{n}.example", "/", False): ServicePort("default", f"s{n}", 80) for n in range(5)
    }
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(20)
        own = frozenset(backend(pod) for pod in pods)
        grown = RoutingTable(
            pools={WEB: own, **dict.fromkeys(extra.values(), own)},
            routes={ANY: WEB, **extra},
        )
        assert (await proxy.apply(grown)).reloads == 1
        await load.reached(50)
        client = Client("127.0.0.1", world.port, "h4.example")
        assert await client.request("/") == (200, "v1")
        await client.close()
        new = [Pod("v2", delay_s=0.005)]
        await swap(proxy, pods, new, None)
        await load.reached(50)
    assert load.lost == []
    await proxy.close()


async def test_a_pod_that_dies_abruptly_loses_no_get(world: World) -> None:
    proxy = await world.driver()
    pods = [await Pod(f"v{n}", delay_s=0.005).start() for n in range(3)]
    await proxy.apply(table(*pods))
    async with Load("127.0.0.1", world.port, only_get=True) as load:
        await load.reached(50)
        await pods[0].die()
        await load.reached(50)
        await proxy.apply(table(*pods[1:]))
        await load.reached(50)
    assert load.lost == []
    await proxy.close()


async def test_a_post_is_never_sent_twice(world: World) -> None:
    proxy = await world.driver()

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(1)
        writer.close()

    seen: list[int] = []
    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    pool = {WEB: frozenset({Backend("u", "p", "127.0.0.1", port)})}
    await proxy.apply(RoutingTable(pool, {ANY: WEB}))
    client = Client("127.0.0.1", world.port)
    status, _ = await client.request("/", "POST")
    assert status == 502
    assert len(seen) == 1
    await client.close()
    server.close()
    await proxy.close()


async def test_drain_waits_for_the_slow_request(world: World) -> None:
    """S13: what is in flight is finished; nothing new arrives."""
    proxy = await world.driver()
    old, new = await Pod("old").start(), await Pod("new").start()
    old.answers.clear()
    await proxy.apply(table(old))
    async with asyncio.TaskGroup() as group:
        client = Client("127.0.0.1", world.port)
        slow = group.create_task(client.request("/slow"))
        while not old.requests:
            await asyncio.sleep(0.005)
        await proxy.apply(table(new))
        assert (await proxy.drain("uid-old", 0.05)).requests == 1
        old.answers.set()
        assert (await proxy.drain("uid-old", 10)).requests == 0
        assert await slow == (200, "old")
        assert await client.request("/next") == (200, "new")
        await client.close()
    await proxy.close()


async def test_no_pod_answers_503_at_once_and_a_pod_on_its_way_is_waited_for(
    world: World,
) -> None:
    proxy = await world.driver()
    await proxy.apply(table())
    client = Client("127.0.0.1", world.port)
    status, body = await client.request("/")
    assert (status, body) == (503, "nodrop: no pod of this Service is ready\n")
    await proxy.apply(table(waiting=True))
    async with asyncio.TaskGroup() as group:
        held = group.create_task(client.request("/"))
        await asyncio.sleep(0.3)
        assert not held.done()
        pod = await Pod("late").start()
        await proxy.apply(table(pod))
        assert await held == (200, "late")
    await client.close()
    await proxy.close()


HOSTS = {
    ("shop.example", "/"): "shop",
    ("SHOP.example:80", "/other"): "shop",
    ("shop.example", "/api"): "exact",
    ("shop.example", "/api/"): "prefix",
    ("shop.example", "/api/v1?x=/y"): "prefix",
    ("shop.example", "/apis"): "shop",
    ("a.wild.example", "/w/x"): "wild",
    ("a.b.wild.example", "/w/x"): "any",
    ("wild.example", "/w"): "any",
    ("part.example", "/api/x"): "prefix",
    ("part.example:80", "/w"): "default",
    ("a.wild.example", "/elsewhere"): "default",
    ("other.example", "/w"): "any",
    ("other.example", "/"): "default",
}


async def test_hosts_and_paths_choose_the_pool(world: World) -> None:
    """S1; semantics 4.4: exact host, wildcard, any host; longest path; Exact before Prefix."""
    proxy = await world.driver()
    routes = {
        Route("shop.example", "/", False): "shop",
        Route("shop.example", "/api", False): "prefix",
        Route("shop.example", "/api", True): "exact",
        Route("part.example", "/api", False): "prefix",
        Route("*.wild.example", "/w", False): "wild",
        Route("", "/w", False): "any",
    }
    names = {*routes.values(), "default"}
    pods = {name: await Pod(name).start() for name in names}
    pools = {ServicePort("d", name, 80): frozenset({backend(pods[name])}) for name in names}
    routing = RoutingTable(
        pools,
        {route: ServicePort("d", name, 80) for route, name in routes.items()},
        ServicePort("d", "default", 80),
    )
    await proxy.apply(routing)
    for (host, path), expected in HOSTS.items():
        client = Client("127.0.0.1", world.port, host)
        assert await client.request(path) == (200, expected), (host, path)
        await client.close()
    await proxy.apply(RoutingTable(pools, routing.routes, None))
    for host, path in (("other.example", "/nothing"), ("part.example", "/w")):
        client = Client("127.0.0.1", world.port, host)
        nothing = f"nodrop: no Ingress rule for {host}{path}\n"
        for method in ("GET", "POST"):
            assert await client.request(path, method) == (404, nothing)
        await client.close()
    await proxy.close()


@pytest.mark.parametrize(
    "request_lines",
    [
        "GET /w HTTP/1.0",
        "GET /w HTTP/1.1\r\nHost:",
        "GET /w HTTP/1.1\r\nHost: localhost",
        "GET /w HTTP/1.1\r\nHost: [::1]:80",
        "GET /w HTTP/1.1\r\nHost: wild.example.",
    ],
)
async def test_a_host_without_a_wildcard_above_it_finds_rules_for_any_host(
    world: World, request_lines: str
) -> None:
    proxy = await world.driver()
    pod = await Pod("any").start()
    wild = {Route("*.wild.example", "/", False): WEB}
    pools = table(pod).pools
    for routes, expected in (({**wild, Route("", "/w", False): WEB}, b" 200 "), (wild, b" 404 ")):
        await proxy.apply(RoutingTable(pools, routes, None))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(f"{request_lines}\r\nConnection: close\r\n\r\n".encode())
        assert expected in await reader.readline(), routes
        writer.close()
        await writer.wait_closed()
    await proxy.close()


async def test_headers_say_where_a_request_came_from(world: World) -> None:
    proxy = await world.driver()
    pod = await Pod("v1").start()
    await proxy.apply(table(pod))
    client = Client("127.0.0.1", world.port, "Shop.example:8080")
    spoofed = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n"
    await client.request("/", headers=spoofed)
    await client.close()
    head = pod.heads[0]
    assert "6.6.6.6" not in head
    assert "evil" not in head
    assert "x-forwarded-for: 127.0.0.1" in head.lower()
    assert "x-forwarded-proto: http" in head.lower()
    assert "Shop.example:8080" in head
    await proxy.close()


async def test_another_ingress_socket_after_a_restart_is_served_too(world: World) -> None:
    first = await world.driver()
    pod = await Pod("v1").start()
    await first.apply(table(pod))
    await first.close()
    port = await world.keeper.listen("ingress/more", "127.0.0.1", 0)
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(20)
        proxy = await world.driver(sockets=("ingress/test", "ingress/more"))
        assert (await proxy.apply(table(pod))).reloads == 1
        assert (await proxy.apply(table(pod))).reloads == 0
        client = Client("127.0.0.1", port)
        assert await client.request("/") == (200, "v1")
        await client.close()
        await load.reached(50)
    assert load.lost == []
    await proxy.close()


async def test_services_that_go_away_leave_no_process_and_can_come_back(world: World) -> None:
    proxy = await world.driver()
    pod = await Pod("v1").start()
    listener = Listener("127.0.0.1", free_port())
    await proxy.apply(table(pod, listener=listener))
    lasting = Client(*listener)
    assert await lasting.request("/") == (200, "v1")
    await proxy.apply(table(pod))
    async with asyncio.timeout(20):  # the old edge process lets go of it in its own time
        while not await _is_refused(listener):
            await asyncio.sleep(0.01)
    await proxy.close()
    adopted = await world.driver()  # an edge process that finishes is not taken for a serving one
    await adopted.apply(table(pod, listener=listener))
    client = Client(*listener)
    assert await client.request("/") == (200, "v1")
    await client.close()
    await lasting.close()
    await adopted.close()


async def _is_refused(listener: Listener) -> bool:
    try:
        _, writer = await asyncio.open_connection(*listener)
    except ConnectionRefusedError:
        return True
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return False


async def test_withdrawn_servers_are_deleted_and_their_counters_kept(world: World) -> None:
    proxy = await world.driver()
    pods = [await Pod("v1").start(), await Pod("v2").start()]
    await proxy.apply(table(pods[0]))
    client = Client("127.0.0.1", world.port)
    for _ in range(3):
        await client.request("/")
    await client.close()
    await proxy.apply(table(pods[1]))
    async with asyncio.timeout(60):  # HAProxy closes its idle connections in its own time
        while not (ended := (await proxy.stats()).ended):
            await proxy.verify()
            await asyncio.sleep(0.01)
    assert ended[WEB].requests == 3
    await proxy.apply(table(pods[0]))
    assert await client.request("/") == (200, "v1")
    await client.close()
    await proxy.close()


async def test_two_mains_after_a_replacement_that_was_cut_short_become_one(world: World) -> None:
    """kill -9 after the new process was started, before the old one was told to finish."""
    proxy = await world.driver(slots=2)
    old, new = await Pod("old").start(), await Pod("new").start()
    await proxy.apply(table(old))
    await proxy.close()
    proxy._layout = default_layout(4)
    await proxy._start_main()
    await proxy.close()
    again = await world.driver(slots=2)
    await again.apply(table(old, new))
    await again.apply(table(new))
    assert (await again.drain("uid-old", 10)).requests == 0
    await old.die()
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(40)
    assert load.lost == []
    assert len(await again._processes.running("proxy-main")) == 1
    await again.close()


async def test_a_replaced_main_follows_the_table(world: World) -> None:
    """An idle connection of its own never reaches a pod that was withdrawn since."""
    proxy = await world.driver(slots=2)
    old, new = await Pod("old").start(), await Pod("new").start()
    await proxy.apply(table(old))
    idle = Client("127.0.0.1", world.port)  # keeps the old process alive
    assert await idle.request("/") == (200, "old")
    pools = {ServicePort("d", f"more{n}", 80): frozenset[Backend]() for n in range(4)}
    more = RoutingTable({WEB: frozenset({backend(new)}), **pools}, {ANY: WEB})
    assert (await proxy.apply(more)).reloads == 1
    assert (await proxy.drain("uid-old", 10)).requests == 0
    await old.die()
    assert await idle.request("/") == (200, "new")
    await proxy.close()


async def test_what_cannot_be_rendered_is_told_and_the_rest_is_served(world: World) -> None:
    """One bad Ingress path or endpoint freezes nothing: not now, not after a crash."""
    proxy = await world.driver()
    old, new = await Pod("old").start(), await Pod("new").start()
    await proxy.apply(table(old))
    bad = Backend("a b\n", "bad", "127.0.0.1", 80)
    nobody = Backend("uid-x", "nobody", "shop.example", 80)
    other = ServicePort("default", "other", 80)
    long = Route("x.example", f"/{'a' * 20_000}", False)  # no command could hold it
    spoilt = RoutingTable(
        pools={WEB: frozenset({backend(new), bad}), other: frozenset({nobody})},
        routes={ANY: WEB, Route("x.example", "/a\n\nclear counters", False): other, long: other},
        listeners={Listener("no address", 80): WEB},
    )
    applied = await proxy.apply(spoilt)
    assert set(applied.unserved) == {WEB, other}
    assert set(applied.refused) == {Listener("no address", 80)}
    client = Client("127.0.0.1", world.port)
    assert await client.request("/") == (200, "new")
    os.kill(await world.pid("proxy-main"), signal.SIGKILL)
    await client.close()
    assert await client.request("/") == (200, "new")
    await client.close()
    await proxy.close()


async def test_who_must_leave_leaves_although_an_addition_is_refused(world: World) -> None:
    proxy = await world.driver()
    old, stays, new = [await Pod(name).start() for name in ("old", "stays", "new")]
    await proxy.apply(table(old, stays))
    assert proxy._admin is not None
    at = f"127.0.0.1:{new.port}"  # somebody else has used the name
    await proxy._admin.ask(f"add server s0/uid-new_127.0.0.1_{new.port} {at}")
    with pytest.raises(ProxyFailure, match="refused `add server"):
        await proxy.apply(table(stays, new))
    await old.die()
    async with Load("127.0.0.1", world.port) as load:
        await load.reached(40)
        await proxy.apply(table(stays, new))
        await load.reached(40)
    assert load.lost == []
    assert set(load.answered) == {"stays", "new"}
    await proxy.close()


async def test_a_file_that_cannot_be_written_is_a_failure_of_the_proxy_and_passes(
    world: World,
) -> None:
    """A full disk: the loop that follows the cache survives it and asks again.

    A pod that comes is served all the same; that one has left is never said before it is written.
    """
    proxy = await world.driver()
    pod, second = await Pod("v1").start(), await Pod("v2").start()
    await proxy.apply(table(pod))
    config = world.folder / "proxy-main-1.cfg"
    in_the_way = world.folder / "proxy-main-1.cfg.new"
    in_the_way.mkdir()
    await proxy.apply(table(pod, second))
    client = Client("127.0.0.1", world.port)
    assert {await client.request("/") for _ in range(4)} == {(200, "v1"), (200, "v2")}
    for _ in range(2):  # HAProxy has let go of it since the first time: nothing is left to tell it
        with pytest.raises(ProxyFailure, match="can't write"):
            await proxy.apply(table(second))
    await proxy.close()
    proxy = await world.driver()  # an engine that died at this point is followed by one as strict
    with pytest.raises(ProxyFailure, match="can't write"):
        await proxy.apply(table(second))
    in_the_way.rmdir()
    await proxy.apply(table(second))
    assert {await client.request("/") for _ in range(4)} == {(200, "v2")}
    assert backend(pod).pod not in config.read_text()
    assert backend(second).pod in config.read_text()
    await client.close()
    await proxy.close()
