"""The end of a namespace: first its content, then itself; pure."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.client.actions import NOTHING, Delete, Plan, Update
from nodrop.model.meta import Obj, is_deleting, key_of, uid_of

FINALIZER = "kubernetes"


def plan_namespace(namespace: Obj, content: Sequence[Obj]) -> Plan:
    """Delete what is in a namespace that is being deleted; when nothing is left, let it go.

    Pods end gracefully: the namespace stays until they are gone.
    """
    if not is_deleting(namespace):
        return NOTHING
    if content:
        deletes = tuple(
            Delete(key_of(one), uid=uid_of(one)) for one in content if not is_deleting(one)
        )
        return Plan(deletes, ("the namespace is being deleted",) if deletes else ())
    spec = namespace.get("spec") or {}
    held = spec.get("finalizers") or []
    if FINALIZER not in held:
        return NOTHING
    kept = [one for one in held if one != FINALIZER]
    emptied = {**namespace, "spec": {**spec, "finalizers": kept}}
    return Plan((Update(emptied, "finalize"),), ("the namespace is empty",))
