"""The probe state machine: thresholds, and what is asked of a prober. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never

from nodrop.agent.plan.spec import Exec, Grpc, Handler, HttpGet, Probe, Sleep, TcpSocket
from nodrop.agent.runtime.protocol import ContainerId

ProbeKind = Literal["readiness", "liveness", "startup"]
#: ``error``: the prober itself failed, which says nothing about the container.
Outcome = Literal["success", "failure", "error"]
#: None is upstream's Unknown, the verdict of a startup probe before its first.
Verdict: TypeAlias = bool | None

_BEFORE_FIRST: Mapping[ProbeKind, Verdict] = {
    "readiness": False,
    "liveness": True,
    "startup": None,
}


@dataclass(frozen=True, slots=True)
class ProbeState:
    """``verdict`` is what counts; ``run`` how often ``last`` came in a row; ``passed``: the
    verdict has been good once."""

    verdict: Verdict
    last: Outcome | None = None
    run: int = 0
    passed: bool = False


def first_state(kind: ProbeKind, known: Verdict = None) -> ProbeState:
    """The state for a new container; ``known`` is the recorded verdict of an adopted one."""
    return ProbeState(_BEFORE_FIRST[kind] if known is None else known, passed=known is True)


def next_state(state: ProbeState, outcome: Outcome, probe: Probe) -> ProbeState:
    """Count one outcome. Below its threshold the old verdict stays; an error counts nothing."""
    match outcome:
        case "error":
            return state
        case "success" | "failure":
            run = state.run + 1 if outcome == state.last else 1
        case _:
            assert_never(outcome)
    counted = replace(state, last=outcome, run=run)
    needed = probe.success_threshold if outcome == "success" else probe.failure_threshold
    if run < needed:
        return counted
    good = outcome == "success"
    return replace(counted, verdict=good, passed=state.passed or good)


def awaits_first(kind: ProbeKind, state: ProbeState) -> bool:
    """Whether the container has yet to be ready, or started, for the first time."""
    return kind != "liveness" and not state.passed


# Targets: what a prober is given.


@dataclass(frozen=True, slots=True)
class HttpTarget:
    host: str
    port: int
    path: str
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpTarget:
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ExecTarget:
    container: ContainerId
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GrpcTarget:
    host: str
    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A handler that can't be carried out; ``why`` becomes the failure's message."""

    why: str


Target: TypeAlias = HttpTarget | TcpTarget | ExecTarget | GrpcTarget | Unusable


def target_of(
    handler: Handler, *, container: ContainerId, pod_ip: str, ports: Mapping[str, int]
) -> Target:
    """Resolve a handler for one container: named ports, the pod's address."""
    match handler:
        case HttpGet():
            port = _number(handler.port, ports)
            if port is None:
                return Unusable(f"couldn't find port: {handler.port}")
            host, path = handler.host or pod_ip, handler.path
            path = path if path.startswith("/") else f"/{path}"
            return HttpTarget(host, port, path, handler.scheme, handler.headers)
        case TcpSocket():
            port = _number(handler.port, ports)
            if port is None:
                return Unusable(f"couldn't find port: {handler.port}")
            return TcpTarget(handler.host or pod_ip, port)
        case Exec():
            return ExecTarget(container, handler.command)
        case Grpc():
            return GrpcTarget(pod_ip, handler.port, handler.service)
        case Sleep():
            return Unusable("sleep is a hook, not a probe")
    assert_never(handler)


def door_of(target: Target) -> Target:
    """What tells at once whether anything listens there: gRPC's own client waits for that."""
    return TcpTarget(target.host, target.port) if isinstance(target, GrpcTarget) else target


def _number(port: int | str, ports: Mapping[str, int]) -> int | None:
    return port if isinstance(port, int) else ports.get(port)
