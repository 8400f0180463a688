"""Server-side apply: who owns which field, and what an apply makes of an object. Pure.

Semantics: Kubernetes' "Server-Side Apply" reference and sigs.k8s.io/structured-merge-diff. The
fields that an applied object sets belong to its manager; what it set before and leaves out now
is removed unless another manager owns it; a field that another owns with another value is a
conflict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from nodrop.model.definitions import Schema
from nodrop.model.errors import ApiError, bad_request
from nodrop.model.fieldsets import (
    Difference,
    FieldSet,
    Path,
    child_schema,
    compare,
    fields_in,
    from_fields_v1,
    is_atomic,
    item_schema,
    key_step,
    spelled,
    to_fields_v1,
    value_step,
)
from nodrop.model.meta import Obj

#: Who owns what was there before anything was tracked, as upstream names it.
BEFORE_FIRST_APPLY = "before-first-apply"
#: Entries of updates beyond this many are merged into one (upstream's bound).
MOST_UPDATERS = 10
_ANCIENT = "ancient-changes"
#: What nobody owns: the server sets it.
_UNOWNED = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        "creationTimestamp",
        "deletionGracePeriodSeconds",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
) | {("f:apiVersion",), ("f:kind",), ("f:metadata",)}


@dataclass(frozen=True, slots=True)
class Manager:
    """An identity under which fields are owned."""

    name: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""

    def spelled(self, time: str) -> str:
        """As conflicts name it."""
        text = f'"{self.name}"'
        if self.subresource:
            text += f' with subresource "{self.subresource}"'
        if self.operation == "Apply":
            return text
        text += f" using {self.api_version}"
        return f"{text} at {time}" if time else text


@dataclass(frozen=True, slots=True)
class Owned:
    """What a manager owns, and when that last changed (RFC 3339)."""

    fields: FieldSet
    time: str


Owners = Mapping[Manager, Owned]


def read_owners(obj: Obj) -> Owners:
    """The managers in ``metadata.managedFields``. Raises 400 for an entry that can't be read."""
    found: dict[Manager, Owned] = {}
    for entry in obj["metadata"].get("managedFields") or ():
        try:
            fields = from_fields_v1(entry.get("fieldsV1") or {})
        except (ValueError, AttributeError) as error:
            raise bad_request(f"metadata.managedFields: fieldsV1 can't be read: {error}") from error
        manager = Manager(
            entry.get("manager", ""),
            "Apply" if entry.get("operation") == "Apply" else "Update",
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[manager] = Owned(fields, entry.get("time") or "")
    return found


def write_owners(owners: Owners) -> list[Obj]:
    """``metadata.managedFields``: Apply entries first, then updates by age."""
    ordered = sorted(
        owners.items(),
        key=lambda item: (item[0].operation, item[1].time, item[0].name, item[0].subresource),
    )
    return [_entry(manager, owned) for manager, owned in ordered if owned.fields]


def known_owners(live: Obj, schema: Schema) -> Owners:
    """The owners; of an object that nobody was noted for, one for all there is."""
    owners = read_owners(live)
    if owners:
        return owners
    everything = fields_owned({k: v for k, v in live.items() if k != "status"}, schema)
    if not everything:
        return {}
    first = Manager(BEFORE_FIRST_APPLY, "Update", live.get("apiVersion", ""))
    created = live["metadata"].get("creationTimestamp") or ""
    return {first: Owned(everything, created)}


def fields_owned(config: Obj, schema: Schema) -> FieldSet:
    """The fields that applying ``config`` makes one the owner of."""
    return fields_in(config, schema) - _UNOWNED


def applied(
    live: Obj,
    owners: Owners,
    config: Obj,
    schema: Schema,
    manager: Manager,
    *,
    now: str,
    force: bool,
) -> tuple[Obj, Owners]:
    """``live``, of ``owners``, after ``manager`` applied ``config``, and who owns what then.

    Raises 409 with a cause for each conflict unless ``force``, 400 for what can't be merged.
    """
    before = owners.get(manager, Owned(frozenset(), now))
    mine = fields_owned(config, schema)
    merged: Obj = _merged(live, config, schema)
    change = compare(live, merged, schema)
    others = {who: owned for who, owned in owners.items() if who != manager}
    if not force:
        _check_conflicts(others, change)
    others = _without(others, change.added | change.modified)
    kept = mine.union(*(owned.fields for owned in others.values()))
    pruned: Obj = _pruned(merged, before.fields - kept, kept, schema)
    time = before.time if mine == before.fields else now
    return pruned, {**others, manager: Owned(mine, time)}


def updated(live: Obj, new: Obj, schema: Schema, manager: Manager, *, now: str) -> Owners:
    """Who owns what after ``manager`` wrote ``new`` over ``live`` by other means than apply."""
    change = compare(live, new, schema)
    written = (change.added | change.modified) - _UNOWNED
    known = known_owners(live, schema)
    others = {who: owned for who, owned in known.items() if who != manager}
    others = _without(others, written | change.removed)
    before = known.get(manager, Owned(frozenset(), now))
    mine = (before.fields | written) - change.removed
    time = before.time if mine == before.fields and not written else now
    return _bounded({**others, manager: Owned(mine, time)})


# Private


def _entry(manager: Manager, owned: Owned) -> Obj:
    entry: Obj = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": manager.api_version,
        "time": owned.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(owned.fields),
    }
    if manager.subresource:
        entry["subresource"] = manager.subresource
    return {key: value for key, value in entry.items() if value != ""}


