"""Rules for CustomResourceDefinitions: names, the one served version, structural schemas; pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from nodrop.model.custom.markers import EMBEDDED, INT_OR_STRING, PRESERVE
from nodrop.model.custom.patterns import PatternError, check_pattern
from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    required,
    unsupported,
)
from nodrop.model.validate.names import dns_1035_label, dns_subdomain

_APPROVED = "api-approved.kubernetes.io"
_PROTECTED = (".k8s.io", ".kubernetes.io")
_TYPES = ("object", "array", "string", "integer", "number", "boolean")
_COLUMN_TYPES = ("integer", "number", "string", "boolean", "date")
_SHAPES: dict[str, tuple[type, ...]] = {
    "type": (str,),
    "format": (str,),
    "pattern": (str,),
    "properties": (dict,),
    "required": (list,),
    "enum": (list,),
    "allOf": (list,),
    "anyOf": (list,),
    "oneOf": (list,),
    "x-kubernetes-list-type": (str,),
    "x-kubernetes-map-type": (str,),
    "x-kubernetes-list-map-keys": (list,),
    **dict.fromkeys(("minimum", "maximum", "multipleOf"), (int, float)),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        (int,),
    ),
}
_VERSION = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")


def validate_definition(definition: Obj) -> list[Cause]:
    """Every reason to refuse a (defaulted) definition."""
    spec = definition.get("spec") or {}
    names, group = spec.get("names") or {}, spec.get("group") or ""
    causes = _group(group, definition["metadata"].get("annotations") or {})
    causes += _names(names)
    if not causes and definition["metadata"].get("name") != f"{names['plural']}.{group}":
        name = definition["metadata"].get("name")
        causes.append(invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    if spec.get("scope") not in ("Cluster", "Namespaced"):
        scopes = ("Cluster", "Namespaced")
        causes.append(unsupported("spec.scope", spec.get("scope", ""), scopes))
    strategy = (spec.get("conversion") or {}).get("strategy")
    if strategy != "None":
        causes.append(unsupported("spec.conversion.strategy", strategy, ("None",)))
    return causes + list(_versions(spec.get("versions") or []))


def validate_definition_update(new: Obj, old: Obj) -> list[Cause]:
    """What of a definition can't change, because its objects are stored by it."""
    before, after = old.get("spec") or {}, new.get("spec") or {}
    names, old_names = after.get("names") or {}, before.get("names") or {}
    causes: list[Cause] = []
    for name in ("group", "scope"):
        causes += immutable(f"spec.{name}", after.get(name), before.get(name))
    for name in ("plural", "kind"):
        path = f"spec.names.{name}"
        causes += immutable(path, names.get(name), old_names.get(name))
    was, stored = _stored_versions(before), _stored_versions(after)
    if was != stored:
        why = f"objects are stored as {', '.join(was)}: to change that, delete the definition first"
        causes.append(forbidden("spec.versions", why))
    return causes


# Private


def _stored_versions(spec: Obj) -> list[str]:
    return [one.get("name", "") for one in spec.get("versions") or () if one.get("storage")]


def _group(group: str, annotations: Obj) -> list[Cause]:
    if not group:
        return [required("spec.group")]
    if problems := dns_subdomain(group):
        return [invalid("spec.group", group, problem) for problem in problems]
    if "." not in group:
        return [invalid("spec.group", group, "should be a domain with at least one dot")]
    protected = group.endswith(_PROTECTED) or group in ("k8s.io", "kubernetes.io")
    if protected and not annotations.get(_APPROVED):
        why = (
            "protected groups must have approval annotation "
            f'"{_APPROVED}", see https://github.com/kubernetes/enhancements/pull/1111'
        )
        return [required(f"metadata.annotations[{_APPROVED}]", why)]
    return []


def _names(names: Obj) -> list[Cause]:
    causes = [required(f"spec.names.{name}") for name in ("plural", "kind") if not names.get(name)]
    words = [(name, names.get(name)) for name in ("plural", "singular")]
    words += [(name, str(names.get(name) or "").lower()) for name in ("kind", "listKind")]
    for lists in ("shortNames", "categories"):
        words += [(f"{lists}[{at}]", word) for at, word in enumerate(names.get(lists) or ())]
    for name, word in words:
        if word and (problems := dns_1035_label(word)):
            causes += [invalid(f"spec.names.{name}", word, problem) for problem in problems]
    if names.get("kind") and names.get("kind") == names.get("listKind"):
        why = "kind and listKind may not be the same"
        causes.append(invalid("spec.names.listKind", names["listKind"], why))
    return causes


