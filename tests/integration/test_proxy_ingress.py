"""What an Ingress asks for beyond hosts and paths, with the real HAProxy: TLS, options, h2."""

from __future__ import annotations

import asyncio
import re
import stat
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from random import Random

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.keeper.client import ensure_keeper
from nodrop.keeper.protocol import Keeper
from nodrop.model.ingressoptions import WEIGHT_PARTS, Cookie, IngressOptions
from nodrop.model.ingresspaths import BadPath, Rewrite, read_path
from nodrop.proxy.haproxy.binary import find_binary
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.memory import MemoryProxy
from nodrop.proxy.protocol import (
    UNMATCHED,
    Backend,
    Canary,
    Certificate,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)
from tests.integration.test_proxy_replaced import other_haproxy
from tests.unit.proxy.support import Client, Load, Pod
from tests.unit.proxy.tls import Answer, alpn_of, ask, pem_of, shown, trusting

WEB, NEW = ServicePort("default", "web", 80), ServicePort("default", "new", 80)
SHOP = Route("shop.example", "/", False)


class World:
    """A keeper with an Ingress socket for HTTP and one for HTTPS, and drivers over it."""

    def __init__(self, keeper: Keeper, folder: Path, sockets: Path, ports: tuple[int, int]) -> None:
        self.keeper, self.folder, self.sockets = keeper, folder, sockets
        self.port, self.tls_port = ports
        self.authority = trustme.CA()

    async def driver(self) -> HAProxy:
        proxy = HAProxy(
            keeper=self.keeper, folder=self.folder, sockets=self.sockets, binary=find_binary(),
            ingress_sockets=("ingress/test",), tls_sockets=("ingress-tls/test",), slots=8,
        )  # fmt: skip
        await proxy.start()
        return proxy

    async def ask(self, path: str = "/", host: str = "shop.example", **more: str) -> Answer:
        return await ask(self.port, path, host, headers=more)

    async def ask_tls(self, path: str = "/", host: str = "shop.example", **more: str) -> Answer:
        return await ask(self.tls_port, path, host, headers=more, tls=True)

    def certificate(self, *hosts: str, secret: str = "default/shop") -> Certificate:
        return Certificate(secret, hosts, pem_of(self.authority.issue_cert(*hosts)))

    async def shown(self, name: str) -> list[str]:
        """The names in the certificate that a client is shown who asks for ``name``."""
        return await shown(self.tls_port, name)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    with tempfile.TemporaryDirectory(prefix="nd", dir="/tmp") as sockets:
        keeper = await ensure_keeper(tmp_path / "keeper", Path(sockets) / "keeper.sock")
        port = await keeper.listen("ingress/test", "127.0.0.1", 0)
        tls_port = await keeper.listen("ingress-tls/test", "127.0.0.1", 0)
        yield World(keeper, tmp_path / "proxy", Path(sockets), (port, tls_port))
        await Pod.end_all()
        await keeper.shutdown()


def backend(pod: Pod) -> Backend:
    return Backend(pod=f"uid-{pod.name}", name=pod.name, address=pod.address, port=pod.port)


def table(
    *pods: Pod, options: RouteOptions | None = None, certificates: tuple[Certificate, ...] = ()
) -> RoutingTable:
    return RoutingTable(
        pools={WEB: frozenset(map(backend, pods))},
        routes={SHOP: WEB},
        options={SHOP: options} if options else {},
        certificates=certificates,
    )


async def kill(keeper: Keeper, proxy: HAProxy) -> None:
    for record in await keeper.list():
        if record.labels.get("nodrop.dev/proxy") == "proxy-main":
            await keeper.signal(record.id, 9)
    while await proxy.verify():
        await asyncio.sleep(0.01)


# Certificates


async def test_sni_chooses_the_certificate(world: World) -> None:
    """S1, semantics 4.4: exact before wildcard of one label; a self-signed one for the rest."""
    proxy, pod = await world.driver(), await Pod("v1").start()
    wild = world.certificate("*.example", secret="default/wild")
    await proxy.apply(table(pod, certificates=(world.certificate("shop.example"), wild)))
    assert await world.shown("shop.example") == ["shop.example"]
    assert await world.shown("other.example") == ["*.example"]
    assert await world.shown("a.b.example") == []
    assert (await world.ask_tls()).status == 200
    assert (await world.ask_tls(host="unknown.example")).status == 404
    await proxy.close()


