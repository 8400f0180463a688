"""The older Endpoints object of a Service; pure (semantics 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.client.actions import Action, Create, Update
from nodrop.controllers.endpointslice.endpoints import Endpoint, Ports
from nodrop.controllers.endpointslice.slices import HEADLESS
from nodrop.model.meta import Obj, labels_of

MAX_ADDRESSES = 1000
MANAGED_BY = "endpoints.kubernetes.io/managed-by"
CONTROLLER = "endpoint-controller"


def plan_endpoints(
    service: Obj, endpoints: Sequence[Endpoint], existing: Obj | None
) -> tuple[Action, ...]:
    """One write, or none if the object is as it should be."""
    subsets, labels = _subsets(service, endpoints), _labels(service)
    if existing is None:
        metadata = {
            "name": service["metadata"]["name"],
            "namespace": service["metadata"]["namespace"],
            "labels": labels,
        }
        created: Obj = {"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata}
        return (Create({**created, "subsets": subsets} if subsets else created),)
    if (existing.get("subsets") or []) == subsets and labels_of(existing) == labels:
        return ()
    bare = {key: value for key, value in existing.items() if key != "subsets"}
    bare["metadata"] = {**existing["metadata"], "labels": labels}
    return (Update({**bare, "subsets": subsets} if subsets else bare),)


def is_ours(endpoints: Obj) -> bool:
    return labels_of(endpoints).get(MANAGED_BY) == CONTROLLER


# Private


def _labels(service: Obj) -> dict[str, str]:
    labels = {**labels_of(service), MANAGED_BY: CONTROLLER}
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels


def _subsets(service: Obj, endpoints: Sequence[Endpoint]) -> list[Obj]:
    """Addresses by port list. A terminating pod is listed only where readiness doesn't matter."""
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    listed = [one for one in endpoints if publish or not one.terminating]
    groups: dict[Ports, tuple[list[Obj], list[Obj]]] = {}
    for one in sorted(listed, key=lambda one: (one.address, one.uid))[:MAX_ADDRESSES]:
        if not one.ports and service["spec"].get("ports"):
            continue
        ready, not_ready = groups.setdefault(one.ports, ([], []))
        (ready if one.ready else not_ready).append(_address(one))
    return [_subset(ports, *groups[ports]) for ports in sorted(groups)]


def _subset(ports: Ports, ready: list[Obj], not_ready: list[Obj]) -> Obj:
    subset: Obj = {}
    if ready:
        subset["addresses"] = ready
    if not_ready:
        subset["notReadyAddresses"] = not_ready
    if ports:
        subset["ports"] = [_port(port.render()) for port in ports]
    return subset


def _port(rendered: Obj) -> Obj:
    """Endpoints leave out an empty port name, EndpointSlices keep it."""
    return {key: value for key, value in rendered.items() if value != ""}


def _address(one: Endpoint) -> Obj:
    address: Obj = {"ip": one.address, "targetRef": one.target()}
    if node := one.pod["spec"].get("nodeName"):
        address["nodeName"] = node
    return address