def _versions(versions: list[Obj]) -> Iterator[Cause]:
    if not versions:
        yield required("spec.versions", "must have exactly one version marked as storage version")
        return
    seen: set[str] = set()
    for at, version in enumerate(versions):
        path, name = f"spec.versions[{at}]", version.get("name") or ""
        if not _VERSION.fullmatch(name):
            yield invalid(f"{path}.name", name, "must be a DNS label such as v1 or v1alpha1")
        if name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
        yield from _version(version, path)
    stored = [one for one in versions if one.get("storage")]
    if len(stored) != 1:
        why = "must have exactly one version marked as storage version"
        yield invalid("spec.versions", [one.get("name") for one in versions], why)
        return
    served = [one.get("name") or "" for one in versions if one.get("served")]
    if served != [stored[0].get("name")]:
        why = "nodrop serves exactly one version of a kind, the stored one: set served to false for"
        rest = ", ".join(name for name in served if name != stored[0].get("name")) or "none other"
        yield forbidden("spec.versions", f"{why} {rest}")


def _version(version: Obj, path: str) -> Iterator[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if not isinstance(schema, dict):
        yield required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        yield from _schema(schema, f"{path}.schema.openAPIV3Schema", root=True)
    for at, column in enumerate(version.get("additionalPrinterColumns") or ()):
        here = f"{path}.additionalPrinterColumns[{at}]"
        if not column.get("name"):
            yield required(f"{here}.name")
        if column.get("type") not in _COLUMN_TYPES:
            yield unsupported(f"{here}.type", column.get("type", ""), _COLUMN_TYPES)
        if not str(column.get("jsonPath") or "").startswith("."):
            yield invalid(f"{here}.jsonPath", column.get("jsonPath", ""), "must begin with a dot")
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        for name, prefix in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
            if not str(scale.get(name) or "").startswith(prefix):
                why = f"should be a json path under {prefix[:-1]}"
                yield invalid(f"{path}.subresources.scale.{name}", scale.get(name, ""), why)


def _schema(schema: Any, path: str, *, root: bool = False) -> Iterator[Cause]:
    if problems := list(_shape(schema, path)):
        yield from problems
        return
    kind = schema.get("type")
    untyped = schema.get(PRESERVE) or schema.get(INT_OR_STRING)
    if root and kind != "object":
        yield invalid(f"{path}.type", kind or "", "must be object at the root")
    elif kind is None and not untyped:
        yield required(f"{path}.type", "must not be empty for specified object fields")
    elif kind is not None and kind not in _TYPES:
        yield unsupported(f"{path}.type", kind, _TYPES)
    if kind == "array" and not isinstance(schema.get("items"), dict):
        yield required(f"{path}.items", "must be specified")
    if schema.get(EMBEDDED) and kind != "object":
        yield invalid(f"{path}.type", kind or "", "must be object if an embedded resource")
    yield from _inner_schemas(schema, path)


def _shape(schema: Any, path: str) -> Iterator[Cause]:
    """What of one schema is not even of the right type (``items`` is open to anything)."""
    if not isinstance(schema, dict):
        yield invalid(path, schema, "must be a schema")
        return
    for name, types in _SHAPES.items():
        value = schema.get(name)
        if value is not None and (not isinstance(value, types) or _is_flag_for(value, types)):
            yield invalid(f"{path}.{name}", value, "is not of the right type")
    if not all(isinstance(name, str) for name in _texts(schema)):
        yield invalid(path, _texts(schema), "required and list-map-keys hold names")
    if schema.get("multipleOf") == 0:
        yield invalid(f"{path}.multipleOf", 0, "must not be 0")
    yield from _pattern(schema.get("pattern"), path)
    for name in ("allOf", "anyOf", "oneOf"):
        choices = schema.get(name) or []
        for at, inner in enumerate(choices if isinstance(choices, list) else [choices]):
            yield from _branch(inner, f"{path}.{name}[{at}]")
    if "not" in schema:
        yield from _branch(schema["not"], f"{path}.not")


def _branch(schema: Any, path: str) -> Iterator[Cause]:
    """A schema inside allOf and the like: it only checks, so it needs no type."""
    problems = list(_shape(schema, path))
    yield from problems
    if not problems:
        for name, inner in _below(schema):
            yield from _branch(inner, f"{path}.{name}")


def _texts(schema: Obj) -> list[Any]:
    lists = (schema.get("required"), schema.get("x-kubernetes-list-map-keys"))
    return [name for names in lists if isinstance(names, list) for name in names]


def _is_flag_for(value: object, types: tuple[type, ...]) -> bool:
    return isinstance(value, bool) and bool not in types


def _pattern(pattern: object, path: str) -> Iterator[Cause]:
    try:
        if isinstance(pattern, str):
            check_pattern(pattern)
    except PatternError as error:
        yield invalid(f"{path}.pattern", pattern, f"must be a valid pattern: {error}")


def _inner_schemas(schema: Obj, path: str) -> Iterator[Cause]:
    for name, inner in _below(schema):
        yield from _schema(inner, f"{path}.{name}")


def _below(schema: Obj) -> Iterator[tuple[str, Any]]:
    for name, inner in (schema.get("properties") or {}).items():
        yield f"properties[{name}]", inner
    for name in ("items", "additionalProperties"):
        if isinstance(inner := schema.get(name), dict):
            yield name, inner
