"""The /scale subresource: autoscaling/v1 Scale as a view of Deployments and ReplicaSets. Pure."""

from __future__ import annotations

from typing import Any

from nodrop.model.custom.resource import ScalePaths
from nodrop.model.errors import Cause, conflict, invalid
from nodrop.model.kinds import SCALE, Kind
from nodrop.model.meta import Obj, ObjectKey


def scale_of(obj: Obj, paths: ScalePaths | None = None) -> Obj:
    """The Scale of a Deployment or ReplicaSet, or of a custom object by ``paths``."""
    meta, spec, status = obj["metadata"], obj.get("spec") or {}, obj.get("status") or {}
    if paths is not None:
        spec = {"replicas": _at(obj, paths.spec_replicas) or 0}
        status = {"replicas": _at(obj, paths.status_replicas) or 0}
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: meta[field] for field in shown if field in meta},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {
            "replicas": status.get("replicas", 0),
            "selector": (
                selector_text(spec.get("selector") or {})
                if paths is None
                else str(_at(obj, paths.selector) or "")
            ),
        },
    }


def scaled(key: ObjectKey, obj: Obj, scale: Obj) -> Obj:
    """``obj`` with the replicas that ``scale`` asks for; none mean 0, as upstream reads them.

    ``scale`` is of the right types (see ``checks.known_fields``). Raises 409 or 422.
    """
    meta, spec = scale["metadata"], scale.get("spec") or {}
    if meta.get("uid") not in (None, "", obj["metadata"]["uid"]):
        raise conflict(key.kind, key.name, f"UID {meta['uid']} is not that of the object")
    if meta.get("resourceVersion") not in (None, "", obj["metadata"]["resourceVersion"]):
        raise conflict(key.kind, key.name)
    replicas = _not_negative(key.name, spec.get("replicas") or 0)
    return _with(obj, replicas_path(key.kind), replicas)


def replicas_path(kind: Kind) -> tuple[str, ...]:
    """The field names that lead to the number which a Scale of this kind sets."""
    paths = kind.custom.scale if kind.custom else None
    return paths.spec_replicas if paths else ("spec", "replicas")


def selector_text(selector: Obj) -> str:
    """A LabelSelector as a string: ``app=web,tier in (a,b),!canary``."""
    texts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    texts += [_expression(clause) for clause in selector.get("matchExpressions") or ()]
    return ",".join(texts)


# Private


def _at(obj: Obj, path: tuple[str, ...]) -> Any:
    value: Any = obj if path else None
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _with(obj: Obj, path: tuple[str, ...], value: Any) -> Obj:
    """A copy of ``obj`` with ``value`` at ``path``."""
    name, *rest = path
    below = obj.get(name)
    inner = below if isinstance(below, dict) else {}
    return {**obj, name: _with(inner, tuple(rest), value) if rest else value}


def _not_negative(name: str, replicas: int) -> int:
    if replicas < 0:
        why = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise invalid(SCALE, name, [Cause("spec.replicas", "FieldValueInvalid", why)])
    return replicas


def _expression(clause: Obj) -> str:
    values = ",".join(sorted(clause.get("values") or ()))
    match clause["operator"]:
        case "In":
            return f"{clause['key']} in ({values})"
        case "NotIn":
            return f"{clause['key']} notin ({values})"
        case "DoesNotExist":
            return f"!{clause['key']}"
        case _:
            return str(clause["key"])
