"""What 1,000 endpoints cost: until the proxy has them, one more of them, memory, requests a second.

The endpoints are EndpointSlices written by hand, as kubectl could: 1,000 addresses of this machine,
behind all of which one light server answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

from bench.engine import (
    BenchFailed,
    Engine,
    free_port,
    fresh_engine,
    pss_bytes,
    say,
    timed,
    until_answered,
)
from bench.figures import Figure, median_ratio
from bench.manifests import ingress
from bench.peers import Side
from bench.throughput import run_once
from bench.wrk import Measured
from nodrop.cli.apply import apply_all
from nodrop.client.actions import Create, Delete
from nodrop.model.kinds import ENDPOINTSLICE
from nodrop.model.meta import Obj, ObjectKey
from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.binary import find_binary

_MANY = 1000
_IN_A_SLICE = 100
_NAME = "many"
_NETWORK = "127.251"
_MB = 1_000_000
_TIMEOUT_S = 120.0
_LOOK_S = 0.002
_SERVER = """\
global
  nbthread 1
  maxconn 6000
defaults
  mode http
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
frontend all
  bind 0.0.0.0:{port}
  http-request return status 200 content-type text/plain string "hello"
"""


async def measure(*, quick: bool) -> list[Figure]:
    """Two endpoints, then 1,000, then one more and one less, several times."""
    rounds, seconds = (2, 2.0) if quick else (5, 3.0)
    async with fresh_engine() as engine, _server(engine.state.root) as port:
        await apply_all(engine.client, [_service(), ingress(_NAME)])
        await engine.client.apply(Create(slice_of("few", addresses(0, 2), port)))
        await until_answered(engine.url)
        side = Side("nodrop", engine.url, engine.pids()["proxy"])
        few = [await run_once(side, seconds) for _ in range(rounds)]
        before = _memory(engine)
        async with _proxy(engine) as admin:
            _, all_s = await timed(_add(engine, admin, port))
            say(f"  {_MANY} endpoints after {all_s:.2f} s")
            changes = [await _change(engine, admin, port) for _ in range(5 * rounds)]
        after = _memory(engine)
        many = [await run_once(side, seconds) for _ in range(rounds)]
    return [
        Figure(f"{_MANY} endpoints: written → all in the proxy", all_s, "s"),
        Figure(f"one endpoint more beside {_MANY}: written → in the proxy", _ms(changes), "ms"),
        *(
            Figure(f"memory for {_MANY} endpoints, {part}", after[part] - before[part], "MB")
            for part in after
        ),
        _rates(many, few),
    ]


def _ms(seconds: list[float]) -> float:
    return 1000 * median(seconds)


def _rates(many: list[Measured], few: list[Measured]) -> Figure:
    rates = [median(run.rate for run in runs) for runs in (many, few)]
    note = f"{rates[0]:,.0f}/s against {rates[1]:,.0f}/s"
    ratio = median_ratio([run.rate for run in many], [run.rate for run in few])
    return Figure(f"requests/s, {_MANY} endpoints / 2", ratio, "×", note=note)


def _memory(engine: Engine) -> dict[str, float]:
    return {part: pss_bytes(pids) / _MB for part, pids in engine.pids().items()}


async def _add(engine: Engine, admin: AdminSocket, port: int) -> None:
    """Write all slices; return once HAProxy sends requests to each of their endpoints."""
    for number, start in enumerate(range(2, _MANY, _IN_A_SLICE)):
        members = addresses(start, min(_IN_A_SLICE, _MANY - start))
        await engine.client.apply(Create(slice_of(f"many-{number}", members, port)))
    await _until_served(admin, _MANY)


async def _change(engine: Engine, admin: AdminSocket, port: int) -> float:
    """Seconds from writing one endpoint more until it is served; it is taken away again."""
    one = slice_of("one", addresses(_MANY, 1), port)
    await engine.client.apply(Create(one))
    _, took_s = await timed(_until_served(admin, _MANY + 1))
    await engine.client.apply(Delete(ObjectKey(ENDPOINTSLICE, "default", "one")))
    await _until_served(admin, _MANY)
    return took_s


async def _until_served(admin: AdminSocket, count: int) -> None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            while served(await admin.ask("show servers state")) != count:  # noqa: ASYNC110 (HAProxy)
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise BenchFailed(f"the proxy has no {count} endpoints after {_TIMEOUT_S:g} s") from None


def served(text: str) -> int:
    """How many of our endpoints take requests, in HAProxy's ``show servers state``.

    One may be a server of several sections; it counts once it is ready in all of them.
    """
    rows = [line.split() for line in text.splitlines() if f" {_NETWORK}." in line]
    waiting = {row[4] for row in rows if row[6] != "0"}
    return len({row[4] for row in rows} - waiting)


@asynccontextmanager
async def _proxy(engine: Engine) -> AsyncIterator[AdminSocket]:
    """An admin socket of our own to the process that carries requests."""
    (path, *_) = sorted(engine.state.sockets.glob("**/proxy-main-*.sock"))
    admin = await AdminSocket.open(path)
    try:
        yield admin
    finally:
        await admin.close()


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[int]:
    """One light server on every address of the network; yields its port."""
    port = free_port()
    config = folder / "endpoints.cfg"
    config.write_text(_SERVER.format(network=_NETWORK, port=port))
    process = await asyncio.create_subprocess_exec(
        str(find_binary()), "-db", "-f", str(config), stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await until_answered(f"http://{_NETWORK}.0.1:{port}")
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def addresses(start: int, count: int) -> Iterator[str]:
    """``count`` different addresses of the network, the ``start``-th first."""
    for number in range(start, start + count):
        yield f"{_NETWORK}.{number // 200}.{number % 200 + 1}"


def slice_of(name: str, members: Iterator[str], port: int) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": _NAME},
        },
        "addressType": "IPv4",
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}} for address in members
        ],
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


def _service() -> Obj:
    """Without a selector: its endpoints are whatever slices say."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": _NAME, "namespace": "default"},
        "spec": {"ports": [{"name": "http", "port": 80}]},
    }
