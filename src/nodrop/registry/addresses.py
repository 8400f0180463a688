"""Which ClusterIP and node ports a Service gets. What is taken is read from the Services stored.

So nothing has to be freed: a Service that is gone takes nothing.
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Collection, Iterable
from typing import Any

from nodrop.model.errors import ApiError, Cause, invalid
from nodrop.model.kinds import SERVICE
from nodrop.model.meta import Obj, uid_of
from nodrop.registry.interface import Allocation

_WITH_NODE_PORTS = ("NodePort", "LoadBalancer")


def allocate(
    service: Obj,
    before: Obj | None,
    others: Iterable[Obj],
    *,
    allocation: Allocation,
    rng: random.Random,
) -> None:
    """Fill in ``clusterIP`` and ``nodePort`` of ``service``. Raises 422 for what can't be had.

    ``before`` is the Service as stored: what an update leaves out, it keeps.
    """
    spec = service.setdefault("spec", {})
    others = [one for one in others if before is None or uid_of(one) != uid_of(before)]
    _carry_over(spec, before)
    if spec.get("type") == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            spec.pop(field, None)
        return
    _allocate_cluster_ip(service, others, allocation.service_cidr, rng)
    if spec.get("type") in _WITH_NODE_PORTS:
        _allocate_node_ports(service, others, allocation.node_ports, rng)


# Private


def _carry_over(spec: Obj, before: Obj | None) -> None:
    """Keep the addresses of the stored Service where the new one names none."""
    had = (before or {}).get("spec") or {}
    if had.get("type", "ClusterIP") != "ExternalName" and not spec.get("clusterIP"):
        asked = spec.get("clusterIPs") or [had.get("clusterIP") or ""]
        spec["clusterIP"] = asked[0]
    ports_before = {_port_key(port): port.get("nodePort") for port in had.get("ports") or ()}
    if spec.get("type") in _WITH_NODE_PORTS:
        for port in spec.get("ports") or ():
            if not port.get("nodePort") and ports_before.get(_port_key(port)):
                port["nodePort"] = ports_before[_port_key(port)]
    else:
        for port in spec.get("ports") or ():
            if port.get("nodePort") == ports_before.get(_port_key(port)):
                port.pop("nodePort", None)


def _port_key(port: Obj) -> tuple[Any, str]:
    return port.get("port"), port.get("protocol", "TCP")


def _allocate_cluster_ip(
    service: Obj, others: Collection[Obj], cidr: str, rng: random.Random
) -> None:
    spec = service["spec"]
    wanted = spec.get("clusterIP") or ""
    taken = {one["spec"].get("clusterIP") for one in others}
    network = ipaddress.ip_network(cidr)
    if wanted and wanted != "None":
        _check_address(service, wanted, taken, network)
    elif not wanted:
        spec["clusterIP"] = _free_address(service, network, taken, rng)
    spec["clusterIPs"] = [spec["clusterIP"]]
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")


def _check_address(
    service: Obj,
    wanted: str,
    taken: Collection[str],
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> None:
    try:
        inside = ipaddress.ip_address(wanted) in network
    except ValueError:
        inside = False
    if not inside:
        raise _no_address(
            service,
            f"the provided IP ({wanted}) is not in the valid range. "
            f"The range of valid IPs is {network}",
        )
    if wanted in taken:
        raise _no_address(service, "provided IP is already allocated")


def _free_address(
    service: Obj,
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
    taken: Collection[str],
    rng: random.Random,
) -> str:
    """The first free address from a random place on, so that one just freed is not reused soon."""
    first, count = int(network.network_address) + 1, network.num_addresses - 2
    start = rng.randrange(count)
    for step in range(count):
        candidate = str(ipaddress.ip_address(first + (start + step) % count))
        if candidate not in taken:
            return candidate
    raise _no_address(service, "range is full")


def _no_address(service: Obj, why: str) -> ApiError:
    wanted = service["spec"].get("clusterIP") or ""
    text = f'Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: {why}'
    cause = Cause("spec.clusterIPs", "FieldValueInvalid", text)
    return invalid(SERVICE, service["metadata"].get("name", ""), [cause])


def _allocate_node_ports(
    service: Obj, others: Iterable[Obj], node_ports: tuple[int, int], rng: random.Random
) -> None:
    lowest, highest = node_ports
    taken = {
        (port.get("nodePort"), port.get("protocol", "TCP"))
        for one in others
        for port in one["spec"].get("ports") or ()
    }
    ports = service["spec"].get("ports") or []
    for index, port in enumerate(ports):
        if not (wanted := port.get("nodePort")):
            continue
        if not lowest <= wanted <= highest:
            why = (
                "provided port is not in the valid range. "
                f"The range of valid ports is {lowest}-{highest}"
            )
            raise _no_port(service, index, wanted, why)
        if (wanted, port.get("protocol", "TCP")) in taken:
            raise _no_port(service, index, wanted, "provided port is already allocated")
        taken.add((wanted, port.get("protocol", "TCP")))
    for index, port in enumerate(ports):
        if not port.get("nodePort"):
            port["nodePort"] = _free_port(service, index, node_ports, {t[0] for t in taken}, rng)
            taken.add((port["nodePort"], port.get("protocol", "TCP")))


def _free_port(
    service: Obj,
    index: int,
    node_ports: tuple[int, int],
    taken: Collection[int | None],
    rng: random.Random,
) -> int:
    lowest, highest = node_ports
    count = highest - lowest + 1
    start = rng.randrange(count)
    for step in range(count):
        candidate = lowest + (start + step) % count
        if candidate not in taken:
            return candidate
    raise _no_port(service, index, 0, "range is full")


def _no_port(service: Obj, index: int, wanted: int, why: str) -> ApiError:
    cause = Cause(
        f"spec.ports[{index}].nodePort", "FieldValueInvalid", f"Invalid value: {wanted}: {why}"
    )
    return invalid(SERVICE, service["metadata"].get("name", ""), [cause])
