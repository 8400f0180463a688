"""CustomResourceDefinitions themselves: defaults, whether names are free, conditions; pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, format_time

#: Holds a definition until the last of its objects is gone.
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def default_definition(definition: Obj) -> None:
    """Fill in names and conversion, in place."""
    spec = definition.get("spec") or {}
    names = spec.get("names")
    if isinstance(names, dict) and names.get("kind"):
        names["singular"] = names.get("singular") or names["kind"].lower()
        names["listKind"] = names.get("listKind") or f"{names['kind']}List"
    if spec:
        spec.setdefault("conversion", {"strategy": "None"})


def accepted_status(definition: Obj, others: Iterable[Kind], now: datetime) -> Obj:
    """The status of a definition: whether its names are free, and so whether it is served.

    ``others`` are the served kinds but its own.
    """
    spec, before = definition["spec"], definition.get("status") or {}
    conflict = _conflict(spec, others)
    if conflict:
        accepted = _condition("NamesAccepted", "False", *conflict)
        established = _condition(
            "Established", "False", "NotAccepted", "not all names are accepted"
        )
    else:
        accepted = _condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
        established = _condition(
            "Established", "True", "InitialNamesAccepted", "the initial names have been accepted"
        )
    known = {one["type"]: one for one in before.get("conditions") or ()}
    conditions = {**known, "NamesAccepted": accepted, "Established": established}
    return {
        "conditions": [_kept(one, known.get(one["type"]), now) for one in conditions.values()],
        "acceptedNames": {"kind": "", "plural": ""} if conflict else dict(spec["names"]),
        "storedVersions": [one["name"] for one in spec["versions"] if one.get("storage")],
    }


def terminating_status(status: Obj, now: datetime) -> Obj:
    """``status`` of a definition whose objects are being deleted."""
    text = "CustomResource deletion is in progress"
    marked = _condition("Terminating", "True", "InstanceDeletionInProgress", text)
    known = status.get("conditions") or []
    if any(one["type"] == "Terminating" for one in known):
        return status
    return {**status, "conditions": [*known, {**marked, "lastTransitionTime": format_time(now)}]}


def without_cleanup(definition: Obj) -> Obj:
    """``definition`` without the finalizer that holds it for its objects."""
    meta = dict(definition["metadata"])
    kept = [one for one in meta.pop("finalizers", None) or [] if one != FINALIZER]
    return {**definition, "metadata": {**meta, "finalizers": kept} if kept else meta}


# Private


def _conflict(spec: Obj, others: Iterable[Kind]) -> tuple[str, str] | None:
    names = spec["names"]
    for kind in others:
        if kind.group != spec["group"]:
            continue
        if kind.kind == names["kind"]:
            return "KindConflict", f'"{names["kind"]}" is already in use'
        taken = {kind.plural, kind.singular, *kind.short_names}
        for word in (names["plural"], names["singular"], *(names.get("shortNames") or ())):
            if word in taken:
                return "PluralConflict", f'"{word}" is already in use'
    return None


def _condition(kind: str, status: str, reason: str, message: str) -> Obj:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _kept(condition: Obj, before: Obj | None, now: datetime) -> Obj:
    """``condition`` with the time of its last change."""
    if before is not None and before["status"] == condition["status"]:
        return {**condition, "lastTransitionTime": before.get("lastTransitionTime")}
    return {**condition, "lastTransitionTime": format_time(now)}
