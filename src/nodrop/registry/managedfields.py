"""Keeps ``metadata.managedFields`` over writes, and carries server-side applies out. Pure.

As long as nobody has applied an object, nothing is tracked for it: most are never applied, and
what was there before belongs to ``before-first-apply`` then (upstream's rule, too). What our own
controllers write is never tracked: it is status and annotations of their own.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from nodrop.model.definitions import schema_of
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.fieldsets import Path
from nodrop.model.kinds import SCALE, Kind
from nodrop.model.meta import Obj, ObjectKey, format_time
from nodrop.model.ssa import (
    Manager,
    Owned,
    Owners,
    applied,
    fields_owned,
    known_owners,
    updated,
    write_owners,
)
from nodrop.registry.interface import WriteOptions
from nodrop.registry.scale import replicas_path, scale_of, scaled

#: What an owner of the replicas owns of a Scale.
_REPLICAS: Path = ("f:spec", "f:replicas")


def check_apply(config: Obj, options: WriteOptions) -> None:
    """Raise what is wrong with an apply before anything is looked at."""
    if not options.field_manager:
        raise _invalid_options(
            "FieldValueRequired", "fieldManager", "Required value: is required for apply patch"
        )
    metadata = config.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata: expected an object")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")


def check_not_forced(options: WriteOptions) -> None:
    """Raise 422 for ``force`` where nothing is applied."""
    if options.force:
        why = "Forbidden: may not be specified for non-apply patch"
        raise _invalid_options("FieldValueForbidden", "force", why)


def first_owners(kind: Kind, config: Obj, options: WriteOptions, now: datetime) -> list[Obj]:
    """``managedFields`` of an object that an apply creates."""
    fields = fields_owned(_applicable(kind, config, None), schema_of(kind))
    return write_owners({_applier(kind, options, None): Owned(fields, format_time(now))})


def apply_config(
    key: ObjectKey,
    stored: Obj,
    config: Obj,
    subresource: str | None,
    options: WriteOptions,
    now: datetime,
) -> Obj:
    """The object after ``config`` was applied, with its new ``managedFields``. Raises 400, 409."""
    kind = key.kind
    merged, owners = applied(
        stored,
        known_owners(stored, schema_of(kind)),
        _applicable(kind, config, subresource),
        schema_of(kind),
        _applier(kind, options, subresource),
        now=format_time(now),
        force=options.force,
    )
    return _with_managed(merged, write_owners(owners))


def apply_scale(
    key: ObjectKey, stored: Obj, config: Obj, options: WriteOptions, now: datetime
) -> Obj:
    """The object after ``config`` was applied to its Scale: replicas and their owners move.

    As upstream's ScaleHandler: owners of the object's replicas are those of the Scale's, and the
    other way round. Raises 409 or 422.
    """
    kind = key.kind
    path: Path = tuple(f"f:{name}" for name in replicas_path(kind))
    owners = known_owners(stored, schema_of(kind))
    merged, after = applied(
        scale_of(stored, kind.custom.scale if kind.custom else None),
        _owners_of_scale(owners, path),
        config,
        schema_of(SCALE),
        _applier(SCALE, options, "scale"),
        now=format_time(now),
        force=options.force,
    )
    new = scaled(key, stored, merged)
    return _with_managed(new, write_owners(_owners_of_parent(owners, after, path, kind)))


def is_tracked(new: Obj, stored: Obj) -> bool:
    """Whether anything is noted about who owns the fields, before or after."""
    return any(one["metadata"].get("managedFields") for one in (new, stored))


def track_update(
    kind: Kind,
    new: Obj,
    stored: Obj,
    subresource: str | None,
    options: WriteOptions,
    now: datetime,
) -> Obj:
    """``new``, which replaces ``stored``, with its ``managedFields``.

    A client may hand in its own (kubectl does when it turns client-side into server-side
    applies); an empty list ends the tracking.
    """
    before = stored["metadata"].get("managedFields")
    sent = new["metadata"].get("managedFields")
    if not before and not sent:
        return new if sent is None else _with_managed(new, None)
    if sent is not None and not any(sent):
        return _with_managed(new, None)
    known = sent or before
    if not options.tracks:
        return _with_managed(new, known)
    live = _with_managed(stored, known)
    manager = Manager(options.field_manager, "Update", kind.api_version, subresource or "")
    owners = updated(live, new, schema_of(kind), manager, now=format_time(now))
    return _with_managed(new, write_owners(owners))


def keep_managed(obj: Obj, other: Obj) -> Obj:
    """``obj`` with the ``managedFields`` of ``other``."""
    return _with_managed(obj, other["metadata"].get("managedFields"))


# Private


def _applier(kind: Kind, options: WriteOptions, subresource: str | None) -> Manager:
    return Manager(options.field_manager, "Apply", kind.api_version, subresource or "")


def _owners_of_scale(owners: Owners, path: Path) -> Owners:
    return {
        replace(who, api_version=SCALE.api_version): replace(owned, fields=frozenset({_REPLICAS}))
        for who, owned in owners.items()
        if path in owned.fields
    }


def _owners_of_parent(owners: Owners, scale: Owners, path: Path, kind: Kind) -> Owners:
    """``owners`` of an object after its replicas went to the owners of its ``scale``."""
    others = {who: replace(one, fields=one.fields - {path}) for who, one in owners.items()}
    held = {
        replace(who, api_version=kind.api_version): one.time
        for who, one in scale.items()
        if _REPLICAS in one.fields
    }
    for who, time in held.items():
        rest = others[who].fields if who in others else frozenset()
        others[who] = Owned(rest | {path}, time)
    return others


def _applicable(kind: Kind, config: Obj, subresource: str | None) -> Obj:
    """What of ``config`` this address takes: status by ``/status`` only, and there nothing else."""
    if subresource == "status":
        names = ("apiVersion", "kind", "metadata", "status")
        return {name: config[name] for name in names if name in config}
    if "status" in kind.subresources:
        return {name: value for name, value in config.items() if name != "status"}
    return config


def _with_managed(obj: Obj, managed: list[Obj] | None) -> Obj:
    meta = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {**obj, "metadata": {**meta, "managedFields": managed} if managed else meta}


def _invalid_options(reason: str, field: str, why: str) -> ApiError:
    message = f'PatchOptions.meta.k8s.io "" is invalid: {field}: {why}'
    causes = [{"reason": reason, "message": why, "field": field}]
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": causes}
    return ApiError(422, "Invalid", message, details)
