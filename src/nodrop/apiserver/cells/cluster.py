"""Cells of Namespaces, Nodes, ConfigMaps, Secrets and Events."""

from __future__ import annotations

from datetime import datetime

from nodrop.apiserver.cells.column import NONE, UNKNOWN, Cell, Column, age, object_age
from nodrop.model.eventforms import stored_event
from nodrop.model.meta import Obj, labels_of

NAMESPACE_COLUMNS = (Column("Name"), Column("Status"), Column("Age"))
NODE_COLUMNS = (
    Column("Name"),
    Column("Status"),
    Column("Roles"),
    Column("Age"),
    Column("Version"),
    Column("Internal-IP", wide=True),
    Column("External-IP", wide=True),
    Column("OS-Image", wide=True),
    Column("Kernel-Version", wide=True),
    Column("Container-Runtime", wide=True),
)
CONFIGMAP_COLUMNS = (Column("Name"), Column("Data", type="integer"), Column("Age"))
SECRET_COLUMNS = (
    Column("Name"),
    Column("Type"),
    Column("Data", type="integer"),
    Column("Age"),
)
CUSTOMRESOURCEDEFINITION_COLUMNS = (Column("Name"), Column("Created At", type="date"))
EVENT_COLUMNS = (
    Column("Last Seen"),
    Column("Type"),
    Column("Reason"),
    Column("Object"),
    Column("Subobject", wide=True),
    Column("Source", wide=True),
    Column("Message"),
    Column("First Seen", wide=True),
    Column("Count", wide=True, type="integer"),
    Column("Name", wide=True),
)
_ROLE = "node-role.kubernetes.io/"


def namespace_cells(namespace: Obj, now: datetime) -> list[Cell]:
    phase = (namespace.get("status") or {}).get("phase", "")
    return [namespace["metadata"]["name"], phase, object_age(namespace, now)]


def customresourcedefinition_cells(definition: Obj, now: datetime) -> list[Cell]:
    meta = definition["metadata"]
    return [meta["name"], meta.get("creationTimestamp") or UNKNOWN]


def node_cells(node: Obj, now: datetime) -> list[Cell]:
    status = node.get("status") or {}
    info = status.get("nodeInfo") or {}
    addresses = {entry.get("type"): entry.get("address") for entry in status.get("addresses") or ()}
    roles = sorted(key.removeprefix(_ROLE) for key in labels_of(node) if key.startswith(_ROLE))
    return [
        node["metadata"]["name"],
        _node_status(node),
        ",".join(roles) or NONE,
        object_age(node, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP") or NONE,
        addresses.get("ExternalIP") or NONE,
        info.get("osImage") or UNKNOWN,
        info.get("kernelVersion") or UNKNOWN,
        info.get("containerRuntimeVersion") or UNKNOWN,
    ]


def configmap_cells(configmap: Obj, now: datetime) -> list[Cell]:
    count = len(configmap.get("data") or ()) + len(configmap.get("binaryData") or ())
    return [configmap["metadata"]["name"], count, object_age(configmap, now)]


def secret_cells(secret: Obj, now: datetime) -> list[Cell]:
    return [
        secret["metadata"]["name"],
        secret.get("type", "Opaque"),
        len(secret.get("data") or ()),
        object_age(secret, now),
    ]


def event_cells(event: Obj, now: datetime) -> list[Cell]:
    about, series = event.get("involvedObject") or {}, event.get("series") or {}
    first = event.get("firstTimestamp") or event.get("eventTime")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    return [
        age(last, now),
        event.get("type", ""),
        event.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        _source(event),
        (event.get("message") or "").strip(),
        age(first, now),
        series.get("count") or event.get("count") or 1,
        event["metadata"]["name"],
    ]


def newer_event_cells(event: Obj, now: datetime) -> list[Cell]:
    """Of events.k8s.io/v1: the same columns."""
    return event_cells(stored_event(event), now)


# Private


def _node_status(node: Obj) -> str:
    ready = next(
        (
            condition.get("status")
            for condition in (node.get("status") or {}).get("conditions") or ()
            if condition.get("type") == "Ready"
        ),
        None,
    )
    word = {"True": "Ready", None: "Unknown"}.get(ready, "NotReady")
    return word + (",SchedulingDisabled" if (node.get("spec") or {}).get("unschedulable") else "")


def _source(event: Obj) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent") or ""
    host = source.get("host") or event.get("reportingInstance") or ""
    return f"{component}, {host}" if host else component
