"""Carries out one lifecycle hook: exec, httpGet or sleep."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from nodrop.agent.plan.probes import HttpTarget, Unusable, target_of
from nodrop.agent.plan.spec import Container, Exec, Grpc, Handler, HttpGet, Sleep, TcpSocket
from nodrop.agent.probers.protocol import Prober
from nodrop.agent.runtime.protocol import ContainerId, Runtime, RuntimeFailure

#: httpGet hooks have no time-out of their own upstream; the grace period ends them sooner.
_LONGEST_REQUEST_S = 3600.0


async def run_hook(
    hook: Handler,
    *,
    runtime: Runtime,
    prober: Prober,
    container: Container,
    id: ContainerId,
    pod_ip: str,
    already_s: float = 0.0,
) -> str | None:
    """Run a hook to its end; returns None, or why it failed.

    ``already_s``: how much of a ``sleep`` passed before a restart of ours.
    """
    match hook:
        case Sleep(seconds):
            await asyncio.sleep(max(0.0, seconds - already_s))
            return None
        case Exec(command):
            return await _exec(runtime, id, command)
        case HttpGet():
            target = target_of(hook, container=id, pod_ip=pod_ip, ports=container.ports)
            if isinstance(target, Unusable):
                return target.why
            assert isinstance(target, HttpTarget)
            return await _get(prober, target)
        case TcpSocket() | Grpc():
            return "only exec, httpGet and sleep can be hooks; use one of these"


async def _exec(runtime: Runtime, id: ContainerId, command: tuple[str, ...]) -> str | None:
    shown = " ".join(command)
    try:
        result = await runtime.exec(id, command, timeout_s=None)
    except RuntimeFailure as failure:
        return f"command {shown!r}: {failure}"
    if result.code == 0:
        return None
    said = result.output.decode(errors="replace").strip()
    return f"command {shown!r} ended with exit code {result.code}: {said}".removesuffix(": ")


async def _get(prober: Prober, target: HttpTarget) -> str | None:
    """Any answer will do, whatever its status; HTTPS that nobody speaks is tried as HTTP."""
    result = await prober.probe(target, timeout_s=_LONGEST_REQUEST_S)
    if not result.answered and target.scheme == "HTTPS":
        result = await prober.probe(replace(target, scheme="HTTP"), timeout_s=_LONGEST_REQUEST_S)
    return None if result.answered else result.message
