"""Strategic merge patches: merge patches that know which lists are keyed and which are sets.

The merge keys come from the schema. The directives are upstream's: ``$patch`` (delete, replace or
merge), ``$deleteFromPrimitiveList/x``, ``$setElementOrder/x`` and ``$retainKeys``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from nodrop.model.definitions import Schema, field_of, resolved, schema_of
from nodrop.model.errors import bad_request
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.trees import clone

PATCH = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE_FROM = "$deleteFromPrimitiveList/"
_NO_SCHEMA = Schema()


def strategic_merge(obj: Obj, patch: Any, kind: Kind) -> Obj:
    """``obj`` with a strategic merge patch applied. Raises 400 for a patch that makes no sense."""
    if not isinstance(patch, dict):
        raise bad_request("a strategic merge patch must be an object")
    return _merge_objects(obj, patch, schema_of(kind))


def _merge_objects(target: Obj, patch: Obj, schema: Schema) -> Obj:
    directive = patch.get(PATCH)
    if directive == "replace":
        replacement: Obj = _plain(patch, schema)
        return replacement
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type '{directive}' found in a map")
    kept = _retained(target, patch)
    merged = {key: clone(value) for key, value in kept.items() if key not in patch}
    for key, value in patch.items():
        if not key.startswith("$") and value is not None:
            merged[key] = _merge_field(kept.get(key), value, key, schema)
    return _with_list_directives(merged, patch, kept, schema)


def _retained(target: Obj, patch: Obj) -> Obj:
    """``target`` without the fields that ``$retainKeys`` doesn't name."""
    names = patch.get(RETAIN)
    if names is None:
        return target
    if not isinstance(names, list):
        raise bad_request("$retainKeys must be a list of field names")
    stray = [
        key
        for key, value in patch.items()
        if not key.startswith("$") and value is not None and key not in names
    ]
    if stray:
        raise bad_request(f"invalid patch format of retainKeys: {', '.join(stray)} not in it")
    return {key: value for key, value in target.items() if key in names}


def _merge_field(old: Any, new: Any, key: str, schema: Schema) -> Any:
    field = field_of(schema, key) or _NO_SCHEMA
    inner = resolved(field).schema
    if isinstance(new, dict):
        return _merge_objects(old, new, inner) if isinstance(old, dict) else _plain(new, inner)
    if isinstance(new, list) and field.merges:
        return _merge_lists(old if isinstance(old, list) else [], new, field)
    return _plain(new, field)


def _merge_lists(old: Sequence[Any], new: Sequence[Any], field: Schema) -> list[Any]:
    item = resolved(field.items).schema if field.items is not None else _NO_SCHEMA
    if not field.merge_key:
        return _distinct([*old, *new])
    for entry in new:
        _check_entry(entry, field.merge_key)
    additions = [entry for entry in new if entry.get(PATCH) not in ("delete", "replace")]
    if any(entry.get(PATCH) == "replace" for entry in new):
        return [_plain(entry, item) for entry in additions]
    gone = [entry[field.merge_key] for entry in new if entry.get(PATCH) == "delete"]
    merged = [clone(entry) for entry in old if entry.get(field.merge_key) not in gone]
    for entry in additions:
        _merge_entry(merged, entry, field.merge_key, item)
    return merged


def _check_entry(entry: Any, key: str) -> None:
    if not isinstance(entry, dict):
        raise bad_request(f"the patch of a list keyed by {key} must hold objects, not {entry!r}")
    directive = entry.get(PATCH)
    if directive not in (None, "delete", "replace", "merge"):
        raise bad_request(f"Unknown patch type '{directive}' found in a list")
    if directive != "replace" and entry.get(key) is None:
        raise bad_request(f"map: {entry} does not contain declared merge key: {key}")


def _merge_entry(merged: list[Any], entry: Obj, key: str, item: Schema) -> None:
    for index, existing in enumerate(merged):
        if existing.get(key) == entry[key]:
            merged[index] = _merge_objects(existing, entry, item)
            return
    merged.append(_plain(entry, item))


def _distinct(values: Sequence[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if value not in kept:
            kept.append(value)
    return kept


def _with_list_directives(merged: Obj, patch: Obj, before: Obj, schema: Schema) -> Obj:
    """Apply what a patch says beside a list: values to delete from it, and its order."""
    for key, value in patch.items():
        if key.startswith((DELETE_FROM, ORDER)) and not isinstance(value, list):
            raise bad_request(f"{key} must be a list")
        if key.startswith(DELETE_FROM):
            name = key.removeprefix(DELETE_FROM)
            if isinstance(merged.get(name), list):
                merged[name] = [entry for entry in merged[name] if entry not in value]
    for key, value in patch.items():
        name = key.removeprefix(ORDER)
        if key.startswith(ORDER) and isinstance(merged.get(name), list):
            field = field_of(schema, name) or _NO_SCHEMA
            identity = _identity(field.merge_key)
            live = [identity(entry) for entry in before.get(name) or ()]
            merged[name] = _ordered(merged[name], [identity(one) for one in value], live, identity)
    return merged


def _identity(merge_key: str) -> Callable[[Any], Any]:
    if not merge_key:
        return lambda entry: entry
    return lambda entry: entry.get(merge_key) if isinstance(entry, dict) else entry


def _ordered(
    entries: list[Any], wanted: list[Any], live: list[Any], identity: Callable[[Any], Any]
) -> list[Any]:
    """The entries that ``wanted`` names in its order, the others where the live list had them.

    A named entry goes before another one only if the live list is known to have it so.
    """
    named = [entry for entry in entries if identity(entry) in wanted]
    named.sort(key=lambda entry: wanted.index(identity(entry)))
    others = [entry for entry in entries if identity(entry) not in wanted]
    ordered: list[Any] = []
    while named and others:
        mine, other = identity(named[0]), identity(others[0])
        known = mine in live and other in live
        first = known and live.index(mine) < live.index(other)
        ordered.append((named if first else others).pop(0))
    return [*ordered, *named, *others]


def _plain(value: Any, schema: Schema) -> Any:
    """What a patch adds where nothing was: without nulls and without directives."""
    inner = resolved(schema).schema
    if isinstance(value, list):
        return [
            _plain(entry, inner.items or _NO_SCHEMA)
            for entry in value
            if not (isinstance(entry, dict) and entry.get(PATCH) in ("delete", "replace"))
        ]
    if not isinstance(value, dict):
        return value
    return {
        key: _plain(entry, inner.properties.get(key) or inner.values or _NO_SCHEMA)
        for key, entry in value.items()
        if entry is not None
        and key not in (PATCH, RETAIN)
        and not key.startswith((ORDER, DELETE_FROM))
    }
