"""Writes ``status.loadBalancer`` of the Ingresses that nodrop serves."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nodrop.client.actions import NOTHING, Action, Plan, Update
from nodrop.client.cache import Cache
from nodrop.controllers.interface import Outcome, Watch
from nodrop.model.ingressclass import is_ours
from nodrop.model.kinds import INGRESS, INGRESSCLASS
from nodrop.model.meta import Obj, ObjectKey, is_deleting, key_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An Ingress and all classes."""

    ingress: Obj
    classes: tuple[Obj, ...]


class IngressController:
    """``address`` (an IP or a host name) and ``ports`` are where the proxy listens."""

    name = "ingress"

    def __init__(self, *, address: str, ports: Sequence[int]) -> None:
        self._address = address
        self._ports = tuple(ports)

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (
            Watch(INGRESS, lambda _cache, obj: (key_of(obj),)),
            Watch(INGRESSCLASS, _all_ingresses),
        )

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        ingress = cache.get(key)
        if ingress is None or is_deleting(ingress):
            return None
        return Snapshot(ingress, tuple(cache.list(INGRESSCLASS)))

    def decide(self, snapshot: Snapshot) -> Plan:
        ingress = snapshot.ingress
        ours = is_ours(ingress, snapshot.classes)
        points = [_render_point(self._address, self._ports)] if ours else []
        present = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if present == points or (not ours and not _written_by_us(present, self._address)):
            return NOTHING
        balancer = {"ingress": points} if points else {}
        status = {**(ingress.get("status") or {}), "loadBalancer": balancer}
        why = "served at " + self._address if ours else "no longer of our class"
        return Plan((Update({**ingress, "status": status}, "status"),), (why,))

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        return ()


# Private


def _all_ingresses(cache: Cache, _ingress_class: Obj) -> Iterable[ObjectKey]:
    return [key_of(one) for one in cache.list(INGRESS)]


def _render_point(address: str, ports: Iterable[int]) -> Obj:
    field = "ip" if _is_ip(address) else "hostname"
    return {field: address, "ports": [{"port": port, "protocol": "TCP"} for port in ports]}


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _written_by_us(points: Iterable[Obj], address: str) -> bool:
    """Another controller's status on an Ingress of another class is not ours to clear."""
    return any(address in (point.get("ip"), point.get("hostname")) for point in points)
