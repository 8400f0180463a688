"""Objects whose types are right and whose values are odd: valid ones, changed by their schema."""

from __future__ import annotations

import random
from typing import Any

from nodrop.model.definitions import Schema, resolved, schema_of
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.trees import clone

NUMBERS = (0, 1, -1, 2, 80, 65535, 65536, 2**31 - 1, 2**31, -(2**31), 2**63 - 1, -(2**63))
TEXTS = (
    "",
    " ",
    "a",
    "web",
    "a b",
    "a\n\nb",
    "/",
    "/a\n\nb #\\",
    "\x00",
    "\u2028é",
    "x" * 300,
    "-",
    "0",
    "5",
    "25%",
    "101%",
    "99999999999999999999%",
    "None",
    "True",
    "Unknown",
    "127.9.0.5",
    "fe80::1%a b",
    "SIGRTMIN+3",
    "SIGTERM",
    "Always",
    "Never",
    "Exact",
    "Prefix",
    "NodePort",
    "FQDN",
    "UDP",
    "Recreate",
    "RollingUpdate",
    "In",
    "Exists",
    "nodrop.dev/finalizer",
    "$(A) $$(B) $(",
    "metadata.labels['a']",
    "limits.cpu",
    "1e999",
    "0.0000000001m",
)
TIMES = (
    "0001-01-01T00:00:00Z",
    "1970-01-01T00:00:00+14:00",
    "2026-11-23T10:00:00Z",
    "2026-11-23T10:00:00.123456Z",
    "9000-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
    "",
    "soon",
)
KEYS = ("", "a", "app", "a b", "deployment.kubernetes.io/revision", "nodrop.dev/base-dir", "..")


def odd_value(schema: Schema, rng: random.Random, depth: int = 3) -> Any:
    """Something that mostly has the type that the schema asks for."""
    if rng.random() < 0.03:
        return rng.choice((None, 0, "", [], {}, [None], [{}], True, 1.5, {"a": None}))
    inner = resolved(schema).schema
    if inner.properties:
        names = rng.sample(sorted(inner.properties), min(len(inner.properties), rng.randint(0, 4)))
        if depth <= 0:
            return {}
        return {name: odd_value(inner.properties[name], rng, depth - 1) for name in names}
    if inner.items is not None:
        return [odd_value(inner.items, rng, depth - 1) for _ in range(rng.randint(0, 2))]
    if inner.values is not None:
        keys = rng.sample(KEYS, rng.randint(0, 2))
        return {key: odd_value(inner.values, rng, depth - 1) for key in keys}
    return _scalar(inner, rng)


def _scalar(inner: Schema, rng: random.Random) -> Any:
    if inner.format == "date-time":
        return rng.choice(TIMES)
    if inner.format == "byte":
        return rng.choice(("", "/w==", "YQ==", "a", "YQ==\n"))
    if inner.format in ("int-or-string", "quantity"):
        return rng.choice((*NUMBERS, *TEXTS))
    match inner.type:
        case "integer" | "number":
            return rng.choice(NUMBERS)
        case "boolean":
            return rng.choice((True, False))
        case "object":
            return {}
    return rng.choice(TEXTS)


def mutated(obj: Obj, kind: Kind, rng: random.Random) -> Obj:
    """A copy with one field, old or new, set to something odd; identity stays."""
    copy: Obj = clone(obj)
    holder, schema = copy, resolved(schema_of(kind)).schema
    while True:
        names = [name for name in schema.properties if name not in ("apiVersion", "kind", "status")]
        name = rng.choice(sorted(names) if rng.random() < 0.3 else sorted(holder) or sorted(names))
        field = schema.properties.get(name)
        if field is None or name in ("apiVersion", "kind"):
            return copy
        value: Any = holder.get(name)
        inner = resolved(field).schema
        if isinstance(value, list) and value and isinstance(value[0], dict) and rng.random() < 0.9:
            value, inner = rng.choice(value), resolved(inner.items or Schema()).schema
        deeper = isinstance(value, dict) and value and inner.properties
        if deeper and (holder is copy or rng.random() < 0.9):
            holder, schema = value, inner
            continue
        if not (schema_is_metadata(schema) and name in ("name", "namespace")):
            holder[name] = odd_value(field, rng)
        return copy


def schema_is_metadata(schema: Schema) -> bool:
    return "ownerReferences" in schema.properties
