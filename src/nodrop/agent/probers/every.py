"""The prober that the agent is given: picks the right one by target."""

from __future__ import annotations

from typing import assert_never

from nodrop.agent.plan.probes import (
    ExecTarget,
    GrpcTarget,
    HttpTarget,
    Target,
    TcpTarget,
    Unusable,
)
from nodrop.agent.probers.exec import ExecProber
from nodrop.agent.probers.grpc import GrpcProber
from nodrop.agent.probers.http import HttpProber
from nodrop.agent.probers.protocol import ProbeResult
from nodrop.agent.probers.tcp import TcpProber
from nodrop.agent.runtime.protocol import Runtime


class EveryProber:
    """httpGet, tcpSocket, exec and grpc in one. ``close`` ends the shared HTTP session."""

    def __init__(self, runtime: Runtime) -> None:
        self._http = HttpProber()
        self._tcp = TcpProber()
        self._grpc = GrpcProber()
        self._exec = ExecProber(runtime)

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        match target:
            case HttpTarget():
                return await self._http.probe(target, timeout_s=timeout_s)
            case TcpTarget():
                return await self._tcp.probe(target, timeout_s=timeout_s)
            case ExecTarget():
                return await self._exec.probe(target, timeout_s=timeout_s)
            case GrpcTarget():
                return await self._grpc.probe(target, timeout_s=timeout_s)
            case Unusable(why):
                return ProbeResult("failure", why, answered=False)
        assert_never(target)

    async def close(self) -> None:
        await self._http.close()
