"""What the registry adds to objects of some kinds when they are written."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from nodrop.model.custom.definition import accepted_status
from nodrop.model.disruption import COUNTERS
from nodrop.model.errors import ApiError, forbidden, not_found
from nodrop.model.ingressclass import class_name, default_class
from nodrop.model.kinds import (
    CUSTOMRESOURCEDEFINITION,
    DEPLOYMENT,
    INGRESS,
    INGRESSCLASS,
    NAMESPACE,
    NODE,
    POD,
    PODDISRUPTIONBUDGET,
    REPLICASET,
    SERVICE,
    Kind,
)
from nodrop.model.meta import Obj, ObjectKey, format_time, is_deleting
from nodrop.registry.addresses import allocate
from nodrop.registry.interface import Allocation
from nodrop.store.protocol import Store

#: Namespaces that the engine itself needs.
PROTECTED_NAMESPACES = ("default", "kube-system")


class Admission:
    """Admits objects: namespaces, addresses, Ingress classes, pods bound to the one node."""

    def __init__(self, store: Store, allocation: Allocation, rng: random.Random) -> None:
        self._store = store
        self._allocation = allocation
        self._rng = rng

    def check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        """Raise 404 when the namespace doesn't exist, 403 when it is being deleted."""
        if kind.custom and kind.custom.terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise ApiError(405, "MethodNotAllowed", why)
        if not kind.namespaced:
            return
        found = self._store.get(ObjectKey(NAMESPACE, "", namespace))
        if found is None:
            raise not_found(NAMESPACE, namespace)
        if is_deleting(found.obj):
            raise _terminating(kind, namespace, name)

    def admit_create(self, kind: Kind, obj: Obj, now: datetime) -> None:
        """Complete a new object in place: initial status, node, addresses."""
        initial = _initial_status(kind)
        if initial is not None:
            obj["status"] = initial
        if kind == POD:
            _bind(obj, self._allocation.node_name, now)
        elif kind == SERVICE:
            self._allocate(obj, None)
        elif kind == INGRESS:
            self._choose_class(obj)
        elif kind == NAMESPACE:
            _label_namespace(obj)
            obj["spec"] = {**(obj.get("spec") or {}), "finalizers": ["kubernetes"]}

    def admit_update(self, kind: Kind, obj: Obj, stored: Obj) -> None:
        """Complete a changed object in place."""
        if kind == SERVICE:
            self._allocate(obj, stored)
        elif kind == NAMESPACE:
            obj["spec"] = stored.get("spec") or {}  # finalizers change through /finalize only
            _label_namespace(obj)

    def check_delete(self, key: ObjectKey) -> None:
        """Raise 403 for what the engine itself needs."""
        if key.kind == NAMESPACE and key.name in PROTECTED_NAMESPACES:
            raise forbidden(NAMESPACE, key.name, "this namespace may not be deleted")

    def settle(self, kind: Kind, obj: Obj, now: datetime) -> None:
        """Decide about a valid object, in place: whether a definition's names are free."""
        if kind == CUSTOMRESOURCEDEFINITION:
            own = obj["metadata"]["name"]
            others = [one for one in self._store.kinds.stored if one.resource != own]
            obj["status"] = accepted_status(obj, others, now)

    # Private

    def _choose_class(self, ingress: Obj) -> None:
        """Write the default class into an Ingress that asks for none."""
        if class_name(ingress):
            return
        if name := default_class(one.obj for one in self._store.list(INGRESSCLASS)):
            ingress["spec"]["ingressClassName"] = name

    def _allocate(self, service: Obj, before: Obj | None) -> None:
        others: Iterable[Obj] = (one.obj for one in self._store.list(SERVICE))
        allocate(service, before, others, allocation=self._allocation, rng=self._rng)


def qos_class(spec: Obj) -> str:
    """``status.qosClass``: Guaranteed, Burstable or BestEffort, by requests and limits."""
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    named = [_cpu_and_memory(container.get("resources") or {}) for container in containers]
    if not any(requests or limits for requests, limits in named):
        return "BestEffort"
    guaranteed = all(
        set(limits) == {"cpu", "memory"} and all(requests.get(k, v) == v for k, v in limits.items())
        for requests, limits in named
    )
    return "Guaranteed" if guaranteed else "Burstable"


# Private


def _terminating(kind: Kind, namespace: str, name: str) -> ApiError:
    why = f"unable to create new content in namespace {namespace} because it is being terminated"
    error = forbidden(kind, name, why)
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error


def _initial_status(kind: Kind) -> Obj | None:
    """The status a new object starts with; None where a creator may set one."""
    if kind in (SERVICE, INGRESS):
        return {"loadBalancer": {}}
    if kind == REPLICASET:
        return {"replicas": 0}
    if kind == DEPLOYMENT:
        return {}
    if kind == NAMESPACE:
        return {"phase": "Active"}
    if kind == PODDISRUPTIONBUDGET:
        return dict.fromkeys(COUNTERS, 0)
    if kind == NODE:
        return None
    return {} if "status" in kind.subresources else None


def _bind(pod: Obj, node_name: str, now: datetime) -> None:
    """Put a new pod on this node: there is no scheduler, because there is no choice."""
    spec = pod["spec"]
    if not spec.get("nodeName"):
        spec["nodeName"] = node_name
    scheduled = {
        "type": "PodScheduled",
        "status": "True",
        "lastTransitionTime": format_time(now),
    }
    pod["status"] = {"phase": "Pending", "conditions": [scheduled], "qosClass": qos_class(spec)}


def _label_namespace(namespace: Obj) -> None:
    meta = namespace["metadata"]
    meta["labels"] = {
        **(meta.get("labels") or {}),
        "kubernetes.io/metadata.name": meta["name"],
    }


def _cpu_and_memory(resources: Obj) -> tuple[dict[str, Any], dict[str, Any]]:
    """Requests and limits of the two resources that decide the class, without zeros."""

    def named(which: str) -> dict[str, Any]:
        amounts = resources.get(which) or {}
        return {name: str(amounts[name]) for name in ("cpu", "memory") if amounts.get(name)}

    return named("requests"), named("limits")
