"""What the agent reads from a Pod: frozen views of just the fields it acts on. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from signal import Signals
from typing import Any, Literal, TypeAlias

from nodrop.model.meta import Obj
from nodrop.model.serviceaccount import TOKEN_VOLUME
from nodrop.model.signals import signal_number

RestartPolicy = Literal["Always", "OnFailure", "Never"]
Section = Literal["containers", "initContainers"]
DEFAULT_TERMINATION_PATH = "/dev/termination-log"


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
    """``service`` is what the health check asks for; empty = the server as a whole."""

    port: int
    service: str = ""


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


@dataclass(frozen=True, slots=True)
class Mount:
    """One entry of volumeMounts; ``sub_path`` is inside the volume."""

    volume: str
    path: str
    sub_path: str = ""
    sub_path_expr: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container of the pod; ``section`` and ``index`` are its place, for field paths.

    ``sidecar``: an init container with restartPolicy Always, which runs beside the others.
    """

    name: str
    section: Section = "containers"
    index: int = 0
    sidecar: bool = False
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
    stop_signal: int = Signals.SIGTERM
    mounts: tuple[Mount, ...] = ()
    termination_path: str = DEFAULT_TERMINATION_PATH
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    logs_as_message: bool = False  # terminationMessagePolicy FallbackToLogsOnError

    @property
    def field(self) -> str:
        return f"spec.{self.section}[{self.index}]"

    @property
    def mounts_only_token(self) -> bool:
        """Nobody asked for a mount: the only one was added for the pod's service account."""
        names = [mount.volume for mount in self.mounts]
        return bool(names) and all(name.startswith(TOKEN_VOLUME) for name in names)

    @property
    def step(self) -> bool:
        """An init container that must end before the next one starts."""
        return self.section == "initContainers" and not self.sidecar


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    containers: tuple[Container, ...]
    restart_policy: RestartPolicy = "Always"
    grace_s: int = 30
    init_containers: tuple[Container, ...] = ()
    readiness_gates: tuple[str, ...] = ()
    service_links: bool = True
    service_account: str = "default"
    deadline_s: int | None = None  # activeDeadlineSeconds
    volumes: tuple[Obj, ...] = ()

    @property
    def everyone(self) -> tuple[Container, ...]:
        """All containers in the order they start."""
        return self.init_containers + self.containers

    @property
    def account_tokens(self) -> bool:
        """Whether a volume holds a token of the pod's service account."""
        return any(
            source.get("serviceAccountToken") is not None
            for volume in self.volumes
            for source in (volume.get("projected") or {}).get("sources") or ()
        )


def read_pod(pod: Obj) -> PodSpec:
    """The view of a stored Pod. Absent fields get upstream's defaults."""
    spec: Obj = pod["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        containers=_containers(spec, "containers"),
        restart_policy=spec.get("restartPolicy") or "Always",
        grace_s=30 if grace is None else max(int(grace), 0),
        init_containers=_containers(spec, "initContainers"),
        readiness_gates=tuple(g["conditionType"] for g in spec.get("readinessGates") or ()),
        service_links=spec.get("enableServiceLinks") is not False,
        service_account=spec.get("serviceAccountName") or "default",
        deadline_s=spec.get("activeDeadlineSeconds"),
        volumes=tuple(spec.get("volumes") or ()),
    )


def _containers(spec: Obj, section: Section) -> tuple[Container, ...]:
    found = enumerate(spec.get(section) or ())
    return tuple(_container(container, section, index) for index, container in found)


def _container(spec: Obj, section: Section, index: int) -> Container:
    lifecycle: Obj = spec.get("lifecycle") or {}
    return Container(
        name=spec["name"],
        section=section,
        index=index,
        sidecar=section == "initContainers" and spec.get("restartPolicy") == "Always",
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
        stop_signal=signal_number(lifecycle.get("stopSignal") or "") or Signals.SIGTERM,
        mounts=tuple(_mount(mount) for mount in spec.get("volumeMounts") or ()),
        termination_path=spec.get("terminationMessagePath") or DEFAULT_TERMINATION_PATH,
        stdin=bool(spec.get("stdin")),
        stdin_once=bool(spec.get("stdinOnce")),
        tty=bool(spec.get("tty")),
        logs_as_message=spec.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


def _mount(spec: Obj) -> Mount:
    return Mount(
        volume=spec["name"],
        path=spec["mountPath"],
        sub_path=spec.get("subPath") or "",
        sub_path_expr=spec.get("subPathExpr") or "",
        read_only=bool(spec.get("readOnly")),
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
        return Grpc(int(grpc["port"]), grpc.get("service") or "")
    return None


def _port(value: Any) -> int | str:
    """A port as a number, digits in a string included, else the name of a container port."""
    text = str(value)
    return int(text) if text.isdigit() else text
