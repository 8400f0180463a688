"""A prober that asks the simulated applications."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from nodrop.agent.plan.probes import ExecTarget, GrpcTarget, HttpTarget, Target, TcpTarget, Unusable
from nodrop.agent.probers.exec import ExecProber
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import Runtime
from nodrop.sim.runtime import App, SimRuntime

#: Paths that mean something to a simulated application; any other is answered while it serves.
READY, ALIVE, HOOK = "/ready", "/live", "/hook"


class SimProber:
    """See agent.probers.protocol.Prober. ``latency_s`` is how long an answer takes."""

    def __init__(
        self, runtime: SimRuntime, commands: Runtime, *, latency_s: Callable[[], float]
    ) -> None:
        self._runtime = runtime
        self._exec = ExecProber(commands)
        self._latency_s = latency_s

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        match target:
            case ExecTarget():
                return await self._exec.probe(target, timeout_s=timeout_s)
            case Unusable(why):
                return ProbeResult("failure", why, answered=False)
            case HttpTarget(host=host) | TcpTarget(host=host) | GrpcTarget(host=host):
                path = target.path if isinstance(target, HttpTarget) else ""
                return await self._ask(host, path, timeout_s)

    async def _ask(self, host: str, path: str, timeout_s: float) -> ProbeResult:
        loop = asyncio.get_running_loop()
        app = self._runtime.app_at(host)
        took_s = self._latency_s()
        if path == HOOK and app is not None:
            took_s += app.behaviour.hook_s
        if took_s > timeout_s:
            await asyncio.sleep(timeout_s)
            return ProbeResult("failure", f"no answer within {timeout_s:g} s", answered=False)
        await asyncio.sleep(took_s)
        if app is None or not app.serves(loop.time()):
            why = f"{host} refused the connection"
            return ProbeResult("failure", why, answered=False, refused=True)
        if not _answers_well(app, path, loop.time()):
            return ProbeResult("failure", "HTTP probe failed with statuscode: 503")
        return SUCCESS


def _answers_well(app: App, path: str, now_s: float) -> bool:
    if path == READY:
        return app.is_ready(now_s)
    return app.is_alive(now_s) if path == ALIVE else True
