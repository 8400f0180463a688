"""What every engine's store holds from the start: namespaces, the IngressClass, the Node. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from nodrop import __version__
from nodrop.model.ingressclass import CLASS, CONTROLLER, DEFAULT_ANNOTATION
from nodrop.model.meta import Obj, annotations_of, format_time
from nodrop.registry.admission import PROTECTED_NAMESPACES
from nodrop.registry.interface import Allocation

#: "false" keeps a role as somebody wrote it.
_AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"


def initial_objects(
    allocation: Allocation, capacity: Mapping[str, str], now: datetime
) -> tuple[Obj, ...]:
    """Objects to be created where they are missing. ``capacity`` is the node's cpu and memory."""
    namespaces = tuple(_namespace(name) for name in PROTECTED_NAMESPACES)
    return (*namespaces, _ingress_class(), _node(allocation, capacity, now))


def refreshed(stored: Obj, wanted: Obj) -> Obj:
    """A stored object of the engine's own as this version wants it; most stay as they are."""
    match wanted["kind"]:
        case "Node":
            return _refreshed_node(stored, wanted)
        case "ClusterRole":
            return _refreshed_role(stored, wanted)
        case "ConfigMap":
            return {**stored, "data": wanted["data"]}
        case _:
            return stored


# Private


def _refreshed_role(stored: Obj, role: Obj) -> Obj:
    """The role with the rules that it lacks, as upstream does; an annotation forbids it."""
    if annotations_of(stored).get(_AUTOUPDATE) == "false":
        return stored
    rules = stored.get("rules") or []
    return {**stored, "rules": [*rules, *(rule for rule in role["rules"] if rule not in rules)]}


def _refreshed_node(stored: Obj, node: Obj) -> Obj:
    """The stored Node with this engine's addresses and capacity; conditions keep their times."""
    spec = {**(stored.get("spec") or {}), **node["spec"]}
    status = {**(stored.get("status") or {}), **node["status"]}
    status["conditions"] = (stored.get("status") or {}).get("conditions") or status["conditions"]
    return {**stored, "spec": spec, "status": status}


def _namespace(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _ingress_class() -> Obj:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {
            "name": CLASS,
            "annotations": {DEFAULT_ANNOTATION: "true"},
        },
        "spec": {"controller": CONTROLLER},
    }


def _node(allocation: Allocation, capacity: Mapping[str, str], now: datetime) -> Obj:
    name = allocation.node_name
    amounts = {**capacity, "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"podCIDR": allocation.pod_cidr, "podCIDRs": [allocation.pod_cidr]},
        "status": {
            "capacity": amounts,
            "allocatable": dict(amounts),
            "conditions": [_ready(now)],
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": name},
            ],
            "nodeInfo": _node_info(),
        },
    }


def _ready(now: datetime) -> Obj:
    return {
        "type": "Ready",
        "status": "True",
        "reason": "EngineReady",
        "message": "nodrop runs pods on this machine",
        "lastHeartbeatTime": format_time(now),
        "lastTransitionTime": format_time(now),
    }


def _node_info() -> Obj:
    """nodeInfo's fields are all required; the ones that mean nothing here stay empty."""
    return {
        "architecture": "",
        "bootID": "",
        "containerRuntimeVersion": f"nodrop://{__version__}",
        "kernelVersion": "",
        "kubeProxyVersion": f"nodrop-{__version__}",
        "kubeletVersion": f"nodrop-{__version__}",
        "machineID": "",
        "operatingSystem": "linux",
        "osImage": "",
        "systemUUID": "",
    }
