"""The fields that each kind has: schemas, their names and how patches treat them; pure.

The definitions stand in openapi.json (made by tools/openapi) and are read once, when first asked
for. Patches find their merge keys here too.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec

from nodrop.model.kinds import Kind


class Schema(msgspec.Struct, frozen=True, gc=False):
    """One OpenAPI schema: of a kind, a struct, or a field."""

    type: str = ""
    format: str = ""
    ref: str = msgspec.field(name="$ref", default="")
    all_of: tuple[Schema, ...] = msgspec.field(name="allOf", default=())
    properties: dict[str, Schema] = {}
    items: Schema | None = None
    values: Schema | None = msgspec.field(name="additionalProperties", default=None)
    merge_key: str = msgspec.field(name="x-kubernetes-patch-merge-key", default="")
    patch_strategy: str = msgspec.field(name="x-kubernetes-patch-strategy", default="")
    list_type: str = msgspec.field(name="x-kubernetes-list-type", default="")
    list_map_keys: tuple[str, ...] = msgspec.field(name="x-kubernetes-list-map-keys", default=())
    map_type: str = msgspec.field(name="x-kubernetes-map-type", default="")
    kinds: tuple[dict[str, str], ...] = msgspec.field(
        name="x-kubernetes-group-version-kind", default=()
    )

    @property
    def target(self) -> str:
        """The name of the definition that this schema refers to, or "" if it stands alone."""
        reference = self.ref or (self.all_of[0].ref if self.all_of else "")
        return reference.rpartition("/")[2]

    @property
    def retains_keys(self) -> bool:
        return "retainKeys" in self.patch_strategy

    @property
    def merges(self) -> bool:
        """Whether a strategic patch merges this list instead of replacing it."""
        return "merge" in self.patch_strategy.split(",")


class Typed(msgspec.Struct, frozen=True, gc=False):
    """A schema with its references followed, and the name of the Go struct it describes."""

    schema: Schema
    struct: str


class _Document(msgspec.Struct, frozen=True):
    schemas: dict[str, Schema]


def document_bytes() -> bytes:
    """openapi.json as it is: ``{"schemas": {name: schema}}``, for serving /openapi."""
    return resources.files("nodrop.model").joinpath("openapi.json").read_bytes()


@functools.cache
def _schemas() -> dict[str, Schema]:
    return msgspec.json.decode(document_bytes(), type=_Document).schemas


@functools.cache
def _by_gvk() -> dict[tuple[str, str, str], str]:
    return {
        (gvk["group"], gvk["version"], gvk["kind"]): name
        for name, schema in _schemas().items()
        for gvk in schema.kinds
    }


def schema_of(kind: Kind) -> Schema:
    """The schema of a kind. Raises KeyError if openapi.json lacks it."""
    if kind.custom is not None:
        return kind.custom.fields
    return _schemas()[_by_gvk()[kind.group, kind.version, kind.kind]]


def resolved(schema: Schema, struct: str = "") -> Typed:
    """``schema`` with references followed; ``struct`` names it where nothing is referred to."""
    target = schema.target
    if not target:
        return Typed(schema, struct)
    return Typed(_schemas()[target], target.rpartition(".")[2])


def field_of(schema: Schema, name: str) -> Schema | None:
    """The schema of a field with its patch markers still on it, or None if there is none."""
    inner = resolved(schema).schema
    return inner.properties.get(name) or inner.values


def paths_by_name(schema: Schema) -> dict[str, list[tuple[str, ...]]]:
    """Every field name below ``schema`` with the paths at which it may stand, shortest first.

    A struct that contains itself is entered once on every path.
    """
    found: dict[str, list[tuple[str, ...]]] = {}
    level: list[tuple[Schema, tuple[str, ...], frozenset[str]]] = [(schema, (), frozenset())]
    while level:
        below = []
        for node, path, inside in level:
            for name, field in node.properties.items():
                found.setdefault(name, []).append((*path, name))
                below += [
                    (inner, (*path, step), inside | {struct})
                    for step, inner, struct in _structs(name, field)
                    if struct not in inside
                ]
        level = below
    return found


def _structs(name: str, field: Schema) -> Iterator[tuple[str, Schema, str]]:
    """The struct in a field, or in the items of a field, with the step that leads to it."""
    typed = resolved(field)
    if typed.schema.items is not None:
        typed = resolved(typed.schema.items)
        name = f"{name}[]"
    if typed.schema.properties:
        yield name, typed.schema, typed.struct


def go_type(schema: Schema) -> str:
    """The type as Go names it in decoding errors: ``int32``, ``[]v1.Container``."""
    if schema.items is not None:
        return f"[]{go_type(schema.items)}"
    typed = resolved(schema)
    inner = typed.schema
    if inner.format == "int-or-string":
        return "intstr.IntOrString"
    if inner.properties or (typed.struct and inner.type == "object"):
        return f"v1.{typed.struct}"
    match inner.type:
        case "integer":
            return inner.format or "int64"
        case "boolean":
            return "bool"
        case "number":
            return "float64"
        case "object":
            return f"map[string]{go_type(inner.values) if inner.values else 'interface {}'}"
        case _:
            return inner.type or "string"


def described(schema: Schema) -> str:
    """What a field wants, in words: ``a whole number``."""
    inner = resolved(schema).schema
    words: dict[str, str] = {
        "int-or-string": 'a whole number or a string such as "25%"',
        "quantity": 'a number or a string such as "500m" or "64Mi"',
        "date-time": 'a time such as "2026-01-31T12:00:00Z"',
        "byte": "base64 text",
    }
    if inner.format in words:
        return words[inner.format]
    return {
        "integer": "a whole number",
        "boolean": "true or false",
        "string": "a string",
        "number": "a number",
        "array": "a list",
        "object": "a mapping",
    }.get(inner.type, "something else")


def json_type(value: Any) -> str:
    """What Go calls a decoded JSON value."""
    match value:
        case None:
            return "null"
        case bool():
            return "bool"
        case int():
            return "number"
        case float():
            return f"number {value}"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
