"""Whatever has the right types can be defaulted and validated: refused perhaps, never a crash."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodrop.model.defaults import apply_defaults
from nodrop.model.definitions import Schema, resolved, schema_of
from nodrop.model.kinds import KINDS, Kind
from nodrop.model.schema import decode_strictness
from nodrop.model.trees import same
from nodrop.model.validate import validate_create, validate_update

_TEXTS = st.sampled_from(["", "a", "A b", "In", "Always", "TCP", "25%", "x/y", "None", "-"])
_DEEPEST = 9


def _of(data: st.DataObject, schema: Schema, depth: int = 0) -> Any:
    """A value that fits a schema; of a struct's many fields a few are drawn."""
    inner = resolved(schema).schema
    if inner.format == "int-or-string":
        return data.draw(st.integers(-1, 2) | _TEXTS)
    if inner.format == "date-time":
        return "2026-01-31T12:00:00Z"
    if inner.format == "byte":
        return "MQ=="
    if inner.properties and depth < _DEEPEST:
        names = st.lists(st.sampled_from(sorted(inner.properties)), max_size=5, unique=True)
        chosen = set(data.draw(names)) | ({"spec"} & inner.properties.keys())
        fields = inner.properties
        return {name: _of(data, fields[name], depth + 1) for name in sorted(chosen)}
    if inner.values is not None:
        keys = data.draw(st.lists(_TEXTS, max_size=2, unique=True))
        return {key: _of(data, inner.values, depth + 1) for key in keys}
    if inner.items is not None:
        count = data.draw(st.integers(0, 2)) if depth < _DEEPEST else 0
        return [_of(data, inner.items, depth + 1) for _ in range(count)]
    match inner.type:
        case "integer" | "number":
            return data.draw(st.integers(-1, 70000))
        case "boolean":
            return data.draw(st.booleans())
        case "object":
            return {}
        case _:
            return data.draw(_TEXTS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_object_of_the_right_types_is_judged(kind: Kind, data: st.DataObject) -> None:
    obj = _of(data, schema_of(kind)) | {"apiVersion": kind.api_version, "kind": kind.kind}
    assert decode_strictness(obj, kind).fine
    filled = apply_defaults(obj)
    assert same(apply_defaults(filled), filled)
    assert decode_strictness(filled, kind).fine
    causes = validate_create(filled)
    assert all(cause.reason.startswith("FieldValue") and cause.message for cause in causes)
    validate_update(filled, apply_defaults(obj | {"spec": {}}))
