"""What a DELETE does to an object: remove it, or mark it and wait. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nodrop.model.custom.definition import FINALIZER as CLEANUP
from nodrop.model.custom.definition import terminating_status
from nodrop.model.errors import conflict
from nodrop.model.kinds import CUSTOMRESOURCEDEFINITION, NAMESPACE, POD, Kind
from nodrop.model.meta import Obj, format_time, is_deleting, parse_time, revision_of, uid_of
from nodrop.registry.interface import DeleteOptions

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
_DEFAULT_GRACE_S = 30
_MOST_GRACE_S = 2147483647


@dataclass(frozen=True, slots=True)
class DeletePlan:
    """``obj`` as it is to be stored; when ``remove`` is set it is its last state."""

    obj: Obj
    remove: bool


def check_preconditions(kind: Kind, obj: Obj, options: DeleteOptions) -> None:
    """Raise 409 Conflict unless ``obj`` still is the one that was meant."""
    name = obj["metadata"]["name"]
    if options.uid is not None and options.uid != uid_of(obj):
        raise conflict(kind, name, _precondition("UID", options.uid, uid_of(obj)))
    if options.revision is not None and options.revision != revision_of(obj):
        found = revision_of(obj)
        raise conflict(kind, name, _precondition("ResourceVersion", options.revision, found))


def plan_delete(kind: Kind, obj: Obj, options: DeleteOptions, now: datetime) -> DeletePlan:
    """Mark ``obj`` for deletion; it goes at once when nothing holds it.

    A pod is held for its grace period, everything by finalizers. A second delete may only
    shorten a grace period, counted from the first one: marked at 10:00:00 with 30 s
    (deletionTimestamp 10:00:30), a delete with 5 s at 10:00:02 gives 10:00:05.
    """
    meta: dict[str, Any] = dict(obj["metadata"])
    _set_finalizers(meta, options.propagation)
    if is_deleting(obj):
        _shorten(meta, options.grace_period_s, now)
    else:
        grace_s = _grace_s(kind, obj, options.grace_period_s)
        meta["deletionTimestamp"] = format_time(now + timedelta(seconds=grace_s))
        meta["deletionGracePeriodSeconds"] = grace_s
        if meta.get("generation"):
            meta["generation"] += 1
    marked = {**obj, "metadata": meta}
    if kind == CUSTOMRESOURCEDEFINITION:
        _hold_for_objects(meta)
        marked["status"] = terminating_status(obj.get("status") or {}, now)
    if kind == NAMESPACE:
        marked["status"] = {**(obj.get("status") or {}), "phase": "Terminating"}
    return DeletePlan(marked, is_released(kind, marked))


def is_released(kind: Kind, obj: Obj) -> bool:
    """Whether ``obj`` is marked for deletion and nothing holds it any longer."""
    meta = obj["metadata"]
    held = (
        meta.get("finalizers")
        or meta.get("deletionGracePeriodSeconds")
        or (kind == NAMESPACE and (obj.get("spec") or {}).get("finalizers"))
    )
    return is_deleting(obj) and not held


# Private


def _hold_for_objects(meta: dict[str, Any]) -> None:
    """A definition stays until its objects are gone: the registry sees to that."""
    held = meta.get("finalizers") or []
    if CLEANUP not in held:
        meta["finalizers"] = [*held, CLEANUP]


def _precondition(what: str, wanted: object, found: object) -> str:
    return f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"


def _set_finalizers(meta: dict[str, Any], propagation: str) -> None:
    """Let the last policy that was asked for win; the default doesn't undo an earlier one."""
    present = meta.get("finalizers") or []
    if meta.get("deletionTimestamp") and propagation == "Background":
        return
    kept = [finalizer for finalizer in present if finalizer not in (FOREGROUND, ORPHAN)]
    match propagation:
        case "Foreground":
            kept.append(FOREGROUND)
        case "Orphan":
            kept.append(ORPHAN)
    meta.pop("finalizers", None)
    if kept:
        meta["finalizers"] = kept


def _grace_s(kind: Kind, obj: Obj, asked_s: int | None) -> int:
    """A pod's grace period; 0 for what never ran, or has ended, and for every other kind."""
    if kind != POD:
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    never_started = not spec.get("nodeName") or not status.get("startTime")
    if never_started or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    wanted: int | None = asked_s
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds")
    if wanted is None:
        wanted = _DEFAULT_GRACE_S
    return _within_calendar(wanted)


def _within_calendar(wanted_s: int) -> int:
    """Below 0 means 1 (as upstream); what reaches beyond the calendar is cut."""
    return 1 if wanted_s < 0 else min(wanted_s, _MOST_GRACE_S)


def _shorten(meta: dict[str, Any], asked_s: int | None, now: datetime) -> None:
    present_s: int = meta.get("deletionGracePeriodSeconds") or 0
    if asked_s is None:
        return
    asked_s = _within_calendar(asked_s)
    if asked_s >= present_s:
        return
    marked_at = parse_time(meta["deletionTimestamp"]) - timedelta(seconds=present_s)
    due = max(marked_at + timedelta(seconds=asked_s), now)
    meta["deletionTimestamp"] = format_time(due)
    meta["deletionGracePeriodSeconds"] = asked_s
