"""Rules for Services, Endpoints and EndpointSlices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    one_of,
    required,
)
from nodrop.model.validate.container import PROTOCOLS
from nodrop.model.validate.metadata import named_twice, validate_labels
from nodrop.model.validate.names import (
    dns_label,
    dns_subdomain,
    is_ip,
    object_uid,
    port_number,
    port_number_or_name,
    qualified_name,
)

_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_TYPES_WITH_NODE_PORT = ("NodePort", "LoadBalancer")
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MOST_AFFINITY_S = 86400
_MUST_BE_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def validate_service(obj: Obj) -> list[Cause]:
    """Causes for a Service's spec."""
    spec = obj.get("spec") or {}
    kind, ports = spec.get("type"), spec.get("ports") or ()
    causes = one_of("spec.type", kind, _SERVICE_TYPES)
    if kind == "ExternalName":
        causes += _external_name(spec)
    elif not ports and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    address = spec.get("clusterIP")
    if address and address != "None" and not is_ip(address):
        causes.append(invalid("spec.clusterIPs[0]", address, _MUST_BE_IP))
    if address == "None" and kind in _TYPES_WITH_NODE_PORT:
        text = f"may not be set to 'None' for {kind} services"
        causes.append(invalid("spec.clusterIPs[0]", "None", text))
    causes += _service_ports(ports, kind)
    causes += validate_labels(spec.get("selector"), "spec.selector")
    causes += one_of("spec.sessionAffinity", spec.get("sessionAffinity"), ("ClientIP", "None"))
    return causes + _affinity(spec)


def _external_name(spec: Obj) -> list[Cause]:
    causes = []
    if spec.get("clusterIP"):
        text = "may not be set when `type` is 'ExternalName'"
        causes.append(forbidden("spec.clusterIPs[0]", text))
    name = (spec.get("externalName") or "").removesuffix(".")
    if not name:
        return [*causes, required("spec.externalName")]
    return causes + [invalid("spec.externalName", name, text) for text in dns_subdomain(name)]


def _affinity(spec: Obj) -> list[Cause]:
    client = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
    timeout_s = client.get("timeoutSeconds")
    if timeout_s is None or 0 < timeout_s <= _MOST_AFFINITY_S:
        return []
    text = f"must be greater than 0 and less than {_MOST_AFFINITY_S}"
    return [invalid("spec.sessionAffinityConfig.clientIP.timeoutSeconds", timeout_s, text)]


def _service_ports(ports: Sequence[Obj], kind: str | None) -> list[Cause]:
    causes = []
    for index, port in enumerate(ports):
        where = f"spec.ports[{index}]"
        name = port.get("name")
        if name:
            causes += [invalid(f"{where}.name", name, text) for text in dns_label(name)]
        elif len(ports) > 1:
            causes.append(required(f"{where}.name"))
        number, target = port.get("port", 0), port.get("targetPort", 0)
        causes += [invalid(f"{where}.port", number, text) for text in port_number(number)]
        causes += one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
        if app_protocol := port.get("appProtocol"):
            at = f"{where}.appProtocol"
            causes += [invalid(at, app_protocol, text) for text in qualified_name(app_protocol)]
        at = f"{where}.targetPort"
        causes += [invalid(at, target, text) for text in port_number_or_name(target)]
        if port.get("nodePort") and kind == "ClusterIP":
            text = "may not be used when `type` is 'ClusterIP'"
            causes.append(forbidden(f"{where}.nodePort", text))
    return causes + named_twice(ports, "spec.ports") + _ports_twice(ports)


def _ports_twice(ports: Sequence[Obj]) -> list[Cause]:
    causes = []
    for field in ("port", "nodePort"):
        seen: set[tuple[str | None, int]] = set()
        for index, port in enumerate(ports):
            claim = (port.get("protocol"), port.get(field) or 0)
            if claim[1] and claim in seen:
                value = {field: claim[1], "protocol": claim[0]}
                causes.append(duplicate(f"spec.ports[{index}]", value))
            seen.add(claim)
    return causes


def validate_service_update(new: Obj, old: Obj) -> list[Cause]:
    """A Service keeps its address, unless it becomes or was an ExternalName."""
    now, before = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" in (now.get("type"), before.get("type")):
        return []
    address = before.get("clusterIP")
    if not address or now.get("clusterIP") == address:
        return []
    text = "may not change once set"
    return [invalid("spec.clusterIPs[0]", [now.get("clusterIP", "")], text)]


def validate_endpointslice(obj: Obj) -> list[Cause]:
    """Causes for an EndpointSlice."""
    kind = obj.get("addressType")
    causes = one_of("addressType", kind, _ADDRESS_TYPES)
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        path, addresses = f"endpoints[{index}].addresses", endpoint.get("addresses")
        if not addresses:
            causes.append(required(path, "must contain at least 1 address"))
        causes += _addresses(addresses or (), path, kind)
        if uid := (endpoint.get("targetRef") or {}).get("uid"):
            at = f"endpoints[{index}].targetRef.uid"
            causes += [invalid(at, uid, text) for text in object_uid(uid)]
    ports = obj.get("ports") or ()
    for index, port in enumerate(ports):
        causes += one_of(f"ports[{index}].protocol", port.get("protocol"), PROTOCOLS)
        if (number := port.get("port")) is not None:  # without one: all ports, which none are
            causes += [
                invalid(f"ports[{index}].port", number, text) for text in port_number(number)
            ]
        if port.get("name"):
            at, name = f"ports[{index}].name", port["name"]
            causes += [invalid(at, name, text) for text in dns_label(name)]
    return causes + _slice_ports_twice(ports)


def _slice_ports_twice(ports: Sequence[Obj]) -> list[Cause]:
    """No two ports of a slice may share a name; the empty name counts as one."""
    names = [port.get("name") or "" for port in ports]
    return [
        duplicate(f"ports[{index}].name", name)
        for index, name in enumerate(names)
        if name in names[:index]
    ]


def _addresses(addresses: Sequence[str], path: str, kind: Any) -> list[Cause]:
    if kind == "FQDN":
        return [
            invalid(f"{path}[{index}]", address, text)
            for index, address in enumerate(addresses)
            for text in dns_subdomain(address.removesuffix("."))
        ]
    return [
        invalid(f"{path}[{index}]", address, _MUST_BE_IP)
        for index, address in enumerate(addresses)
        if not is_ip(address)
    ]


def validate_endpointslice_update(new: Obj, old: Obj) -> list[Cause]:
    return immutable("addressType", new.get("addressType"), old.get("addressType"))


def validate_endpoints(obj: Obj) -> list[Cause]:
    """Causes for legacy Endpoints."""
    causes = []
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            causes.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
        for section in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(section) or ()):
                at, ip = f"{path}.{section}[{number}].ip", address.get("ip", "")
                if not is_ip(ip):
                    causes.append(invalid(at, ip, _MUST_BE_IP))
        for number, port in enumerate(subset.get("ports") or ()):
            at, value = f"{path}.ports[{number}].port", port.get("port", 0)
            causes += [invalid(at, value, text) for text in port_number(value)]
    return causes
