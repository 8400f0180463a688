"""Cells of Deployments, ReplicaSets and PodDisruptionBudgets."""

from __future__ import annotations

from datetime import datetime

from nodrop.apiserver.cells.column import NONE, Cell, Column, joined, object_age
from nodrop.client.selectors import format_label_selector
from nodrop.model.meta import Obj, selector_from_object

_TEMPLATE = (
    Column("Containers", wide=True),
    Column("Images", wide=True),
    Column("Selector", wide=True),
)
DEPLOYMENT_COLUMNS = (
    Column("Name"),
    Column("Ready"),
    Column("Up-to-date", type="integer"),
    Column("Available", type="integer"),
    Column("Age"),
    *_TEMPLATE,
)
REPLICASET_COLUMNS = (
    Column("Name"),
    Column("Desired", type="integer"),
    Column("Current", type="integer"),
    Column("Ready", type="integer"),
    Column("Age"),
    *_TEMPLATE,
)
PODDISRUPTIONBUDGET_COLUMNS = (
    Column("Name"),
    Column("Min Available"),
    Column("Max Unavailable"),
    Column("Allowed Disruptions", type="integer"),
    Column("Age"),
)


def deployment_cells(deployment: Obj, now: datetime) -> list[Cell]:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    return [
        deployment["metadata"]["name"],
        f"{status.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        status.get("updatedReplicas", 0),
        status.get("availableReplicas", 0),
        object_age(deployment, now),
        *_template(spec),
    ]


def replicaset_cells(replicaset: Obj, now: datetime) -> list[Cell]:
    spec, status = replicaset.get("spec") or {}, replicaset.get("status") or {}
    return [
        replicaset["metadata"]["name"],
        spec.get("replicas", 1),
        status.get("replicas", 0),
        status.get("readyReplicas", 0),
        object_age(replicaset, now),
        *_template(spec),
    ]


def poddisruptionbudget_cells(budget: Obj, now: datetime) -> list[Cell]:
    spec, status = budget.get("spec") or {}, budget.get("status") or {}
    limits = (spec.get("minAvailable"), spec.get("maxUnavailable"))
    return [
        budget["metadata"]["name"],
        *("N/A" if limit is None else str(limit) for limit in limits),
        status.get("disruptionsAllowed", 0),
        object_age(budget, now),
    ]


def _template(spec: Obj) -> list[Cell]:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return [
        joined(container.get("name", "") for container in containers),
        joined(container.get("image", "") for container in containers),
        format_label_selector(selector_from_object(spec.get("selector") or {})) or NONE,
    ]
