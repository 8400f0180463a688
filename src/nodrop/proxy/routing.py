"""From API objects to the routing table; pure.

Which pods a Service port has (semantics 4.2), which requests an Ingress sends where (4.4), which
addresses a Service is listened on (4.3).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from nodrop.model.ingressclass import is_ours
from nodrop.model.meta import Obj, labels_of
from nodrop.proxy.protocol import Backend, Listener, Route, RoutingTable, ServicePort

_Key = TypeVar("_Key", bound=tuple[object, ...])
_SERVICE_LABEL = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that a table is made of. Pods are named by uid.

    ``terminating`` pods are being ended though their slices may not say so yet; ``barred`` ones
    get no traffic whatever the slices say. ``served`` are pools that had a pod a moment ago.
    ``node_address`` is where NodePorts are listened on.
    """

    services: Sequence[Obj] = ()
    slices: Sequence[Obj] = ()
    ingresses: Sequence[Obj] = ()
    classes: Sequence[Obj] = ()
    terminating: Collection[str] = frozenset()
    barred: Collection[str] = frozenset()
    served: Collection[ServicePort] = frozenset()
    node_address: str = "127.0.0.1"


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


def plan_table(sources: Sources) -> RoutingTable:
    """The table for the present objects."""
    return table_of(sources, plan_endpoints(sources))


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


def table_of(sources: Sources, endpoints: Endpoints) -> RoutingTable:
    """The table, given the endpoints; only pools that can be reached are in it."""
    listeners = _listeners(sources)
    routes, default = _ingress_routes(sources)
    reached = {*listeners.values(), *routes.values(), *([default] if default else ())}
    pools = {
        pool: choose_backends(endpoints.get(pool, ()), sources.barred) for pool in sorted(reached)
    }
    waiting = frozenset(
        pool
        for pool, backends in pools.items()
        if not backends and (pool in sources.served or _has_coming(endpoints.get(pool, ())))
    )
    return RoutingTable(pools, routes, default, listeners, waiting)


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


def services_by_listener(services: Iterable[Obj], node_address: str) -> dict[Listener, Obj]:
    """Which Service wants a listener: whom an Event about it regards."""
    owners: dict[Listener, Obj] = {}
    for service in services:
        for port in service.get("spec", {}).get("ports") or ():
            for listener in _port_listeners(service, port, node_address):
                owners.setdefault(listener, service)
    return owners


# Services and endpoints.


def _has_coming(endpoints: Iterable[Endpoint]) -> bool:
    return any(endpoint.coming for endpoint in endpoints)


def _tcp_ports(services: Iterable[Obj]) -> Iterable[tuple[ServicePort, Obj, Obj]]:
    for service in services:
        spec = service.get("spec", {})
        if spec.get("type") == "ExternalName":
            continue
        for port in spec.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                name = service["metadata"]["name"]
                yield ServicePort(_namespace(service), name, port["port"]), port, service


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


def _listeners(sources: Sources) -> dict[Listener, ServicePort]:
    listeners: dict[Listener, ServicePort] = {}
    for pool, port, service in _tcp_ports(sources.services):
        for listener in _port_listeners(service, port, sources.node_address):
            listeners.setdefault(listener, pool)
    return listeners


def _port_listeners(service: Obj, port: Obj, node_address: str) -> Iterable[Listener]:
    for address in _cluster_ips(service):
        yield Listener(address, port["port"])
    if port.get("nodePort"):
        yield Listener(node_address, port["nodePort"])


def _cluster_ips(service: Obj) -> list[str]:
    spec = service.get("spec", {})
    if spec.get("type") == "ExternalName":
        return []
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP")]
    return [address for address in addresses if address and address != "None"]


# Ingresses.


@dataclass(slots=True)
class _Rules:
    routes: dict[Route, ServicePort] = field(default_factory=dict)
    default: ServicePort | None = None


def _ingress_routes(sources: Sources) -> tuple[dict[Route, ServicePort], ServicePort | None]:
    """Of two rules for the same host and path the older Ingress wins."""
    rules = _Rules()
    numbers = _port_numbers(sources.services)
    ours = [obj for obj in sources.ingresses if is_ours(obj, sources.classes)]
    for ingress in sorted(ours, key=_age):
        _add_ingress(rules, ingress, numbers)
    return rules.routes, rules.default


def _age(ingress: Obj) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp", ""), meta.get("namespace", ""), meta["name"]


def _port_numbers(services: Iterable[Obj]) -> dict[tuple[str, str, str], int]:
    return {
        (pool.namespace, pool.service, port["name"]): pool.port
        for pool, port, _ in _tcp_ports(services)
        if port.get("name")
    }


def _add_ingress(rules: _Rules, ingress: Obj, numbers: Mapping[tuple[str, str, str], int]) -> None:
    namespace, spec = _namespace(ingress), ingress.get("spec", {})
    default = _pool_of(spec.get("defaultBackend"), namespace, numbers)
    if default and rules.default is None:
        rules.default = default
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            pool = _pool_of(path.get("backend"), namespace, numbers)
            if pool:
                rules.routes.setdefault(_route(rule.get("host", ""), path), pool)


def _route(host: str, path: Obj) -> Route:
    text = path.get("path") or "/"
    if path.get("pathType") == "Exact":
        return Route(host.lower(), text, True)
    return Route(host.lower(), text.rstrip("/") or "/", False)


def _pool_of(
    backend: Obj | None, namespace: str, numbers: Mapping[tuple[str, str, str], int]
) -> ServicePort | None:
    """The pool of an Ingress backend; one that can't be found is an empty pool: 503, not 404."""
    service = (backend or {}).get("service")
    if not service:
        return None
    port = service.get("port") or {}
    number = port.get("number") or numbers.get((namespace, service["name"], port.get("name", "")))
    return ServicePort(namespace, service["name"], number or 0)


# What changed, for logs and the decision trace.


def diff_tables(before: RoutingTable, after: RoutingTable) -> list[str]:
    """The difference in words, one line a change: ``default/web:80 + web-1 (127.9.1.1:80)``."""
    lines = []
    for pool in sorted(before.pools.keys() | after.pools.keys()):
        old, new = before.pools.get(pool, frozenset()), after.pools.get(pool, frozenset())
        lines += [f"{pool} + {_shown(backend)}" for backend in sorted(new - old)]
        lines += [f"{pool} - {_shown(backend)}" for backend in sorted(old - new)]
    lines += _changed("route", before.routes, after.routes)
    lines += _changed("listener", before.listeners, after.listeners)
    if before.default != after.default:
        lines.append(f"default backend → {after.default}")
    return lines


def _changed(
    what: str, old: Mapping[_Key, ServicePort], new: Mapping[_Key, ServicePort]
) -> list[str]:
    return [
        f"{what} {' '.join(map(str, key))} → {new.get(key, 'nowhere')}"
        for key in sorted({*old, *new}, key=str)
        if old.get(key) != new.get(key)
    ]


def _shown(backend: Backend) -> str:
    return f"{backend.name} ({backend.address}:{backend.port})"
