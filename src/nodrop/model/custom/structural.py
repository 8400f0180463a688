"""Structural schemas at work: unknown fields are pruned, defaults filled in, values checked. Pure.

Rules and sentences: Kubernetes' "Extend the Kubernetes API with CustomResourceDefinitions" and
kube-openapi's validation. CEL rules (``x-kubernetes-validations``) are not evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from nodrop.model.custom.markers import EMBEDDED, INT_OR_STRING, PRESERVE
from nodrop.model.custom.patterns import Effort, mismatch
from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.trees import clone
from nodrop.model.validate.causes import invalid, required, shown, unsupported

_ENVELOPE = ("apiVersion", "kind", "metadata")


def pruned(obj: Obj, schema: Obj) -> tuple[Obj, tuple[str, ...]]:
    """``obj`` without the fields that ``schema`` lacks, and the paths of those."""
    dropped: list[str] = []
    envelope = {name: obj[name] for name in _ENVELOPE if name in obj}
    rest = {name: value for name, value in obj.items() if name not in _ENVELOPE}
    kept: Obj = _pruned(rest, schema, "", dropped)
    return {**envelope, **kept}, tuple(dropped)


def defaulted(value: Any, schema: Obj) -> Any:
    """``value`` with the defaults of ``schema``; a null that may not be gives way to a default."""
    if isinstance(value, list):
        items = schema.get("items")
        return [defaulted(one, items) for one in value] if items else value
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    filled = {}
    for name, one in value.items():
        inner = _field_schema(schema, name)
        if one is None and "default" in inner and not inner.get("nullable"):
            continue
        filled[name] = defaulted(one, inner)
    for name, inner in properties.items():
        if name not in filled and "default" in inner:
            filled[name] = defaulted(clone(inner["default"]), inner)
    return filled


def violations(obj: Obj, schema: Obj) -> list[Cause]:
    """Every reason why ``schema`` refuses ``obj``."""
    rest = {name: value for name, value in obj.items() if name not in _ENVELOPE}
    wanted = [name for name in schema.get("required") or () if name not in _ENVELOPE]
    return list(_violations(rest, {**schema, "required": wanted}, "", Effort()))


# Private


def _field_schema(schema: Obj, name: str) -> Obj:
    found = (schema.get("properties") or {}).get(name)
    if found is None:
        found = schema.get("additionalProperties")
    return found if isinstance(found, dict) else {}


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _pruned(value: Any, schema: Obj, path: str, dropped: list[str]) -> Any:
    if isinstance(value, list):
        items = schema.get("items")
        if not isinstance(items, dict):
            return value
        return [_pruned(one, items, f"{path}[{at}]", dropped) for at, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    kept = {}
    for name, one in value.items():
        if not _is_known(schema, name):
            dropped.append(_joined(path, name))
            continue
        inner = _field_schema(schema, name)
        # What no schema describes was let through as a whole.
        kept[name] = _pruned(one, inner, _joined(path, name), dropped) if inner else one
    return kept


def _is_known(schema: Obj, name: str) -> bool:
    return bool(
        schema.get(PRESERVE)
        or name in (schema.get("properties") or {})
        or schema.get("additionalProperties")
        or (schema.get(EMBEDDED) and name in _ENVELOPE)
    )


def _violations(value: Any, schema: Obj, path: str, effort: Effort) -> Iterator[Cause]:
    if value is None and schema.get("nullable"):
        return
    if not _is_of_type(value, schema):
        yield _wrong_type(path, value, schema)
        return
    if "enum" in schema and value not in schema["enum"]:
        yield unsupported(path, value, schema["enum"])
    match value:
        case bool():
            pass
        case int() | float():
            yield from _number(value, schema, path)
        case str():
            yield from _string(value, schema, path, effort)
        case list():
            yield from _list(value, schema, path, effort)
        case dict():
            yield from _mapping(value, schema, path, effort)
    yield from _combined(value, schema, path, effort)


def _is_of_type(value: Any, schema: Obj) -> bool:
    if schema.get(INT_OR_STRING):
        return isinstance(value, int | str) and not isinstance(value, bool)
    match schema.get("type"):
        case "object":
            return isinstance(value, dict)
        case "array":
            return isinstance(value, list)
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            return whole and not isinstance(value, bool)
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
    return value is not None or bool(schema.get(PRESERVE)) or "type" not in schema


def _wrong_type(path: str, value: Any, schema: Obj) -> Cause:
    wanted = "integer,string" if schema.get(INT_OR_STRING) else schema.get("type", "object")
    found = _type_name(value)
    return Cause(
        path or "<root>",
        "FieldValueTypeInvalid",
        f"Invalid value: {shown(found)}: {path} in body must be of type {wanted}: {shown(found)}",
    )


def _type_name(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
    return "object"


def _number(value: float, schema: Obj, path: str) -> Iterator[Cause]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        bound = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {least}")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        bound = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        yield invalid(path, value, f"{path} in body should be {bound} {most}")
    step = schema.get("multipleOf")
    if step and value % step:
        yield invalid(path, value, f"{path} in body should be a multiple of {step}")


def _string(value: str, schema: Obj, path: str, effort: Effort) -> Iterator[Cause]:
    least, most = schema.get("minLength"), schema.get("maxLength")
    if least is not None and len(value) < least:
        yield invalid(path, value, f"{path} in body should be at least {least} chars long")
    if most is not None and len(value) > most:
        yield invalid(path, value, f"{path} in body should be at most {most} chars long")
    pattern = schema.get("pattern")
    if pattern and (trouble := mismatch(pattern, value, effort)):
        yield invalid(path, value, f"{path} in body {trouble}")


def _list(value: list[Any], schema: Obj, path: str, effort: Effort) -> Iterator[Cause]:
    least, most = schema.get("minItems"), schema.get("maxItems")
    if least is not None and len(value) < least:
        yield invalid(path, len(value), f"{path} in body should have at least {least} items")
    if most is not None and len(value) > most:
        yield invalid(path, len(value), f"{path} in body should have at most {most} items")
    if isinstance(items := schema.get("items"), dict):
        for at, one in enumerate(value):
            yield from _violations(one, items, f"{path}[{at}]", effort)


def _mapping(value: Obj, schema: Obj, path: str, effort: Effort) -> Iterator[Cause]:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        yield invalid(path, len(value), f"{path} in body should have at least {least} properties")
    if most is not None and len(value) > most:
        yield invalid(path, len(value), f"{path} in body should have at most {most} properties")
    for name in schema.get("required") or ():
        if name not in value:
            yield required(_joined(path, name))
    for name, one in value.items():
        yield from _violations(one, _field_schema(schema, name), _joined(path, name), effort)


def _combined(value: Any, schema: Obj, path: str, effort: Effort) -> Iterator[Cause]:
    for one in schema.get("allOf") or ():
        yield from _violations(value, one, path, effort)
    choices = schema.get("anyOf")
    if choices and all(any(_violations(value, one, path, effort)) for one in choices):
        yield invalid(path, value, f"{path} in body must validate at least one schema (anyOf)")
    choices = schema.get("oneOf")
    if choices and sum(not any(_violations(value, one, path, effort)) for one in choices) != 1:
        yield invalid(path, value, f"{path} in body must validate one and only one schema (oneOf)")
    if "not" in schema and not any(_violations(value, schema["not"], path, effort)):
        yield invalid(path, value, f"{path} in body must not validate the schema (not)")
