"""Rules for metadata: names, labels, annotations, owners, finalizers, label selectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nodrop.model.errors import Cause
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import (
    duplicate,
    forbidden,
    immutable,
    invalid,
    non_negative,
    required,
    too_long,
)
from nodrop.model.validate.names import (
    dns_1035_label,
    dns_label,
    dns_subdomain,
    label_value,
    path_segment,
    qualified_name,
)

_MOST_ANNOTATION_BYTES = 256 * 1024
_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion", "kubernetes")
_NAME_RULES: dict[str, Callable[[str], list[str]]] = {
    "Namespace": dns_label,
    "Service": dns_1035_label,
    **dict.fromkeys(("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"), path_segment),
}
_FIXED = ("name", "namespace", "uid", "creationTimestamp")


def validate_metadata(meta: Obj, kind: Kind) -> list[Cause]:
    """Causes for an object's own metadata."""
    causes = _validate_name(meta, kind)
    if kind.namespaced:
        causes += _namespace(meta.get("namespace"))
    elif meta.get("namespace"):
        causes.append(forbidden("metadata.namespace", "not allowed on this type"))
    causes += non_negative("metadata.generation", meta.get("generation"))
    causes += validate_labels(meta.get("labels"), "metadata.labels")
    causes += validate_annotations(meta.get("annotations"), "metadata.annotations")
    causes += _owners(meta.get("ownerReferences") or ())
    causes += _finalizers(meta.get("finalizers") or ())
    return causes


def _validate_name(meta: Obj, kind: Kind) -> list[Cause]:
    check = _NAME_RULES.get(kind.kind, dns_subdomain)
    name, prefix = meta.get("name"), meta.get("generateName")
    causes = []
    if prefix:
        masked = f"{prefix[:-1]}a" if prefix.endswith("-") and len(prefix) > 1 else prefix
        causes += [invalid("metadata.generateName", prefix, text) for text in check(masked)]
    if name:
        causes += [invalid("metadata.name", name, text) for text in check(name)]
    elif not prefix:
        causes.append(required("metadata.name", "name or generateName is required"))
    return causes


def _namespace(namespace: str | None) -> list[Cause]:
    if not namespace:
        return [required("metadata.namespace")]
    return [invalid("metadata.namespace", namespace, text) for text in dns_label(namespace)]


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[Cause]:
    """Causes for the keys and values of a label map."""
    causes = []
    for key, value in (labels or {}).items():
        causes += [invalid(path, key, text) for text in qualified_name(key)]
        causes += [invalid(path, value, text) for text in label_value(value)]
    return causes


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[Cause]:
    """Causes for annotation keys and for their size together."""
    causes = []
    total_bytes = 0
    for key, value in (annotations or {}).items():
        causes += [invalid(path, key, text) for text in qualified_name(key.lower())]
        total_bytes += len(key.encode()) + len(value.encode())
    if total_bytes > _MOST_ANNOTATION_BYTES:
        causes.append(too_long(path, _MOST_ANNOTATION_BYTES))
    return causes


def _owners(references: Any) -> list[Cause]:
    causes = []
    controller: Obj | None = None
    for index, reference in enumerate(references):
        path = f"metadata.ownerReferences[{index}]"
        for field in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(field):
                name = "version" if field == "apiVersion" else field
                causes.append(invalid(f"{path}.{field}", "", f"{name} must not be empty"))
        if reference.get("controller"):
            if controller is not None:
                both = f"{_owner(controller)} and {_owner(reference)}"
                text = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {both}'
                )
                causes.append(invalid("metadata.ownerReferences", references, text))
            controller = reference
    return causes


def _owner(reference: Obj) -> str:
    return f"{reference.get('kind')}/{reference.get('name')}"


def _finalizers(finalizers: Any) -> list[Cause]:
    causes = []
    for finalizer in finalizers:
        sentences = qualified_name(finalizer)
        if not sentences and "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            sentences = ["name is neither a standard finalizer name nor is it fully qualified"]
        causes += [invalid("metadata.finalizers", finalizer, text) for text in sentences]
    return causes


def validate_metadata_update(new: Obj, old: Obj) -> list[Cause]:
    """Causes for metadata that may not change; what ``new`` leaves out is taken as unchanged."""
    causes = []
    for field in _FIXED:
        if new.get(field) is not None and field in old:
            causes += immutable(f"metadata.{field}", new[field], old[field])
    if old.get("deletionTimestamp"):
        added = [
            name
            for name in new.get("finalizers") or ()
            if name not in (old.get("finalizers") or ())
        ]
        if added:
            text = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers {added}"
            )
            causes.append(forbidden("metadata.finalizers", text))
    return causes


def validate_selector(selector: Obj, path: str) -> list[Cause]:
    """Causes for a label selector with matchLabels and matchExpressions."""
    causes = validate_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, clause in enumerate(selector.get("matchExpressions") or ()):
        causes += _expression(clause, f"{path}.matchExpressions[{index}]")
    return causes


def _expression(clause: Obj, path: str) -> list[Cause]:
    operator, values = clause.get("operator", ""), clause.get("values") or ()
    causes = []
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            causes.append(required(f"{path}.values", text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden(f"{path}.values", text))
    else:
        causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = clause.get("key", "")
    causes += [invalid(f"{path}.key", key, text) for text in qualified_name(key)]
    for index, value in enumerate(values):
        causes += [invalid(f"{path}.values[{index}]", value, text) for text in label_value(value)]
    return causes


def named_twice(items: Any, path: str, field: str = "name") -> list[Cause]:
    """A Duplicate cause for every item whose ``field`` an earlier item has already."""
    seen: set[Any] = set()
    causes = []
    for index, item in enumerate(items):
        value = item.get(field)
        if value and value in seen:
            causes.append(duplicate(f"{path}[{index}].{field}", value))
        seen.add(value)
    return causes
