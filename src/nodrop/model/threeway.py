"""The patch that apply sends: from what was applied last, what is wanted now, and what is there.

Fields that someone else set stay; fields that the last manifest had and this one lacks go.
"""

from __future__ import annotations

from typing import Any

from nodrop.model.definitions import Schema, field_of, resolved, schema_of
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.strategic import DELETE_FROM, ORDER, PATCH, RETAIN
from nodrop.model.trees import clone, same

_NO_SCHEMA = Schema()


def three_way_patch(original: Obj, modified: Obj, current: Obj, kind: Kind) -> Obj:
    """The strategic merge patch that brings ``current`` to ``modified``; empty: nothing to do.

    ``original`` is the manifest applied last (annotation last-applied-configuration), or {}.
    """
    return _diff(original, modified, current, schema_of(kind))


def _diff(original: Obj, modified: Obj, current: Obj, schema: Schema) -> Obj:
    patch: Obj = {}
    for key, wanted in modified.items():
        if wanted is None:
            if key in current:
                patch[key] = None
        elif key not in current:
            patch[key] = clone(wanted)
        elif not same(wanted, current[key]):
            field = field_of(schema, key) or _NO_SCHEMA
            _diff_field(patch, key, (original.get(key), wanted, current[key]), field)
    for key in original:
        if key not in modified and key in current:
            patch[key] = None
    return patch


def _diff_field(patch: Obj, key: str, three: tuple[Any, Any, Any], field: Schema) -> None:
    """Add to ``patch`` what makes a field's current value the wanted one."""
    original, wanted, current = three
    if isinstance(wanted, dict) and isinstance(current, dict):
        before = original if isinstance(original, dict) else {}
        inner = _diff(before, wanted, current, resolved(field).schema)
        if inner:
            patch[key] = _retaining(inner, wanted) if field.retains_keys else inner
    elif isinstance(wanted, list) and isinstance(current, list) and field.merges:
        last = original if isinstance(original, list) else []
        if field.merge_key:
            _diff_keyed(patch, key, (last, wanted, current), field)
        else:
            _diff_set(patch, key, (last, wanted, current))
    else:
        patch[key] = clone(wanted)


def _retaining(change: Obj, wanted: Obj) -> Obj:
    """A change of a union such as a strategy or a volume: only the wanted fields may remain."""
    additions = {key: value for key, value in change.items() if value is not None}
    return additions | {RETAIN: sorted(wanted)}


def _diff_set(patch: Obj, key: str, three: tuple[list[Any], list[Any], list[Any]]) -> None:
    original, wanted, current = three
    added = [value for value in wanted if value not in current]
    removed = [value for value in original if value not in wanted and value in current]
    if added:
        patch[key] = added
    if removed:
        patch[f"{DELETE_FROM}{key}"] = removed
    if added or removed or _reordered(wanted, current):
        patch[f"{ORDER}{key}"] = list(wanted)


def _diff_keyed(
    patch: Obj, key: str, three: tuple[list[Obj], list[Obj], list[Obj]], field: Schema
) -> None:
    original, wanted, current = three
    name = field.merge_key
    if not (_distinct_keys(wanted, name) and _distinct_keys(current, name)):
        # Two ports with one number but two protocols: the merge key can't tell them apart.
        patch[key] = [*clone(wanted), {PATCH: "replace"}]
        return
    item = resolved(field.items or _NO_SCHEMA).schema
    live = {entry[name]: entry for entry in current}
    last = {entry.get(name): entry for entry in original}
    entries = []
    for entry in wanted:
        if entry[name] not in live:
            entries.append(clone(entry))
        elif change := _diff(last.get(entry[name], {}), entry, live[entry[name]], item):
            change = _retaining(change, entry) if field.retains_keys else change
            entries.append({name: entry[name]} | change)
    keys = [entry[name] for entry in wanted]
    gone = [entry for entry in last if entry in live and entry not in keys]
    entries += [{name: value, PATCH: "delete"} for value in gone]
    if entries:
        patch[key] = entries
    if entries or _reordered(keys, list(live)):
        patch[f"{ORDER}{key}"] = [{name: value} for value in keys]


def _distinct_keys(entries: list[Obj], name: str) -> bool:
    """Whether every entry has the merge key, and no two the same."""
    keys = [entry.get(name) for entry in entries]
    return None not in keys and len(set(keys)) == len(keys)


def _reordered(wanted: list[Any], current: list[Any]) -> bool:
    """Whether what both lists have stands in another order in the current one."""
    return [value for value in wanted if value in current] != [
        value for value in current if value in wanted
    ]