async def test_certificates_change_without_a_reload(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    first = world.certificate("shop.example")
    await proxy.apply(table(pod, certificates=(first,)))
    second = world.certificate("shop.example", "more.example")
    async with Load("127.0.0.1", world.tls_port, tls=True, name="shop.example") as load:
        for one in (second, first, second):
            applied = await proxy.apply(table(pod, certificates=(one,)))
            assert (applied.reloads, applied.uncertified) == (0, {})
            assert await proxy.verify()
            assert await world.shown("shop.example") == list(one.hosts)
            await load.reached(20)
        await proxy.apply(table(pod))
        assert await world.shown("shop.example") == []
        await load.reached(20)
    assert load.lost == []
    assert await world.shown("more.example") == []
    await proxy.close()


async def test_certificates_survive_crash_and_control_plane(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    routing = table(pod, certificates=(world.certificate("shop.example"),))
    await proxy.apply(routing)
    await kill(world.keeper, proxy)
    assert await world.shown("shop.example") == ["shop.example"]
    await proxy.close()
    after = await world.driver()
    assert after.certificates.stored() == routing.certificates
    assert await world.shown("shop.example") == ["shop.example"]
    applied = await after.apply(table(pod))
    assert applied.reloads == 0
    assert await world.shown("shop.example") == []
    assert after.certificates.stored() == ()
    await after.close()


async def test_a_refused_certificate_leaves_the_one_before_and_the_rest(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    good = world.certificate("shop.example")
    await proxy.apply(table(pod, certificates=(good,)))
    bad = replace(good, hosts=("shop.example", "new.example"), pem="nonsense\n")
    applied = await proxy.apply(table(pod, certificates=(bad,)))
    assert list(applied.uncertified) == ["default/shop"]
    assert "nonsense" not in applied.uncertified["default/shop"]
    many = replace(good, hosts=tuple(f"{n:050}.example" for n in range(300)))
    applied = await proxy.apply(table(pod, certificates=(many,)))
    assert "300 hosts" in applied.uncertified["default/shop"]
    assert await world.shown("shop.example") == ["shop.example"]
    await kill(world.keeper, proxy)
    assert await world.shown("shop.example") == ["shop.example"]
    assert (await world.ask_tls()).status == 200
    await proxy.close()


async def test_keys_are_private(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    certificate = world.certificate("shop.example")
    await proxy.apply(table(pod, certificates=(certificate,)))
    assert "PRIVATE" not in repr(certificate)
    files = [path for path in world.folder.rglob("*") if path.is_file()]
    secret = [path for path in files if "PRIVATE KEY" in path.read_text()]
    assert len(secret) == 2  # this one, and the self-signed one
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert not [path for path in files if path.suffix == ".log" and "PRIVATE" in path.read_text()]
    await proxy.close()


# Options


async def test_without_tls_clients_are_sent_to_https(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod, options=RouteOptions(redirect=True)))
    seen = await ask(world.port, "/a?b=1", f"shop.example:{world.port}")
    assert seen.status == 308
    assert seen.headers["location"] == f"https://shop.example:{world.tls_port}/a?b=1"
    behind = await world.ask("/a")  # no port in Host: something on port 80 passes on to us
    assert behind.headers["location"] == "https://shop.example/a"
    assert (await world.ask_tls("/a")).status == 200
    challenge = await world.ask("/.well-known/acme-challenge/x")
    assert challenge.status == 200
    await proxy.close()


async def test_hsts_is_sent_with_tls_only_and_when_asked_for(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod, options=RouteOptions(hsts_max_age_s=60)))
    assert (await world.ask_tls()).headers["strict-transport-security"] == "max-age=60"
    assert "strict-transport-security" not in (await world.ask()).headers
    await proxy.apply(table(pod))
    assert "strict-transport-security" not in (await world.ask_tls()).headers
    await proxy.close()


async def test_a_slow_answer_ends_with_504_after_the_read_timeout(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1", delay_s=1.0).start()
    await proxy.apply(table(pod, options=RouteOptions(server_timeout_ms=100)))
    assert (await world.ask()).status == 504
    await proxy.apply(table(pod))
    assert (await world.ask()).status == 200
    await proxy.close()


async def test_a_body_over_the_limit_is_413(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod, options=RouteOptions(body_limit_bytes=10)))
    assert (await ask(world.port, "/", "shop.example", body=b"x" * 11)).status == 413
    assert (await ask(world.port, "/", "shop.example", body=b"x" * 10)).status == 200
    await proxy.close()


@pytest.mark.parametrize(
    ("rewrite", "path", "arrives"),
    [
        (Rewrite(r"/api(/|$)(.*)", r"/\2"), "/api/a/b?c=1", "/a/b?c=1"),
        (Rewrite(r"/api(/|$)(.*)", r"/\2"), "/api", "/"),
        (Rewrite(r"/v(\d+)/(.*)", r"/\2/of/\1"), "/v7/x", "/x/of/7"),
        (Rewrite(r"/old", "/new"), "/old/x", "/new"),
        (Rewrite(r"/same/(\d+)", ""), "/same/5", "/same/5"),
        (Rewrite(r"/v(\d+)/(.*)", r"/\2"), "/vx/x", None),
    ],
)
async def test_paths_are_rewritten(
    world: World, rewrite: Rewrite, path: str, arrives: str | None
) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod, options=RouteOptions(rewrite=rewrite)))
    answer = await world.ask(path)
    assert answer.status == (404 if arrives is None else 200)
    assert pod.requests == ([] if arrives is None else [f"GET {arrives}"])
    await proxy.close()


