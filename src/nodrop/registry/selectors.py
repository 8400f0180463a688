"""Which objects a Scope means: namespace, labels and the field selectors that upstream knows."""

from __future__ import annotations

from collections.abc import Callable

from nodrop.client.protocol import Scope
from nodrop.model.errors import bad_request
from nodrop.model.kinds import EVENT, NAMESPACE, POD, SECRET, Kind
from nodrop.model.meta import Obj, labels_of

_EVERYWHERE = ("metadata.name", "metadata.namespace")
_FIELDS: dict[Kind, frozenset[str]] = {
    POD: frozenset(
        {
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        }
    ),
    EVENT: frozenset(
        {
            *(
                f"involvedObject.{name}"
                for name in (
                    "apiVersion",
                    "fieldPath",
                    "kind",
                    "name",
                    "namespace",
                    "resourceVersion",
                    "uid",
                )
            ),
            "reason",
            "reportingComponent",
            "source",
            "type",
        }
    ),
    NAMESPACE: frozenset({"status.phase"}),
    SECRET: frozenset({"type"}),
}


def check_fields(kind: Kind, scope: Scope) -> None:
    """Raise 400 for a field that can't be selected on."""
    known = kind.custom.selectable if kind.custom else _FIELDS.get(kind, frozenset())
    for path, _ in (*scope.fields, *scope.fields_not):
        if path not in _EVERYWHERE and path not in known:
            raise bad_request(f"field label not supported: {path}")


def matcher(kind: Kind, scope: Scope) -> Callable[[Obj], bool]:
    """A predicate for ``scope``. Raises 400 for a field that can't be selected on."""
    check_fields(kind, scope)
    if scope.namespace is None and not is_filtered(scope):
        return lambda obj: True
    return lambda obj: _matches(scope, obj)


def is_filtered(scope: Scope) -> bool:
    """Whether labels or fields narrow the scope, beyond its namespace."""
    return bool(scope.fields or scope.fields_not) or not scope.labels.empty


def _matches(scope: Scope, obj: Obj) -> bool:
    if scope.namespace is not None and obj["metadata"].get("namespace", "") != scope.namespace:
        return False
    if not scope.labels.matches(labels_of(obj)):
        return False
    if any(_field(obj, path) == value for path, value in scope.fields_not):
        return False
    return all(_field(obj, path) == value for path, value in scope.fields)


def _field(obj: Obj, path: str) -> str:
    match path:
        case "source":
            path = "source.component"
        case "status.podIPs":
            addresses = (obj.get("status") or {}).get("podIPs") or ()
            return ",".join(one.get("ip", "") for one in addresses)
        case "spec.hostNetwork":
            return "true" if (obj.get("spec") or {}).get("hostNetwork") else "false"
    value: object = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return "" if value is None else str(value)
