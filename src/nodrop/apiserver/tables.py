"""meta.k8s.io/v1 Tables, which ``kubectl get`` prints as they are; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from nodrop.apiserver.cells import access, cluster, network, pods, workloads
from nodrop.apiserver.cells.column import Cells, Column
from nodrop.apiserver.cells.custom import custom_cells
from nodrop.model import kinds
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj

IncludeObject = Literal["None", "Metadata", "Object"]

_CELLS: dict[Kind, tuple[tuple[Column, ...], Cells]] = {
    kinds.NAMESPACE: (cluster.NAMESPACE_COLUMNS, cluster.namespace_cells),
    kinds.NODE: (cluster.NODE_COLUMNS, cluster.node_cells),
    kinds.POD: (pods.POD_COLUMNS, pods.pod_cells),
    kinds.SERVICE: (network.SERVICE_COLUMNS, network.service_cells),
    kinds.ENDPOINTS: (network.ENDPOINTS_COLUMNS, network.endpoints_cells),
    kinds.CONFIGMAP: (cluster.CONFIGMAP_COLUMNS, cluster.configmap_cells),
    kinds.SECRET: (cluster.SECRET_COLUMNS, cluster.secret_cells),
    kinds.EVENT: (cluster.EVENT_COLUMNS, cluster.event_cells),
    kinds.EVENTS_EVENT: (cluster.EVENT_COLUMNS, cluster.newer_event_cells),
    kinds.DEPLOYMENT: (workloads.DEPLOYMENT_COLUMNS, workloads.deployment_cells),
    kinds.REPLICASET: (workloads.REPLICASET_COLUMNS, workloads.replicaset_cells),
    kinds.ENDPOINTSLICE: (network.ENDPOINTSLICE_COLUMNS, network.endpointslice_cells),
    kinds.INGRESS: (network.INGRESS_COLUMNS, network.ingress_cells),
    kinds.PODDISRUPTIONBUDGET: (
        workloads.PODDISRUPTIONBUDGET_COLUMNS,
        workloads.poddisruptionbudget_cells,
    ),
    kinds.SERVICEACCOUNT: (access.SERVICEACCOUNT_COLUMNS, access.serviceaccount_cells),
    kinds.LEASE: (access.LEASE_COLUMNS, access.lease_cells),
    kinds.ROLE: (access.ROLE_COLUMNS, access.role_cells),
    kinds.CLUSTERROLE: (access.ROLE_COLUMNS, access.role_cells),
    kinds.ROLEBINDING: (access.BINDING_COLUMNS, access.binding_cells),
    kinds.CLUSTERROLEBINDING: (access.BINDING_COLUMNS, access.binding_cells),
    kinds.CUSTOMRESOURCEDEFINITION: (
        cluster.CUSTOMRESOURCEDEFINITION_COLUMNS,
        cluster.customresourcedefinition_cells,
    ),
    kinds.INGRESSCLASS: (network.INGRESSCLASS_COLUMNS, network.ingressclass_cells),
}


def table(
    kind: Kind,
    objects: Iterable[Obj],
    now: datetime,
    *,
    include: IncludeObject = "Metadata",
    columns: bool = True,
    metadata: Obj | None = None,
) -> Obj:
    """A Table of ``objects``; ``columns`` False leaves out the definitions (later watch events)."""
    definitions, cells = custom_cells(kind.custom) if kind.custom else _CELLS[kind]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata or {},
        "columnDefinitions": [column.definition() for column in definitions] if columns else [],
        "rows": [_row(obj, cells(obj, now), include) for obj in objects],
    }


def partial_metadata(obj: Obj) -> Obj:
    """The object reduced to its metadata."""
    return {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": obj["metadata"],
    }


def _row(obj: Obj, cells: list[str | int], include: IncludeObject) -> Obj:
    row: Obj = {"cells": cells}
    if include == "Object":
        row["object"] = obj
    elif include == "Metadata":
        row["object"] = partial_metadata(obj)
    return row
