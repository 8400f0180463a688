"""gRPC probes: the standard health check, in plaintext.

grpcio is an optional dependency and brings threads of its own, so it is loaded at the first probe
and only by the real prober.
Source: grpc.health.v1 (health.proto): Check(service = 1: string) → status = 1: enum.
"""

from __future__ import annotations

import asyncio
import importlib
from types import ModuleType

from nodrop.agent.plan.probes import GrpcTarget, TcpTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.probers.tcp import TcpProber

MISSING = "gRPC probes need the package grpcio: pip install nodrop[grpc]"
_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = 1
_STATUS = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
#: No proxy, and no connection that outlives the probe.
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))


class GrpcProber:
    """Asks Health/Check; only SERVING is success."""

    async def probe(self, target: GrpcTarget, *, timeout_s: float) -> ProbeResult:
        """A failure in the words of upstream's kubelet; an error is never raised."""
        try:
            aio = await asyncio.to_thread(importlib.import_module, "grpc.aio")
        except ImportError:
            return ProbeResult("failure", MISSING, answered=False)
        end_s = asyncio.get_running_loop().time() + timeout_s
        async with aio.insecure_channel(_address(target), options=_OPTIONS) as channel:
            try:
                async with asyncio.timeout_at(end_s):
                    await channel.channel_ready()
            except TimeoutError:
                where, within = _address(target), f"{timeout_s:g}s"
                why = f'timeout: failed to connect service "{where}" within {within}: '
                why = f"{why}context deadline exceeded"
                refused = await _is_refused(target, timeout_s)
                return ProbeResult("failure", why, answered=False, refused=refused)
            left_s = max(0.0, end_s - asyncio.get_running_loop().time())
            try:
                answer = await channel.unary_unary(_CHECK)(request(target.service), timeout=left_s)
            except aio.AioRpcError as error:
                return _failed(importlib.import_module("grpc"), error, timeout_s)
        return _verdict(status_of(answer))


def request(service: str) -> bytes:
    """A HealthCheckRequest; empty for the server as a whole.

    >>> request("a")
    b'\\n\\x01a'
    """
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def status_of(answer: bytes) -> int:
    """The status in a HealthCheckResponse; its default is 0, UNKNOWN; −1 = not understood."""
    if not answer:
        return 0
    return answer[1] if len(answer) == 2 and answer[0] == 0x08 and answer[1] < 0x80 else -1


def _varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def _address(target: GrpcTarget) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}"


async def _is_refused(target: GrpcTarget, timeout_s: float) -> bool:
    """Whether nothing listens there: gRPC's client doesn't say why it has no connection."""
    there = TcpTarget(target.host, target.port)
    return (await TcpProber().probe(there, timeout_s=timeout_s)).refused


def _failed(grpc: ModuleType, error: Exception, timeout_s: float) -> ProbeResult:
    code, details = error.code(), error.details()  # type: ignore[attr-defined]  # no types
    if code == grpc.StatusCode.UNIMPLEMENTED:
        message = (
            "error: this server does not implement the grpc health protocol "
            f"(grpc.health.v1.Health): {details}"
        )
    elif code == grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"timeout: health rpc did not complete within {timeout_s:g}s"
    else:
        message = f"error: health rpc probe failed: {details}"
    return ProbeResult("failure", message, answered=False)


def _verdict(status: int) -> ProbeResult:
    if status == _SERVING:
        return SUCCESS
    name = _STATUS.get(status, str(status))
    return ProbeResult("failure", f'service unhealthy (responded with "{name}")')