def _check_conflicts(others: Owners, change: Difference) -> None:
    changed = change.added | change.modified
    found = [
        (who.spelled(owned.time), spelled(path))
        for who, owned in others.items()
        for path in sorted(owned.fields & changed)
    ]
    if found:
        raise _conflicts(found)


def _conflicts(found: Sequence[tuple[str, str]]) -> ApiError:
    by_manager: dict[str, list[str]] = {}
    for manager, field in found:
        by_manager.setdefault(manager, []).append(field)
    texts = [
        f"conflict with {manager}: {fields[0]}"
        if len(fields) == 1
        else f"conflicts with {manager}:\n" + "\n".join(f"- {field}" for field in fields)
        for manager, fields in by_manager.items()
    ]
    count = f"{len(found)} conflict{'' if len(found) == 1 else 's'}"
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f"conflict with {manager}",
            "field": field,
        }
        for manager, field in found
    ]
    message = f"Apply failed with {count}: " + "\n".join(texts)
    return ApiError(409, "Conflict", message, {"causes": causes})


def _without(owners: Owners, taken: FieldSet) -> dict[Manager, Owned]:
    return {
        who: replace(owned, fields=owned.fields - taken)
        for who, owned in owners.items()
        if owned.fields - taken
    }


def _bounded(owners: dict[Manager, Owned]) -> Owners:
    """Merge the oldest updates beyond the bound."""
    updates = sorted(
        (who for who in owners if who.operation == "Update"), key=lambda who: owners[who].time
    )
    if len(updates) <= MOST_UPDATERS:
        return owners
    spare = updates[: len(updates) - MOST_UPDATERS + 1]
    merged = replace(spare[-1], name=_ANCIENT)
    fields = frozenset[Path]().union(*(owners[who].fields for who in spare))
    kept = {who: owned for who, owned in owners.items() if who not in spare}
    return {**kept, merged: Owned(fields, owners[spare[-1]].time)}


# Merging


def _merged(live: Any, config: Any, schema: Schema) -> Any:
    """``live`` with all that ``config`` sets."""
    if type(live) is not type(config) or is_atomic(config, schema):
        return config
    if isinstance(config, dict):
        both = {
            name: _merged(live[name], value, child_schema(schema, name)) if name in live else value
            for name, value in config.items()
        }
        return {**live, **both}
    if schema.list_type == "set":
        return [*live, *(item for item in config if item not in live)]
    return _merged_items(live, config, schema)


def _merged_items(live: Sequence[Any], config: Sequence[Any], schema: Schema) -> list[Any]:
    """Items by their keys; the order is the live one, new items follow."""
    wanted = _by_key(config, schema)
    merged = []
    for item in live:
        mine = wanted.pop(key_step(item, schema), None)
        merged.append(item if mine is None else _merged(item, mine, item_schema(schema)))
    return [*merged, *wanted.values()]


def _by_key(items: Sequence[Any], schema: Schema) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for item in items:
        step = key_step(item, schema)
        if step in found:
            raise bad_request(f"duplicate entries for key [{step.partition(':')[2]}]")
        found[step] = item
    return found


# Removing


def _pruned(obj: Any, gone: FieldSet, kept: FieldSet, schema: Schema) -> Any:
    """``obj`` without the fields in ``gone``; parents that this empties go, too."""
    tree = to_fields_v1(gone)
    held = _prefixes(kept)
    return _prune(obj, tree, (), held, schema)


def _prefixes(paths: Iterable[Path]) -> set[Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def _prune(obj: Any, tree: Mapping[str, Any], at: Path, held: set[Path], schema: Schema) -> Any:
    if isinstance(obj, dict):
        return _prune_fields(obj, tree, at, held, schema)
    if isinstance(obj, list) and schema.list_type in ("map", "set"):
        return _prune_items(obj, tree, at, held, schema)
    return obj


def _prune_fields(
    obj: dict[str, Any], tree: Mapping[str, Any], at: Path, held: set[Path], schema: Schema
) -> dict[str, Any]:
    left = {}
    for name, value in obj.items():
        step = f"f:{name}"
        inner = tree.get(step)
        path = (*at, step)
        if inner is None:
            left[name] = value
            continue
        if _is_gone(inner) and path not in held:
            continue
        remains = _prune(value, inner, path, held, child_schema(schema, name))
        if remains or not value or path in held:
            left[name] = remains
    return left


def _prune_items(
    items: list[Any], tree: Mapping[str, Any], at: Path, held: set[Path], schema: Schema
) -> list[Any]:
    left = []
    for item in items:
        step = value_step(item) if schema.list_type == "set" else key_step(item, schema)
        inner = tree.get(step)
        path = (*at, step)
        if inner is None:
            left.append(item)
        elif not _is_gone(inner) or path in held:
            left.append(_prune(item, inner, path, held, item_schema(schema)))
    return left


def _is_gone(tree: Mapping[str, Any]) -> bool:
    return not tree or "." in tree
