"""Deployments and ReplicaSets as a store holds them, small and in one place changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from nodrop.client.actions import Create, Delete, Emit, Plan, Update
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    REVISION,
    Snapshot,
)
from nodrop.model.meta import Obj, controller_reference, format_time

NOW = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
STAMP = format_time(NOW)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def template(version: int = 1, **metadata: Any) -> Obj:
    return {
        "metadata": {"labels": {"app": "web"}, **metadata},
        "spec": {"containers": [{"name": "web", "image": f"web:{version}"}]},
    }


def deployment(
    *,
    annotations: dict[str, str] | None = None,
    status: Obj | None = None,
    deleting: bool = False,
    generation: int = 1,
    **spec: Any,
) -> Obj:
    metadata: Obj = {
        "name": "web",
        "namespace": "default",
        "uid": "uid-web",
        "generation": generation,
    }
    if annotations:
        metadata["annotations"] = annotations
    if deleting:
        metadata["deletionTimestamp"] = STAMP
    whole = {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": template(),
        "progressDeadlineSeconds": 600,
        "revisionHistoryLimit": 10,
        "strategy": {"type": "RollingUpdate"},
        **spec,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata,
        "spec": whole,
        "status": status or {},
    }


def replicaset(
    owner: Obj,
    version: int,
    size: int,
    *,
    revision: int | None = None,
    available: int | None = None,
    replicas: int | None = None,
    observed: bool = True,
    sized_for: tuple[int, int] | None = None,
    annotations: dict[str, str] | None = None,
    conditions: Sequence[Obj] = (),
    deleting: bool = False,
) -> Obj:
    """A set of ``version``, created in the minute of its number, all of it available."""
    marks = {REVISION: str(version if revision is None else revision), **(annotations or {})}
    if sized_for is not None:
        marks |= {DESIRED_REPLICAS: str(sized_for[0]), MAX_REPLICAS: str(sized_for[1])}
    labelled = template(version)
    labelled["metadata"]["labels"]["pod-template-hash"] = f"h{version}"
    ready = size if available is None else available
    status: Obj = {
        "replicas": size if replicas is None else replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "observedGeneration": 1 if observed else 0,
    }
    if conditions:
        status["conditions"] = list(conditions)
    metadata: Obj = {
        "name": f"web-h{version}",
        "namespace": "default",
        "uid": f"uid-h{version}",
        "generation": 1,
        "creationTimestamp": f"2026-11-23T09:{version:02}:00Z",
        "labels": labelled["metadata"]["labels"],
        "annotations": marks,
        "ownerReferences": [controller_reference(owner)],
    }
    if deleting:
        metadata["deletionTimestamp"] = STAMP
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": metadata,
        "spec": {
            "replicas": size,
            "minReadySeconds": owner["spec"].get("minReadySeconds", 0),
            "selector": {"matchLabels": labelled["metadata"]["labels"]},
            "template": labelled,
        },
        "status": status,
    }


def snapshot(owner: Obj, *sets: Obj, now: datetime = NOW, **more: Any) -> Snapshot:
    parts: dict[str, Any] = {"orphans": (), "taken": frozenset(), "pods": (), **more}
    return Snapshot(owner, sets, now=now, **parts)


def decide(owner: Obj, *sets: Obj, now: datetime = NOW, **more: Any) -> Plan:
    return DeploymentController().decide(snapshot(owner, *sets, now=now, **more))


def told(plan: Plan) -> Obj:
    """The deployment's status as the plan writes it."""
    (found,) = (
        action.obj["status"]
        for action in plan.actions
        if isinstance(action, Update) and action.subresource == "status"
    )
    status: Obj = found
    return status


def condition(status: Obj, kind: str) -> Obj | None:
    return next((one for one in status.get("conditions", ()) if one["type"] == kind), None)


def sizes(plan: Plan) -> dict[str, int]:
    """Which sets are written with which size, created ones included."""
    found = {}
    for action in plan.actions:
        if isinstance(action, Create) or (isinstance(action, Update) and not action.subresource):
            found[action.obj["metadata"]["name"]] = action.obj["spec"].get("replicas")
    return found


def messages(plan: Plan) -> list[str]:
    return [action.message for action in plan.actions if isinstance(action, Emit)]


def deleted(plan: Plan) -> list[str]:
    return [action.key.name for action in plan.actions if isinstance(action, Delete)]
