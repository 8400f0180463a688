"""What the agent reads from a Pod: frozen views of just the fields it acts on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import Signals
from typing import Any, Literal, TypeAlias

from nodrop.model.meta import Obj

RestartPolicy = Literal["Always", "OnFailure", "Never"]


@dataclass(frozen=True, slots=True)
class HttpGet:
    """``port`` is a number or the name of a container port; ``host`` empty = the pod's address."""

    port: int | str
    path: str = "/"
    scheme: str = "HTTP"
    host: str = ""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TcpSocket:
    port: int | str
    host: str = ""


@dataclass(frozen=True, slots=True)
class Exec:
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float


@dataclass(frozen=True, slots=True)
class Grpc:
    """Read so that it can be refused in words: gRPC probes come later."""

    port: int


Handler: TypeAlias = HttpGet | TcpSocket | Exec | Sleep | Grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A probe with upstream's defaults filled in. ``grace_s``: its own grace period, if any."""

    handler: Handler
    timeout_s: float = 1.0
    period_s: float = 10.0
    initial_delay_s: int = 0
    success_threshold: int = 1
    failure_threshold: int = 3
    grace_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of ``spec.containers``; ``index`` is its place there, for field paths."""

    name: str
    index: int = 0
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    env: tuple[Obj, ...] = ()
    env_from: tuple[Obj, ...] = ()
    readiness: Probe | None = None
    liveness: Probe | None = None
    startup: Probe | None = None
    post_start: Handler | None = None
    pre_stop: Handler | None = None
    stop_signal: Signals = Signals.SIGTERM
    mounts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    containers: tuple[Container, ...]
    restart_policy: RestartPolicy = "Always"
    grace_s: int = 30
    init_containers: tuple[str, ...] = ()
    readiness_gates: tuple[str, ...] = ()
    service_links: bool = True
    service_account: str = "default"


def read_pod(pod: Obj) -> PodSpec:
    """The view of a stored Pod. Absent fields get upstream's defaults."""
    spec: Obj = pod["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        containers=tuple(
            _container(container, index) for index, container in enumerate(spec["containers"])
        ),
        restart_policy=spec.get("restartPolicy") or "Always",
        grace_s=30 if grace is None else max(int(grace), 0),
        init_containers=tuple(c["name"] for c in spec.get("initContainers") or ()),
        readiness_gates=tuple(g["conditionType"] for g in spec.get("readinessGates") or ()),
        service_links=spec.get("enableServiceLinks") is not False,
        service_account=spec.get("serviceAccountName") or "default",
    )


def _container(spec: Obj, index: int) -> Container:
    lifecycle: Obj = spec.get("lifecycle") or {}
    stop_signal = lifecycle.get("stopSignal")
    return Container(
        name=spec["name"],
        index=index,
        image=spec.get("image") or "",
        command=tuple(spec.get("command") or ()),
        args=tuple(spec.get("args") or ()),
        working_dir=spec.get("workingDir") or "",
        ports={
            port["name"]: int(port["containerPort"])
            for port in spec.get("ports") or ()
            if port.get("name")
        },
        env=tuple(spec.get("env") or ()),
        env_from=tuple(spec.get("envFrom") or ()),
        readiness=_probe(spec.get("readinessProbe")),
        liveness=_probe(spec.get("livenessProbe")),
        startup=_probe(spec.get("startupProbe")),
        post_start=_handler(lifecycle.get("postStart")),
        pre_stop=_handler(lifecycle.get("preStop")),
        stop_signal=Signals[stop_signal] if stop_signal else Signals.SIGTERM,
        mounts=tuple(mount["name"] for mount in spec.get("volumeMounts") or ()),
    )


def _probe(spec: Obj | None) -> Probe | None:
    handler = _handler(spec)
    if spec is None or handler is None:
        return None
    return Probe(
        handler=handler,
        timeout_s=float(spec.get("timeoutSeconds") or 1),
        period_s=float(spec.get("periodSeconds") or 10),
        initial_delay_s=int(spec.get("initialDelaySeconds") or 0),
        success_threshold=int(spec.get("successThreshold") or 1),
        failure_threshold=int(spec.get("failureThreshold") or 3),
        grace_s=spec.get("terminationGracePeriodSeconds"),
    )


def _handler(spec: Obj | None) -> Handler | None:
    if not spec:
        return None
    if (http := spec.get("httpGet")) is not None:
        return HttpGet(
            port=_port(http["port"]),
            path=http.get("path") or "/",
            scheme=(http.get("scheme") or "HTTP").upper(),
            host=http.get("host") or "",
            headers=tuple((h["name"], h.get("value", "")) for h in http.get("httpHeaders") or ()),
        )
    if (tcp := spec.get("tcpSocket")) is not None:
        return TcpSocket(port=_port(tcp["port"]), host=tcp.get("host") or "")
    if (run := spec.get("exec")) is not None:
        return Exec(tuple(run.get("command") or ()))
    if (sleep := spec.get("sleep")) is not None:
        return Sleep(float(sleep.get("seconds") or 0))
    if (grpc := spec.get("grpc")) is not None:
        return Grpc(int(grpc["port"]))
    return None


def _port(value: Any) -> int | str:
    """A port as a number, digits in a string included, else the name of a container port."""
    text = str(value)
    return int(text) if text.isdigit() else text
