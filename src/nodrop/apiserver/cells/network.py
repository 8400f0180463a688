"""Cells of Services, Endpoints, EndpointSlices, Ingresses and IngressClasses."""

from __future__ import annotations

from datetime import datetime

from nodrop.apiserver.cells.column import NONE, Cell, Column, first_few, joined, object_age
from nodrop.model.meta import Obj

SERVICE_COLUMNS = (
    Column("Name"),
    Column("Type"),
    Column("Cluster-IP"),
    Column("External-IP"),
    Column("Port(s)"),
    Column("Age"),
    Column("Selector", wide=True),
)
ENDPOINTS_COLUMNS = (Column("Name"), Column("Endpoints"), Column("Age"))
ENDPOINTSLICE_COLUMNS = (
    Column("Name"),
    Column("AddressType"),
    Column("Ports"),
    Column("Endpoints"),
    Column("Age"),
)
INGRESS_COLUMNS = (
    Column("Name"),
    Column("Class"),
    Column("Hosts"),
    Column("Address"),
    Column("Ports"),
    Column("Age"),
)
INGRESSCLASS_COLUMNS = (
    Column("Name"),
    Column("Controller"),
    Column("Parameters"),
    Column("Age"),
)


def service_cells(service: Obj, now: datetime) -> list[Cell]:
    spec = service.get("spec") or {}
    selector = spec.get("selector") or {}
    return [
        service["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or NONE,
        _external_ip(service),
        joined(_service_port(port) for port in spec.get("ports") or ()),
        object_age(service, now),
        joined(f"{key}={value}" for key, value in sorted(selector.items())),
    ]


def endpoints_cells(endpoints: Obj, now: datetime) -> list[Cell]:
    return [endpoints["metadata"]["name"], _endpoints(endpoints), object_age(endpoints, now)]


def endpointslice_cells(endpointslice: Obj, now: datetime) -> list[Cell]:
    ports = [str(port.get("port") or "*") for port in endpointslice.get("ports") or ()]
    addresses = [
        address
        for endpoint in endpointslice.get("endpoints") or ()
        for address in endpoint.get("addresses") or ()
    ]
    return [
        endpointslice["metadata"]["name"],
        endpointslice.get("addressType", ""),
        first_few(ports) or "<unset>",
        first_few(addresses) or "<unset>",
        object_age(endpointslice, now),
    ]


def ingress_cells(ingress: Obj, now: datetime) -> list[Cell]:
    spec = ingress.get("spec") or {}
    hosts = [rule["host"] for rule in spec.get("rules") or () if rule.get("host")]
    return [
        ingress["metadata"]["name"],
        spec.get("ingressClassName") or NONE,
        first_few(hosts) or "*",
        ",".join(_load_balancer(ingress)),
        "80, 443" if spec.get("tls") else "80",
        object_age(ingress, now),
    ]


def ingressclass_cells(ingressclass: Obj, now: datetime) -> list[Cell]:
    spec = ingressclass.get("spec") or {}
    return [
        ingressclass["metadata"]["name"],
        spec.get("controller", ""),
        _parameters(spec.get("parameters") or {}),
        object_age(ingressclass, now),
    ]


# Private


def _service_port(port: Obj) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{port.get('port')}{node_port}/{port.get('protocol', 'TCP')}"


def _external_ip(service: Obj) -> str:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", ""))
    addresses = list(spec.get("externalIPs") or ())
    if spec.get("type") == "LoadBalancer":
        addresses = _load_balancer(service) + addresses
        return ",".join(addresses) or "<pending>"
    return joined(addresses)


def _load_balancer(obj: Obj) -> list[str]:
    balancer = (obj.get("status") or {}).get("loadBalancer") or {}
    return [
        entry.get("ip") or entry.get("hostname") or "" for entry in balancer.get("ingress") or ()
    ]


def _endpoints(endpoints: Obj) -> str:
    texts: list[str] = []
    for subset in endpoints.get("subsets") or ():
        ips = [address["ip"] for address in subset.get("addresses") or ()]
        ports = [port["port"] for port in subset.get("ports") or ()]
        texts += [f"{ip}:{port}" for port in ports for ip in ips] if ports else ips
    return first_few(texts) or NONE


def _parameters(parameters: Obj) -> str:
    if not parameters:
        return NONE
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    return f"{parameters.get('kind', '')}{group}/{parameters.get('name', '')}"
