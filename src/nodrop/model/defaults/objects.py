"""Defaults per kind, except for what is inside a pod (pod.py)."""

from __future__ import annotations

import base64
from collections.abc import Callable

from nodrop.model.custom.definition import default_definition
from nodrop.model.defaults.pod import default_pod, default_pod_spec
from nodrop.model.disruption import COUNTERS
from nodrop.model.meta import Obj
from nodrop.model.rbac import GROUP
from nodrop.model.trees import clone_without_nulls

CLIENT_IP_AFFINITY_S = 10800


def apply_defaults(obj: Obj) -> Obj:
    """A copy of ``obj`` with upstream's defaults filled in; null fields are dropped.

    The object must have the right types (``schema.decode_strictness`` says whether it has).
    Doing it twice changes nothing.
    """
    defaulted: Obj = clone_without_nulls(obj)
    defaulted.setdefault("metadata", {})
    fill = _BY_KIND.get(defaulted.get("kind", ""))
    if fill is not None:
        fill(defaulted)
    return defaulted


def _namespace(obj: Obj) -> None:
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    spec = obj.setdefault("spec", {})
    if "deletionTimestamp" not in obj["metadata"]:
        spec.setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _node(obj: Obj) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    if "allocatable" not in status and "capacity" in status:
        status["allocatable"] = dict(status["capacity"])


def _deployment(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    strategy = spec.setdefault("strategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    _template(spec)


def _replicaset(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    _template(spec)


def _template(spec: Obj) -> None:
    if "template" in spec:
        spec["template"].setdefault("metadata", {})
        default_pod_spec(spec["template"].setdefault("spec", {}))


def _service(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    kind = spec.get("type") or "ClusterIP"
    spec["type"] = kind
    _service_affinity(spec)
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    if kind in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if kind != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _service_affinity(spec: Obj) -> None:
    if not spec.get("sessionAffinity"):
        spec["sessionAffinity"] = "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", CLIENT_IP_AFFINITY_S)


def _secret(obj: Obj) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    plain = obj.pop("stringData", None)
    if plain:
        data = obj.setdefault("data", {})
        for key, text in plain.items():
            data[key] = base64.b64encode(text.encode()).decode()


def _endpointslice(obj: Obj) -> None:
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")


def _endpoints(obj: Obj) -> None:
    for subset in obj.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _ingress(obj: Obj) -> None:
    obj.setdefault("spec", {})
    obj.setdefault("status", {}).setdefault("loadBalancer", {})


def _ingressclass(obj: Obj) -> None:
    parameters = obj.setdefault("spec", {}).get("parameters")
    if parameters is not None:
        parameters.setdefault("scope", "Cluster")


def _poddisruptionbudget(obj: Obj) -> None:
    obj.setdefault("spec", {})
    status = obj.setdefault("status", {})
    for counter in COUNTERS:
        status.setdefault(counter, 0)


def _binding(obj: Obj) -> None:
    """Groups of the subjects and the role, as upstream's defaulting of RBAC has them."""
    ref = obj.setdefault("roleRef", {})
    if not ref.get("apiGroup"):
        ref["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
            subject["apiGroup"] = GROUP


_BY_KIND: dict[str, Callable[[Obj], None]] = {
    "Namespace": _namespace,
    "Node": _node,
    "Pod": default_pod,
    "Deployment": _deployment,
    "ReplicaSet": _replicaset,
    "Service": _service,
    "Secret": _secret,
    "EndpointSlice": _endpointslice,
    "Endpoints": _endpoints,
    "Ingress": _ingress,
    "IngressClass": _ingressclass,
    "CustomResourceDefinition": default_definition,
    "PodDisruptionBudget": _poddisruptionbudget,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
}
