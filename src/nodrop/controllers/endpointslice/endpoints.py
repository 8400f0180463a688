"""One pod as an endpoint of a Service: its conditions and its ports; pure (semantics 4.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from nodrop.controllers.endpointslice.holds import Hold, hold_of
from nodrop.controllers.pods import is_ready
from nodrop.model.meta import Obj, is_deleting, uid_of


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
    """A pod of a Service, and the hold that keeps or kept it from being ready (S9)."""

    pod: Obj
    ports: Ports
    ready: bool
    serving: bool
    terminating: bool
    hold: Hold | None

    @property
    def held(self) -> bool:
        """Only time keeps it from being ready."""
        return self.hold is not None and self.hold.due is not None

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


def endpoint_of(
    pod: Obj, service: Obj, *, hold_unprobed: bool, note: str, now: datetime
) -> Endpoint:
    """What ``pod`` is to ``service`` at ``now``; ``note`` is what was noted of its hold.

    A held pod is not serving either: the proxy's fall-back to terminating endpoints must not
    reach a program that nothing has shown to listen yet.
    """
    hold = hold_of(pod, note, now) if hold_unprobed else None
    serving = is_ready(pod) and (hold is None or hold.due is None)
    terminating = is_deleting(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    return Endpoint(
        pod=pod,
        ports=resolve_ports(service, pod),
        ready=publish or (serving and not terminating),
        serving=serving,
        terminating=terminating,
        hold=hold,
    )


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
