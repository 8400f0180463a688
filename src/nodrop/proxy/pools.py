"""Services and their slices → pools of backends and listeners; pure.

Which pods a Service port has (semantics 4.2), which addresses a Service is listened on (4.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from nodrop.model.meta import Obj, labels_of
from nodrop.proxy.protocol import AppProtocol, Backend, Listener, ServicePort
from nodrop.proxy.protocols import protocol_of
from nodrop.proxy.sources import Sources

_SERVICE_LABEL = "kubernetes.io/service-name"
_AFFINITY_S = 10800


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A pod of a pool and the state that decides whether it gets traffic."""

    backend: Backend
    ready: bool
    serving: bool
    terminating: bool

    @property
    def coming(self) -> bool:
        """Not ready yet, but may become so."""
        return not self.ready and not self.terminating


Endpoints = Mapping[ServicePort, tuple[Endpoint, ...]]


def plan_endpoints(sources: Sources) -> dict[ServicePort, tuple[Endpoint, ...]]:
    """All endpoints of every TCP port of every Service, whether they get traffic or not."""
    slices: dict[tuple[str, str], list[Obj]] = {}
    for piece in sources.slices:
        name = labels_of(piece).get(_SERVICE_LABEL, "")
        slices.setdefault((_namespace(piece), name), []).append(piece)
    return {
        pool: tuple(
            endpoint
            for piece in slices.get((pool.namespace, pool.service), ())
            for endpoint in _endpoints_of(piece, port.get("name", ""), sources.terminating)
        )
        for pool, port, _ in _tcp_ports(sources.services)
    }


def choose_backends(endpoints: Iterable[Endpoint], barred: Collection[str]) -> frozenset[Backend]:
    """Ready pods; if there is none, those that are being ended and still serve."""
    allowed = [endpoint for endpoint in endpoints if endpoint.backend.pod not in barred]
    ready = frozenset(endpoint.backend for endpoint in allowed if endpoint.ready)
    if ready:
        return ready
    return frozenset(
        endpoint.backend for endpoint in allowed if endpoint.serving and endpoint.terminating
    )


def pods_in_slices(slices: Iterable[Obj]) -> set[str]:
    """Uids of all pods that any slice mentions."""
    return {_pod_uid(endpoint) for piece in slices for endpoint in piece.get("endpoints") or ()}


def pools_by_pod(sources: Sources) -> dict[str, list[tuple[Endpoint, ...]]]:
    """For every pod the endpoints of each pool that it is in."""
    found: dict[str, list[tuple[Endpoint, ...]]] = {}
    for members in plan_endpoints(sources).values():
        for pod in {member.backend.pod: None for member in members}:
            found.setdefault(pod, []).append(members)
    return found


def plan_refusals(services: Iterable[Obj]) -> dict[Listener, str]:
    """Service ports that can't be served here, with the reason."""
    refused = {}
    for service in services:
        for port in service.get("spec", {}).get("ports") or ():
            protocol = port.get("protocol", "TCP")
            if protocol != "TCP":
                for address in _cluster_ips(service):
                    refused[Listener(address, port["port"])] = (
                        f"port {port['port']} is {protocol}: only TCP is served"
                    )
    return refused


def services_by_listener(
    services: Iterable[Obj], node_addresses: Sequence[str]
) -> dict[Listener, Obj]:
    """Which Service wants a listener: whom an Event about it regards."""
    owners: dict[Listener, Obj] = {}
    for service in services:
        for port in service.get("spec", {}).get("ports") or ():
            for listener in _port_listeners(service, port, node_addresses):
                owners.setdefault(listener, service)
    return owners


def plan_listeners(sources: Sources) -> dict[Listener, ServicePort]:
    """Every address of a Service that is listened on, and the pool behind it."""
    listeners: dict[Listener, ServicePort] = {}
    for pool, port, service in _tcp_ports(sources.services):
        for listener in _port_listeners(service, port, sources.node_addresses):
            listeners.setdefault(listener, pool)
    return listeners