async def test_a_cookie_keeps_a_client_at_its_pod_until_that_is_withdrawn(world: World) -> None:
    proxy = await world.driver()
    pods = [await Pod(f"p{n}").start() for n in range(4)]
    sticky = RouteOptions(cookie=Cookie(name="stick", attributes="; Path=/; HttpOnly"))
    await proxy.apply(table(*pods, options=sticky))
    first = await world.ask()
    value, _, attributes = first.headers["set-cookie"].partition("; ")
    assert attributes == "Path=/; HttpOnly"
    for _ in range(8):
        again = await world.ask(Cookie=f"a=b,c; {value}; c=d,e")
        assert again.body == first.body
        assert "set-cookie" not in again.headers
    left = [pod for pod in pods if pod.name != first.body]
    await proxy.apply(table(*left, options=sticky))
    moved = await world.ask(Cookie=value)
    assert moved.body in {pod.name for pod in left}
    assert not moved.headers["set-cookie"].startswith(value)
    await proxy.close()


async def test_a_canary_gets_its_share_and_whom_a_header_sends(world: World) -> None:
    proxy, old, new = await world.driver(), await Pod("old").start(), await Pod("new").start()
    canary = Canary(pool=NEW, weight=WEIGHT_PARTS // 4, header="x-canary")
    routing = table(old, options=RouteOptions(canary=canary))
    routing = replace(routing, pools={**routing.pools, NEW: frozenset({backend(new)})})
    await proxy.apply(routing)
    counts = Counter([(await world.ask()).body for _ in range(200)])
    assert 20 <= counts["new"] <= 85  # 50 expected; outside once in 10^6 runs
    for said, who in (("always", {"new"}), ("never", {"old"})):
        found = {(await world.ask(**{"X-Canary": said})).body for _ in range(10)}
        assert found == who
    await proxy.close()


async def test_options_change_under_load_without_a_reload(world: World) -> None:
    """S5: adding and taking options, hosts and paths loses nothing."""
    proxy, pod = await world.driver(), await Pod("v1", delay_s=0.002).start()
    await proxy.apply(table(pod))
    kinds = [
        RouteOptions(server_timeout_ms=60_000),
        RouteOptions(body_limit_bytes=1000, cookie=Cookie(name="c", attributes="; Path=/")),
        RouteOptions(rewrite=Rewrite("/(.*)", r"/x/\1")),
        RouteOptions(rewrite=Rewrite("/(.*)", r"/y/\1")),
        RouteOptions(canary=Canary(pool=WEB, weight=5000, header="x-a", header_value="b")),
    ]
    async with Load("127.0.0.1", world.port, name="shop.example") as load:
        for options in (*kinds, *reversed(kinds)):
            more = {Route(f"h{len(load.answered)}.example", "/p", False): WEB}
            routing = table(pod, options=options)
            routing = replace(routing, routes={**routing.routes, **more})
            assert (await proxy.apply(routing)).reloads == 0
            assert await proxy.verify()  # what is read back is what was told
            await load.reached(20)
            assert (await proxy.apply(table(pod))).reloads == 0
            await load.reached(20)
    assert load.lost == []
    await proxy.close()


async def test_options_of_the_default_backend(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    routing = RoutingTable(
        pools={WEB: frozenset({backend(pod)})},
        default=WEB,
        options={UNMATCHED: RouteOptions(redirect=True)},
    )
    await proxy.apply(routing)
    assert (await world.ask(host="any.example")).status == 308
    assert (await world.ask_tls(host="any.example")).status == 200
    await proxy.close()


# What pods and clients see


async def test_pods_are_told_of_the_client_by_us_alone(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod))
    spoofed = {
        "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "evil",
        "X-Forwarded-Port": "1", "Forwarded": "for=6.6.6.6", "X-Real-IP": "6.6.6.6",
        "X-Forwarded_For": "6.6.6.6", "X_Forwarded-For": "6.6.6.6", "X_Real-IP": "6.6.6.6",
        "X-Real_IP": "6.6.6.6", "X_Real_IP": "6.6.6.6", "X-Realm": "mine",
    }  # fmt: skip
    for asked, scheme in ((world.ask, "http"), (world.ask_tls, "https")):
        await asked(**spoofed)
        head = pod.heads[-1].lower()
        assert ("6.6.6.6" in head, "x-realm: mine" in head) == (False, True)
        told = re.findall(r"^(x-forwarded-[a-z]+|x-real-ip|forwarded): (.*?)\r?$", head, re.M)
        assert sorted(told) == [
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", scheme),
            ("x-real-ip", "127.0.0.1"),
        ]
    await proxy.close()


@pytest.mark.parametrize("program", [find_binary, other_haproxy])
async def test_no_letters_of_a_host_are_a_path(world: World, program: Callable[[], Path]) -> None:
    """HAProxy 2.8 refuses such a Host, 2.6 does not."""
    proxy, public, admin = await world.driver(), await Pod("v1").start(), await Pod("admin").start()
    routing = table(public)
    hidden = Route("shop.example", "/admin", False)
    pools = {**routing.pools, NEW: frozenset({backend(admin)})}
    await proxy.apply(replace(routing, pools=pools, routes={**routing.routes, hidden: NEW}))
    await proxy.replace(program())
    for host in ("shop.example/admin", "shop.example/admin:80", "x.example,shop.example/admin"):
        assert (await world.ask("/x", host)).status in (200, 400, 404)
    assert admin.requests == []
    assert (await world.ask("/admin/x")).body == "admin"
    await proxy.close()


async def test_hosts_and_paths_of_any_table_are_found_as_the_model_finds_them(world: World) -> None:
    """S1, semantics 4.4: a host with rules never falls back to another's."""
    proxy, model, rng = await world.driver(), MemoryProxy(), Random(5)
    pools = [ServicePort("default", name, 80) for name in ("a", "b", "c")]
    backends = {one: frozenset({backend(await Pod(one.service).start())}) for one in pools}
    hosts = ["", "shop.example", "a.shop.example", "*.shop.example", "*.example", "local"]
    client = Client("127.0.0.1", world.port)
    asked = [
        "shop.example", "Shop.Example.:80", "a.shop.example", "b.shop.example:8080", "x.example",
        "x.y.example", "local", "nodot", "127.0.0.1:80", "[::1]:80", "default", "s-",
    ]  # fmt: skip
    for round in range(6):
        routes = {
            Route(rng.choice(hosts), rng.choice(["/", "/api", "/api/v1"]), rng.random() < 0.3):
            rng.choice(pools) for _ in range(rng.randint(1, 8))
        }  # fmt: skip
        default = pools[0] if round % 2 else None
        routing = RoutingTable(pools=backends, routes=routes, default=default)
        await proxy.apply(routing)
        await model.apply(routing)
        for host, path in product(asked, ("/", "/api", "/api/v1/x", "/apis")):
            client.name = host
            name = host.lower() if ":" not in host else host.lower().rpartition(":")[0]
            pool = model.pool_for(name.rstrip("."), path)
            answer = await client.request(path, rng.choice(["GET", "POST"]))
            found = answer[1] if answer[0] == 200 else answer[0]
            assert found == (pool.service if pool else 404), (host, path, routes, default)
    await client.close()
    await proxy.close()


async def test_http2_with_tls_and_by_prior_knowledge(world: World) -> None:
    proxy, pod = await world.driver(), await Pod("v1").start()
    await proxy.apply(table(pod, certificates=(world.certificate("shop.example"),)))
    assert await alpn_of(world.tls_port, "shop.example", ["h2", "http/1.1"]) == "h2"
    assert await alpn_of(world.tls_port, "shop.example", ["http/1.1"]) == "http/1.1"
    for port, tls in ((world.tls_port, True), (world.port, False)):
        answers = await ask_h2(port, tls)
        assert answers == dict.fromkeys((1, 3, 5), ("200", b"v1"))
    await proxy.close()


async def ask_h2(port: int, tls: bool) -> dict[int, tuple[str, bytes]]:
    """Three requests at once over one HTTP/2 connection: stream → (status, body)."""
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import DataReceived, ResponseReceived, StreamEnded

    context = trusting(["h2"]) if tls else None
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="shop.example" if tls else None
    )
    connection = H2Connection(H2Configuration(client_side=True))
    connection.initiate_connection()
    for stream in (1, 3, 5):
        head = [(":method", "GET"), (":path", "/"), (":authority", "shop.example")]
        scheme = "https" if tls else "http"
        connection.send_headers(stream, [*head, (":scheme", scheme)], end_stream=True)
    status: dict[int, str] = {}
    bodies: dict[int, bytes] = {}
    ended: set[int] = set()
    while len(ended) < 3:
        writer.write(connection.data_to_send())
        data = await reader.read(65536)
        assert data, "the connection was closed before all was answered"
        for event in connection.receive_data(data):
            if isinstance(event, ResponseReceived):
                status[event.stream_id] = dict(event.headers)[b":status"].decode()
            elif isinstance(event, DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
            elif isinstance(event, StreamEnded):
                ended.add(event.stream_id)
    writer.transport.abort()
    return {stream: (status[stream], bodies[stream]) for stream in sorted(ended)}


async def test_every_expression_that_is_accepted_is_taken(world: World) -> None:
    """One that HAProxy refused would hold up every change of the table."""
    proxy, pod = await world.driver(), await Pod("v1").start()
    accepted: list[Rewrite] = []

    @settings(max_examples=300, database=None, derandomize=True)
    @given(st.from_regex(r"/[a-z]?[a-z0-9/()\[\].*+?|$^\\{}:-]{1,14}", fullmatch=True))
    def collect(text: str) -> None:
        try:
            read = read_path(text, "Prefix", IngressOptions(use_regex=True))
        except BadPath:
            return
        if read.rewrite is not None:
            accepted.append(read.rewrite)

    collect()
    assert len(set(accepted)) > 30
    routes = {Route(f"h{n}.example", "/", False): rewrite for n, rewrite in enumerate(accepted)}
    routing = RoutingTable(
        pools={WEB: frozenset({backend(pod)})},
        routes=dict.fromkeys(routes, WEB),
        options={route: RouteOptions(rewrite=rewrite) for route, rewrite in routes.items()},
    )
    await proxy.apply(routing)
    await proxy.close()
