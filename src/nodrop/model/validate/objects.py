"""Which rules hold for which kind, on creation and on update."""

from __future__ import annotations

from collections.abc import Callable

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj, object_kind
from nodrop.model.validate.access import (
    validate_binding,
    validate_binding_update,
    validate_lease,
    validate_role,
)
from nodrop.model.validate.causes import invalid
from nodrop.model.validate.config import (
    validate_configmap,
    validate_configmap_update,
    validate_secret,
    validate_secret_update,
)
from nodrop.model.validate.definition import validate_definition, validate_definition_update
from nodrop.model.validate.disruption import validate_poddisruptionbudget
from nodrop.model.validate.drain import drain_causes
from nodrop.model.validate.ingress import (
    validate_ingress,
    validate_ingressclass,
    validate_ingressclass_update,
    validate_new_ingress,
)
from nodrop.model.validate.metadata import validate_metadata, validate_metadata_update
from nodrop.model.validate.network import (
    validate_endpoints,
    validate_endpointslice,
    validate_endpointslice_update,
    validate_service,
    validate_service_update,
)
from nodrop.model.validate.pod import validate_pod_spec, validate_pod_update
from nodrop.model.validate.workload import (
    validate_deployment,
    validate_replicaset,
    validate_selector_update,
)


def validate_create(obj: Obj) -> list[Cause]:
    """Every reason to refuse a new object, which must have been defaulted; empty: accept it."""
    causes = _validate(obj)
    if obj["kind"] == "Ingress":
        causes += validate_new_ingress(obj)
    return causes


def validate_update(new: Obj, old: Obj) -> list[Cause]:
    """Every reason to refuse ``new`` (defaulted) in place of the stored ``old``."""
    causes = validate_metadata_update(new["metadata"], old["metadata"])
    causes += _validate(new)
    compare = _UPDATES.get(new["kind"])
    return causes + compare(new, old) if compare is not None else causes


def _validate(obj: Obj) -> list[Cause]:
    causes = validate_metadata(obj["metadata"], object_kind(obj))
    check = _OBJECTS.get(obj["kind"])
    return causes + check(obj) if check is not None else causes


def _pod(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    return validate_pod_spec(spec, "spec") + drain_causes(obj["metadata"], spec, "metadata")


def _pod_update(new: Obj, old: Obj) -> list[Cause]:
    return validate_pod_update(new.get("spec") or {}, old.get("spec") or {})


def _event(obj: Obj) -> list[Cause]:
    namespace = (obj.get("involvedObject") or {}).get("namespace")
    if not namespace or namespace == obj["metadata"].get("namespace"):
        return []
    return [invalid("involvedObject.namespace", namespace, "does not match event.namespace")]


_OBJECTS: dict[str, Callable[[Obj], list[Cause]]] = {
    "Pod": _pod,
    "Deployment": validate_deployment,
    "ReplicaSet": validate_replicaset,
    "Service": validate_service,
    "Endpoints": validate_endpoints,
    "EndpointSlice": validate_endpointslice,
    "Ingress": validate_ingress,
    "IngressClass": validate_ingressclass,
    "ConfigMap": validate_configmap,
    "Secret": validate_secret,
    "Event": _event,
    "CustomResourceDefinition": validate_definition,
    "PodDisruptionBudget": validate_poddisruptionbudget,
    "Role": validate_role,
    "ClusterRole": validate_role,
    "RoleBinding": validate_binding,
    "ClusterRoleBinding": validate_binding,
    "Lease": validate_lease,
}
_UPDATES: dict[str, Callable[[Obj, Obj], list[Cause]]] = {
    "Pod": _pod_update,
    "Deployment": validate_selector_update,
    "ReplicaSet": validate_selector_update,
    "Service": validate_service_update,
    "EndpointSlice": validate_endpointslice_update,
    "IngressClass": validate_ingressclass_update,
    "ConfigMap": validate_configmap_update,
    "CustomResourceDefinition": validate_definition_update,
    "Secret": validate_secret_update,
    "RoleBinding": validate_binding_update,
    "ClusterRoleBinding": validate_binding_update,
}
