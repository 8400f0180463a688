"""One pod as an endpoint of a Service: its conditions and its ports; pure (semantics 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from nodrop.controllers.pods import HOLD_ANNOTATION, due_at, has_readiness_probe, is_ready
from nodrop.model.meta import Obj, annotations_of, is_deleting, uid_of


class Port(NamedTuple):
    """A resolved port of a Service. ``name`` may be empty."""

    name: str
    protocol: str
    port: int
    app_protocol: str

    def render(self) -> Obj:
        rendered: Obj = {"name": self.name, "protocol": self.protocol, "port": self.port}
        if self.app_protocol:
            rendered["appProtocol"] = self.app_protocol
        return rendered


Ports = tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod of a Service. ``held`` says that only time keeps it from being ready (S9)."""

    pod: Obj
    ports: Ports
    ready: bool
    serving: bool
    terminating: bool
    held: bool

    @property
    def uid(self) -> str:
        return uid_of(self.pod)

    @property
    def address(self) -> str:
        address: str = self.pod["status"]["podIP"]
        return address

    def target(self) -> Obj:
        metadata = self.pod["metadata"]
        return {
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        }

    def render(self) -> Obj:
        """As an EndpointSlice holds it."""
        rendered: Obj = {
            "addresses": [self.address],
            "conditions": {
                "ready": self.ready,
                "serving": self.serving,
                "terminating": self.terminating,
            },
            "targetRef": self.target(),
        }
        if node := self.pod["spec"].get("nodeName"):
            rendered["nodeName"] = node
        return rendered


def endpoint_of(pod: Obj, service: Obj, *, hold_unprobed: bool, now: datetime) -> Endpoint:
    """What ``pod`` is to ``service`` at ``now``.

    A held pod is not serving either: the proxy's fall-back to terminating endpoints must not
    reach a program that nothing has shown to listen yet.
    """
    held = hold_unprobed and is_held(pod, now)
    serving = is_ready(pod) and not held
    terminating = is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    return Endpoint(
        pod=pod,
        ports=resolve_ports(service, pod),
        ready=publish or (serving and not terminating),
        serving=serving,
        terminating=terminating,
        held=held,
    )


def is_held(pod: Obj, now: datetime) -> bool:
    """S9, S11: Ready, without a readinessProbe, and not yet for its minReadySeconds.

    The seconds stand on the pod since its creation; a pod with a probe has none. A pod that is
    Ready since a time that lies ahead has seen the clock set back: it keeps its traffic.
    """
    wait_s = hold_seconds(pod)
    if wait_s <= 0:
        return False
    since, due = due_at(pod, 0), due_at(pod, wait_s)
    return since is not None and due is not None and since <= now < due


def hold_seconds(pod: Obj) -> int:
    """How long the pod gets no traffic after Ready; 0 for a pod with a readinessProbe."""
    text = annotations_of(pod).get(HOLD_ANNOTATION)
    if text is None or not text.isdecimal() or has_readiness_probe(pod["spec"]):
        return 0
    return int(text)


def resolve_ports(service: Obj, pod: Obj) -> Ports:
    """The Service's ports on this pod; one whose named targetPort the pod lacks is left out."""
    resolved = []
    for entry in service["spec"].get("ports") or ():
        protocol = entry.get("protocol") or "TCP"
        number = _target_number(entry, protocol, pod)
        if number is not None:
            resolved.append(
                Port(entry.get("name") or "", protocol, number, entry.get("appProtocol") or "")
            )
    return tuple(resolved)


# Private


def _target_number(entry: Obj, protocol: str, pod: Obj) -> int | None:
    target = entry.get("targetPort") or entry["port"]
    if isinstance(target, int):
        return target
    for container in pod["spec"].get("containers") or ():
        for port in container.get("ports") or ():
            if port.get("name") == target and (port.get("protocol") or "TCP") == protocol:
                number: int = port["containerPort"]
                return number
    return None
