"""Services of type ExternalName: where an Ingress that names one sends its requests; pure.

A name of a Service (``web.shop.svc``) means that Service's pods; any other is looked up by the
shell (names.py), and its addresses are backends like pods.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import NamedTuple

from nodrop.model.meta import Obj
from nodrop.proxy.protocol import AppProtocol, Backend, ServicePort
from nodrop.proxy.protocols import protocol_of, said_protocol

#: What DNS in a cluster calls a Service; nodrop has none, so it reads the name itself.
_SERVICE = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(\.cluster\.local)?")
_HTTPS_PORT = 443


class Place(NamedTuple):
    """A host that must be looked up, and the port there."""

    host: str
    port: int


class Answer(NamedTuple):
    """What looking up a host gave. ``own`` are this machine's addresses among them; ``trouble``
    why there are none, or only those of an earlier time."""

    addresses: tuple[str, ...] = ()
    own: frozenset[str] = frozenset()
    trouble: str = ""


@dataclass(slots=True)
class Externals:
    """Where each pool leads: to a host, or to another pool. ``refused``: nowhere, and why."""

    places: dict[ServicePort, Place] = field(default_factory=dict)
    aliases: dict[ServicePort, ServicePort] = field(default_factory=dict)
    protocols: dict[ServicePort, AppProtocol] = field(default_factory=dict)
    refused: dict[ServicePort, str] = field(default_factory=dict)

    def hosts(self) -> frozenset[str]:
        """All that must be looked up."""
        return frozenset(place.host for place in self.places.values())


def plan_externals(services: Iterable[Obj], routed: Iterable[ServicePort]) -> Externals:
    """Where those of the ``routed`` pools lead that are of an ExternalName."""
    named = {
        (one["metadata"].get("namespace", ""), one["metadata"]["name"]): one for one in services
    }
    found = Externals()
    for pool in sorted(routed):
        if is_external(named.get(pool[:2])):
            _add(found, pool, named)
    return found


def is_external(service: Obj | None) -> bool:
    return service is not None and (service.get("spec") or {}).get("type") == "ExternalName"


def backends_at(place: Place, answer: Answer) -> frozenset[Backend]:
    """The addresses as backends."""
    return frozenset(
        Backend(address, place.host, address, place.port) for address in answer.addresses
    )


def without_loops(place: Place, answer: Answer, ingress_ports: Collection[int]) -> Answer:
    """Without addresses at which our own Ingress would get the request again, for ever."""
    if place.port not in ingress_ports or not answer.own:
        return answer
    return Answer(tuple(one for one in answer.addresses if one not in answer.own))


def plan_troubles(
    externals: Externals, answers: Mapping[str, Answer], ingress_ports: Collection[int]
) -> dict[ServicePort, str]:
    """Why pools are not served, or only as they were."""
    troubles = dict(externals.refused)
    for pool, place in externals.places.items():
        answer = answers.get(place.host, Answer())
        if answer.trouble:
            kept = "; its last addresses stay in use" if answer.addresses else ""
            troubles[pool] = f"spec.externalName {place.host}: {answer.trouble}{kept}"
        elif answer.addresses and not without_loops(place, answer, ingress_ports).addresses:
            troubles[pool] = (
                f"spec.externalName {place.host}, port {place.port} is this Ingress itself: "
                "requests would go round in a circle"
            )
    return troubles


# Private

_Named = Mapping[tuple[str, str], Obj]


class _Nowhere(Exception):
    """Why a pool leads nowhere."""


def _add(found: Externals, pool: ServicePort, named: _Named) -> None:
    try:
        place, protocol = _follow(pool, named)
    except _Nowhere as why:
        found.refused[pool] = f"spec.externalName{why}"
        return
    found.protocols[pool] = protocol
    if isinstance(place, ServicePort):
        found.aliases[pool] = place
    else:
        found.places[pool] = place


def _follow(pool: ServicePort, named: _Named) -> tuple[Place | ServicePort, AppProtocol]:
    """Where a pool leads at last, and what is spoken there."""
    seen: set[ServicePort] = set()
    said: AppProtocol | None = None
    while is_external(service := named.get(pool[:2])):
        if pool in seen:
            raise _Nowhere(f" leads back to {pool}: a circle")
        seen.add(pool)
        host, port, entry = _target(service or {}, pool.port)
        said = said or said_protocol(entry)
        other = _SERVICE.fullmatch(host)
        if other is None:
            return Place(host, port), said or ("https" if port == _HTTPS_PORT else "http")
        pool = ServicePort(other["namespace"], other["service"], port)
    if service is None:
        raise _Nowhere(f": there is no Service {pool.namespace}/{pool.service}")
    if (own := _entry(service, pool.port)) is None:
        raise _Nowhere(f": Service {pool.namespace}/{pool.service} has no port {pool.port}")
    return pool, said or protocol_of(own)


def _target(service: Obj, number: int) -> tuple[str, int, Obj]:
    """(host, port there, the Service's own entry for the port).

    A port that the Service does not list is taken as it is: ``ports`` may be left out.
    """
    host = str(service["spec"].get("externalName") or "").removesuffix(".").lower()
    entry = _entry(service, number) or {}
    port = entry.get("targetPort") or number
    if not isinstance(port, int) or not port:
        raise _Nowhere(
            f" {host} needs a port number: of the Ingress's backend, or in spec.ports (a targetPort"
            " must be a number: there is no container to find a name in)"
        )
    if _is_address(host):
        raise _Nowhere(
            f': Invalid value: "{host}": is an address, not a name; make a Service without '
            "selector and an EndpointSlice for it"
        )
    return host, port, entry


def _entry(service: Obj, number: int) -> Obj | None:
    ports: list[Obj] = (service.get("spec") or {}).get("ports") or []
    tcp = (one for one in ports if one.get("protocol", "TCP") == "TCP")
    return next((one for one in tcp if one["port"] == number), None)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