def port_numbers(services: Iterable[Obj]) -> dict[tuple[str, str, str], int]:
    """(namespace, Service, port name) → port number; also of an ExternalName."""
    return {
        (_namespace(service), service["metadata"]["name"], port["name"]): port["port"]
        for service in services
        for port in (service.get("spec") or {}).get("ports") or ()
        if port.get("name") and port.get("protocol", "TCP") == "TCP"
    }


def plan_protocols(services: Iterable[Obj]) -> dict[ServicePort, AppProtocol]:
    """What pools speak that don't speak HTTP/1.1."""
    return {
        pool: protocol
        for pool, port, _ in _tcp_ports(services)
        if (protocol := protocol_of(port)) != "http"
    }


def plan_affinity(services: Iterable[Obj]) -> dict[ServicePort, int]:
    """For how many seconds a client stays with its pod, where sessionAffinity is ClientIP."""
    return {
        pool: _affinity_s(service["spec"])
        for pool, _, service in _tcp_ports(services)
        if service["spec"].get("sessionAffinity") == "ClientIP"
    }


def has_coming(endpoints: Iterable[Endpoint]) -> bool:
    """Whether some pod may become ready."""
    return any(endpoint.coming for endpoint in endpoints)


# Private


def _tcp_ports(services: Iterable[Obj]) -> Iterable[tuple[ServicePort, Obj, Obj]]:
    for service in services:
        spec = service.get("spec", {})
        if spec.get("type") == "ExternalName":
            continue
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                name = service["metadata"]["name"]
                yield ServicePort(_namespace(service), name, port["port"]), port, service


def _affinity_s(spec: Obj) -> int:
    client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    return int(client.get("timeoutSeconds") or _AFFINITY_S)


def _endpoints_of(piece: Obj, port_name: str, terminating: Collection[str]) -> Iterable[Endpoint]:
    port = _slice_port(piece, port_name)
    if port is None or piece.get("addressType") == "FQDN":  # a name is no address to send to
        return
    for endpoint in piece.get("endpoints") or ():
        conditions = endpoint.get("conditions") or {}
        pod = _pod_uid(endpoint)
        ready = _true_unless(conditions.get("ready"))
        ending = bool(conditions.get("terminating")) or pod in terminating
        serving = ready if conditions.get("serving") is None else bool(conditions["serving"])
        name = (endpoint.get("targetRef") or {}).get("name", pod)
        for address in endpoint.get("addresses") or ():
            backend = Backend(pod=pod, name=name, address=address, port=port)
            yield Endpoint(backend, ready and not ending, serving, ending)


def _slice_port(piece: Obj, name: str) -> int | None:
    for port in piece.get("ports") or ():
        if (port.get("name") or "") == name and port.get("protocol", "TCP") == "TCP":
            number: int | None = port.get("port")
            return number
    return None


def _pod_uid(endpoint: Obj) -> str:
    """The pod's uid; for an endpoint that someone wrote by hand its address."""
    uid: str | None = (endpoint.get("targetRef") or {}).get("uid")
    return uid or str((endpoint.get("addresses") or [""])[0])


def _true_unless(value: bool | None) -> bool:
    return True if value is None else value


def _namespace(obj: Obj) -> str:
    namespace: str = obj["metadata"].get("namespace", "")
    return namespace


def _port_listeners(service: Obj, port: Obj, node_addresses: Sequence[str]) -> Iterable[Listener]:
    for address in _cluster_ips(service):
        yield Listener(address, port["port"])
    if port.get("nodePort"):
        for address in node_addresses:
            yield Listener(address, port["nodePort"])


def _cluster_ips(service: Obj) -> list[str]:
    spec = service.get("spec", {})
    if spec.get("type") == "ExternalName":
        return []
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [address for address in addresses if address and address != "None"]
