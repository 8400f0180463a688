"""Sets of fields of an object: which there are, which differ, and how managedFields writes them.

A path is a tuple of steps as fieldsV1 spells them (sigs.k8s.io/structured-merge-diff):
``f:replicas`` a field, ``k:{"name":"web"}`` a list's item by its keys, ``v:"a"`` a set's item.
Lists without a declared key are one value, as are maps that are declared atomic. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from nodrop.model.definitions import Schema, field_of, resolved
from nodrop.model.errors import bad_request

Path = tuple[str, ...]
FieldSet = frozenset[Path]

#: Keys that an item may leave out, with what Kubernetes' own schemas give as their default.
_KEY_DEFAULTS: Mapping[str, object] = {"protocol": "TCP"}
#: Stands for "there is such an item" where values are compared.
_PRESENT = object()
_NO_SCHEMA = Schema()


@dataclass(frozen=True, slots=True)
class Difference:
    """What a write changed."""

    added: FieldSet
    modified: FieldSet
    removed: FieldSet


def fields_in(obj: Mapping[str, Any], schema: Schema) -> FieldSet:
    """Every field that ``obj`` sets. Raises 400 for a list's item without its key."""
    return frozenset(_leaves(obj, schema))


def compare(before: Mapping[str, Any], after: Mapping[str, Any], schema: Schema) -> Difference:
    """The fields in which two objects differ. Raises 400 for a list's item without its key."""
    old, new = _leaves(before, schema), _leaves(after, schema)
    both = old.keys() & new.keys()
    return Difference(
        added=frozenset(new.keys() - old.keys()),
        modified=frozenset(path for path in both if not _same(old[path], new[path])),
        removed=frozenset(old.keys() - new.keys()),
    )


def to_fields_v1(fields: Iterable[Path]) -> dict[str, Any]:
    """The nested form of managedFields; ``.`` marks a parent that is a member itself."""
    tree: dict[str, Any] = {}
    for path in sorted(fields, key=len, reverse=True):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        if node:
            node["."] = {}
    return _sorted(tree)


def from_fields_v1(tree: Mapping[str, Any]) -> FieldSet:
    """Read the nested form. Raises ValueError when it is none."""
    return frozenset(_members(tree, ()))


def key_step(item: object, schema: Schema) -> str:
    """The step that leads to ``item`` of an associative list. Raises 400 without its keys."""
    if not isinstance(item, dict):
        raise bad_request(f"associative list: an item is {item!r}, not an object")
    keys = {}
    for name in schema.list_map_keys:
        value = item.get(name, _KEY_DEFAULTS.get(name))
        if value is None:
            raise bad_request(
                f"associative list with keys has an element that omits key field {name!r} "
                "(and doesn't have default value)"
            )
        keys[name] = value
    return f"k:{_json(dict(sorted(keys.items())))}"


def value_step(item: object) -> str:
    """The step that leads to ``item`` of a set."""
    return f"v:{_json(item)}"


def child_schema(schema: Schema, name: str) -> Schema:
    """The schema of a field; of one that no schema knows an empty one."""
    return field_of(schema, name) or _NO_SCHEMA


def item_schema(schema: Schema) -> Schema:
    return schema.items or _NO_SCHEMA


def is_atomic(value: object, schema: Schema) -> bool:
    """Whether ``value`` has one owner as a whole."""
    inner = resolved(schema).schema
    if isinstance(value, dict):
        return "atomic" in (schema.map_type, inner.map_type)
    if isinstance(value, list):
        return schema.list_type not in ("map", "set")
    return True


def spelled(path: Path) -> str:
    """A path as messages print it: ``.spec.containers[name="web"].image``."""
    return "".join(_spelled(step) for step in path)


# Private


def _leaves(obj: Mapping[str, Any], schema: Schema) -> dict[Path, Any]:
    found: dict[Path, Any] = {}
    for name, value in obj.items():
        _collect(value, child_schema(schema, name), (f"f:{name}",), found)
    return found


def _collect(value: Any, schema: Schema, path: Path, found: dict[Path, Any]) -> None:
    if not value or is_atomic(value, schema):
        found[path] = value
    elif isinstance(value, dict):
        for name, inner in value.items():
            _collect(inner, child_schema(schema, name), (*path, f"f:{name}"), found)
    elif schema.list_type == "set":
        found.update(((*path, value_step(item)), item) for item in value)
    else:
        for item in value:
            at = (*path, key_step(item, schema))
            found[at] = _PRESENT
            for name, inner in item.items():
                _collect(inner, child_schema(item_schema(schema), name), (*at, f"f:{name}"), found)


def _same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and one == other)


def _sorted(tree: dict[str, Any]) -> dict[str, Any]:
    return {step: _sorted(inner) for step, inner in sorted(tree.items())}


def _members(tree: Mapping[str, Any], path: Path) -> Iterable[Path]:
    if not isinstance(tree, dict):
        raise ValueError(f"{tree!r} is no object")
    if path and (not tree or "." in tree):
        yield path
    for step, inner in tree.items():
        if step != ".":
            yield from _members(inner, (*path, step))


def _spelled(step: str) -> str:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return f".{rest}"
    if kind == "v":
        return f"[={rest}]"
    keys = msgspec.json.decode(rest)
    return f"[{','.join(f'{name}={_json(value)}' for name, value in keys.items())}]"


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
