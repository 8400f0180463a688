"""What a CustomResourceDefinition says about its kind, read once when the kind becomes served."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from nodrop.model.definitions import Schema
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, is_deleting

_META = "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
#: What every object has, whatever its schema says.
_ENVELOPE = {
    "apiVersion": {"type": "string"},
    "kind": {"type": "string"},
    "metadata": {"$ref": _META},
}
_SUBRESOURCES = ("status", "scale")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the Scale of an object finds its numbers: field names from the object's root."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomResource:
    """One served version of a CustomResourceDefinition.

    ``validation`` is its structural schema as written, ``fields`` the same in the form that
    server-side apply and the checks of metadata read.
    """

    singular: str
    list_kind: str
    validation: Obj
    fields: Schema
    columns: tuple[Obj, ...] = ()
    scale: ScalePaths | None = None
    selectable: frozenset[str] = frozenset()
    terminating: bool = False


def custom_kind(definition: Obj) -> Kind | None:
    """The kind that a stored CustomResourceDefinition serves; None unless it is Established."""
    if not _is_established(definition):
        return None
    spec = definition["spec"]
    version = served_version(spec)
    names = spec["names"]
    present = version.get("subresources") or {}
    return Kind(
        spec["group"],
        version["name"],
        names["kind"],
        names["plural"],
        spec["scope"] == "Namespaced",
        tuple(names.get("shortNames") or ()),
        tuple(names.get("categories") or ()),
        tuple(name for name in _SUBRESOURCES if name in present),
        custom=_resource(names, version, terminating=is_deleting(definition)),
    )


def served_version(spec: Obj) -> Obj:
    """The one version that is served and stored (validation lets no other through)."""
    return next(one for one in spec["versions"] if one.get("storage"))


def path_of(text: str) -> tuple[str, ...]:
    """The names in a simple JSONPath: ``.spec.replicas`` gives ``("spec", "replicas")``."""
    return tuple(part for part in text.split(".") if part)


def openapi_schema(kind: Kind) -> Obj:
    """The schema of a custom kind for ``/openapi/v3``: what was written, and the envelope."""
    assert kind.custom is not None
    written = kind.custom.validation
    return {
        **written,
        "type": "object",
        "properties": {**(written.get("properties") or {}), **_ENVELOPE},
        "x-kubernetes-group-version-kind": [
            {"group": kind.group, "version": kind.version, "kind": kind.kind}
        ],
    }


# Private


def _is_established(definition: Obj) -> bool:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _resource(names: Obj, version: Obj, *, terminating: bool) -> CustomResource:
    written: Obj = (version.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
    envelope = {**written, "properties": {**(written.get("properties") or {}), **_ENVELOPE}}
    return CustomResource(
        singular=names["singular"],
        list_kind=names["listKind"],
        validation=written,
        fields=msgspec.convert(_readable(envelope), Schema),
        columns=tuple(version.get("additionalPrinterColumns") or ()),
        scale=_scale_paths((version.get("subresources") or {}).get("scale")),
        selectable=frozenset(
            field["jsonPath"].removeprefix(".") for field in version.get("selectableFields") or ()
        ),
        terminating=terminating,
    )


def _scale_paths(scale: Obj | None) -> ScalePaths | None:
    if not scale:
        return None
    return ScalePaths(
        path_of(scale["specReplicasPath"]),
        path_of(scale["statusReplicasPath"]),
        path_of(scale.get("labelSelectorPath") or ""),
    )


def _readable(schema: Obj) -> Obj:
    """``schema`` with the keys that ``Schema`` knows, in the types it expects."""
    kept: dict[str, Any] = {key: schema[key] for key in ("type", "format", "$ref") if key in schema}
    kept |= {key: value for key, value in schema.items() if key.startswith("x-kubernetes-list-")}
    if "x-kubernetes-map-type" in schema:
        kept["x-kubernetes-map-type"] = schema["x-kubernetes-map-type"]
    if schema.get("x-kubernetes-int-or-string"):
        kept["format"] = "int-or-string"
    if properties := schema.get("properties"):
        kept["properties"] = {name: _readable(sub) for name, sub in properties.items()}
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            kept[key] = _readable(schema[key])
    return kept
