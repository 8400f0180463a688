"""gRPC probes against a real server of the health protocol."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from nodrop.agent.plan.probes import GrpcTarget
from nodrop.agent.probers.every import EveryProber
from nodrop.agent.probers.grpc import MISSING, request, status_of
from nodrop.agent.probers.protocol import ProbeResult
from nodrop.clock import SystemClock
from tests.unit.agent.fakes import FakeRuntime

Check = Callable[[bytes, Any], Awaitable[bytes]]


@asynccontextmanager
async def health_server(check: Check | None) -> AsyncIterator[int]:
    server = grpc.aio.server()
    if check is not None:
        handler = grpc.unary_unary_rpc_method_handler(check)
        methods = {"Check": handler}
        generic = grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)
        server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def asked(port: int, service: str = "", timeout_s: float = 10) -> ProbeResult:
    prober = EveryProber(FakeRuntime(SystemClock()))
    result = await prober.probe(GrpcTarget("127.0.0.1", port, service), timeout_s=timeout_s)
    await prober.close()
    return result


async def by_name(asking: bytes, context: Any) -> bytes:
    """SERVING as a whole, NOT_SERVING for the service "cart", slow for "slow"."""
    if asking == request("slow"):
        await asyncio.sleep(60)
    return b"\x08\x02" if asking == request("cart") else b"\x08\x01"


async def test_serving_is_success_and_nothing_else() -> None:
    async with health_server(by_name) as port:
        assert (await asked(port)).outcome == "success"
        sick = await asked(port, "cart")
    assert (sick.outcome, sick.message) == (
        "failure",
        'service unhealthy (responded with "NOT_SERVING")',
    )


async def test_what_goes_wrong_is_told_as_upstream_does() -> None:
    async def unknown(asking: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b""

    async with health_server(by_name) as port:
        slow = await asked(port, "slow", 2)
    assert slow.message == "timeout: health rpc did not complete within 2s"
    async with health_server(unknown) as port:
        assert (await asked(port, "x")).message == (
            "error: health rpc probe failed: unknown service"
        )
    async with health_server(None) as port:
        assert (await asked(port)).message.startswith(
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): "
        )
    nobody = await asked(port, timeout_s=1)
    assert nobody.message == (
        f'timeout: failed to connect service "127.0.0.1:{port}" within 1s: '
        "context deadline exceeded"
    )
    assert nobody.refused
    assert not slow.refused


async def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc.aio", None)
    assert await asked(1) == ProbeResult("failure", MISSING, answered=False)
    assert "pip install nodrop[grpc]" in MISSING


@pytest.mark.parametrize(
    ("answer", "status"), [(b"", 0), (b"\x08\x01", 1), (b"\x08\x02", 2), (b"\x12\x00", -1)]
)
def test_answers_are_read(answer: bytes, status: int) -> None:
    assert status_of(answer) == status


def test_a_long_name_is_written_as_protobuf() -> None:
    assert request("x" * 300) == b"\x0a\xac\x02" + b"x" * 300
