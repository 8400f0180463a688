"""Which part of an object a write to it, or to one of its subresources, changes. Pure."""

from __future__ import annotations

from nodrop.model.errors import not_found
from nodrop.model.kinds import DEPLOYMENT, Kind
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.metadata import prepare_update
from nodrop.registry.scale import scale_of, scaled


def check_subresource(key: ObjectKey, subresource: str | None) -> None:
    """Raise 404 for a subresource that this kind doesn't have."""
    if subresource is not None and subresource not in key.kind.subresources:
        error = not_found(key.kind, key.name)
        error.message = f"{key.kind.resource} has no subresource {subresource}"
        raise error


def shown(kind: Kind, obj: Obj, subresource: str | None) -> Obj:
    """What reading ``subresource`` of ``obj`` answers."""
    if subresource != "scale":
        return obj
    return scale_of(obj, kind.custom.scale if kind.custom else None)


def replacement(key: ObjectKey, stored: Obj, sent: Obj, subresource: str | None) -> Obj:
    """The object after ``sent`` was written to ``subresource`` (None: to the object itself).

    A write to the object leaves its status alone and the other way round. ``sent`` is changed.
    Raises 409 or 422 for what contradicts ``stored``.
    """
    if subresource == "scale":
        return scaled(key, stored, sent)
    prepare_update(key, sent, stored)
    match subresource:
        case "status":
            return _with_status(key.kind, stored, sent)
        case "finalize":
            finalizers = (sent.get("spec") or {}).get("finalizers") or []
            return {**stored, "spec": {**(stored.get("spec") or {}), "finalizers": finalizers}}
        case _:
            return _without_status(key.kind, stored, sent)


# Private


def _with_status(kind: Kind, stored: Obj, sent: Obj) -> Obj:
    meta = stored["metadata"]
    if kind == DEPLOYMENT:
        # Upstream lets a Deployment's annotations through here: its controller writes the
        # revision together with the status, and so without a new generation.
        meta = {**meta, "annotations": sent["metadata"].get("annotations") or {}}
        if not meta["annotations"]:
            del meta["annotations"]
    if kind.custom and "status" not in sent:
        return {name: value for name, value in stored.items() if name != "status"}
    return {**stored, "metadata": meta, "status": sent.get("status") or {}}


def _without_status(kind: Kind, stored: Obj, sent: Obj) -> Obj:
    if "status" not in kind.subresources:
        return sent
    kept = {field: value for field, value in sent.items() if field != "status"}
    if "status" in stored:
        kept["status"] = stored["status"]
    return kept
