"""Pods that die with requests in hand: who is tried again how often, and what a client is told."""

from __future__ import annotations

import asyncio

import grpc.aio
import pytest

from nodrop.proxy.protocol import RouteOptions, RoutingTable
from tests.integration.test_proxy_protocols import ANY, WEB, H2Pod, World, backend, world
from tests.unit.proxy.support import Client, Pod
from tests.unit.proxy.tls import ask

__all__ = ["world"]


class Fragile(Pod):
    """Dies of every request for /poison, before it answers."""

    deadly = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/poison" in head:
            Fragile.deadly += 1
            await self.die()
            writer.transport.abort()
            return
        again = asyncio.StreamReader()
        again.feed_data(head)
        again.feed_eof()
        await super()._serve(again, writer)


class FragileH2(H2Pod):
    """The same with HTTP/2: of every call whose message says die."""

    deadly = 0

    def answer(self, body: bytes) -> bytes:
        return body

    async def speak(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pipe = asyncio.StreamReader()

        async def pump() -> None:
            while data := await reader.read(65536):
                if b"die" in data:
                    FragileH2.deadly += 1
                    self.die()
                    break
                pipe.feed_data(data)
            pipe.feed_eof()

        async with asyncio.TaskGroup() as group:
            group.create_task(pump())
            await super().speak(pipe, writer)


def table(pods: list[Pod], options: RouteOptions | None = None) -> RoutingTable:
    return RoutingTable(
        pools={WEB: frozenset(map(backend, pods))},
        routes={ANY: WEB},
        options={ANY: options} if options else {},
    )


@pytest.mark.parametrize(("single", "status", "deaths"), [(False, 502, 6), (True, 502, 1)])
async def test_a_deadly_request_is_passed_on_five_times_or_never(
    world: World, single: bool, status: int, deaths: int
) -> None:
    """HAProxy counts one kind of retries only, and connecting needs that many: see drain.md."""
    Fragile.deadly = 0
    pods: list[Pod] = [await Fragile(f"pod-{n}").start() for n in range(8)]
    await world.proxy.apply(table(pods, RouteOptions(single_try=True) if single else None))
    answer = await ask(world.port, "/poison", "x")
    assert (answer.status, Fragile.deadly) == (status, deaths)
    assert answer.headers["nodrop-request-state"] == "maybe-processed"


async def test_with_one_try_connecting_goes_on_elsewhere(world: World) -> None:
    pods: list[Pod] = [await Pod(f"pod-{n}").start() for n in range(5)]
    await world.proxy.apply(table(pods, RouteOptions(single_try=True)))
    for pod in pods[1:]:
        await pod.die()
    client = Client("127.0.0.1", world.port)
    assert [await client.request(f"/{n}") for n in range(10)] == [(200, "pod-0")] * 10
    await client.close()


async def test_a_grpc_call_whose_pod_dies_is_unavailable_and_never_repeated(world: World) -> None:
    """Also on a connection to the pod that was used before; the next call goes to another pod."""
    FragileH2.deadly = 0
    pods = [await FragileH2(f"pod-{n}").start() for n in range(3)]
    await world.proxy.apply(
        RoutingTable(
            pools={WEB: frozenset(map(backend, pods))}, routes={ANY: WEB}, protocols={WEB: "h2c"}
        )
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{world.port}") as channel:
        call = channel.unary_unary("/pkg.Service/Call")
        for died in (1, 2):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await call(b"die", timeout=20)
            assert failed.value.code() == grpc.StatusCode.UNAVAILABLE
            assert FragileH2.deadly == died
            assert [await call(b"hi", timeout=20) for _ in range(4)] == [b"hi"] * 4
