"""What becomes of an object whose owners are gone, and of one that waits for dependents; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from nodrop.client.actions import NOTHING, Action, Delete, Plan, Propagation, Update
from nodrop.model.meta import Obj, ObjectKey, Uid, is_deleting, key_of, uid_of

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"

#: ``waiting``: being deleted in the foreground, and this reference holds it up.
OwnerState = Literal["present", "gone", "waiting"]


@dataclass(frozen=True, slots=True)
class Owner:
    """One owner reference and what it leads to. Owners of unknown kinds are present."""

    reference: Obj
    key: ObjectKey | None
    state: OwnerState


def finalizers_of(obj: Obj) -> list[str]:
    return list(obj["metadata"].get("finalizers") or ())


def awaits_dependents(obj: Obj) -> bool:
    """Whether the object's end waits for this controller."""
    held = finalizers_of(obj)
    return is_deleting(obj) and (FOREGROUND in held or ORPHAN in held)


def plan_dependent(obj: Obj, owners: Sequence[Owner]) -> Plan:
    """Delete ``obj`` once no owner is left; while one is, only drop the dead references.

    The API is asked again whether the owners are gone, because a cache may show a dependent
    before its owner.
    """
    lost = [owner for owner in owners if owner.state != "present"]
    if not lost or is_deleting(obj):
        return NOTHING
    gone = tuple(
        (owner.key, Uid(owner.reference["uid"]))
        for owner in lost
        if owner.state == "gone" and owner.key is not None
    )
    if len(lost) < len(owners):
        uids = {owner.reference["uid"] for owner in lost}
        update = _without_references(obj, uids)
        return Plan((update,), ("some of its owners are gone",), only_if_gone=gone)
    waiting = any(owner.state == "waiting" for owner in lost)
    delete = Delete(key_of(obj), uid=uid_of(obj), propagation=_propagation(obj, waiting=waiting))
    why = "its owner waits for it to go" if waiting else "its owner is gone"
    return Plan((delete,), (why,), only_if_gone=gone)


def plan_owner(obj: Obj, dependents: Sequence[Obj]) -> Plan:
    """Let a deleted owner go: when dependents that block it are gone, or once they are orphaned."""
    uid = uid_of(obj)
    if ORPHAN in finalizers_of(obj):
        freed: list[Action] = [_without_references(one, {uid}) for one in dependents]
        return Plan((*freed, _without_finalizer(obj, ORPHAN)), ("its dependents are set free",))
    if any(_blocks(one, uid) for one in dependents):
        return NOTHING
    return Plan((_without_finalizer(obj, FOREGROUND),), ("no dependent holds it up",))


# Private


def _propagation(obj: Obj, *, waiting: bool) -> Propagation:
    """The policy its own finalizers ask for; in the foreground if its owner waits."""
    held = finalizers_of(obj)
    if ORPHAN in held:
        return "Orphan"
    return "Foreground" if waiting or FOREGROUND in held else "Background"


def _blocks(dependent: Obj, owner_uid: str) -> bool:
    references: Iterable[Obj] = dependent["metadata"].get("ownerReferences") or ()
    return any(ref["uid"] == owner_uid and ref.get("blockOwnerDeletion") for ref in references)


def _without_references(obj: Obj, uids: set[str]) -> Update:
    kept = [ref for ref in obj["metadata"].get("ownerReferences") or () if ref["uid"] not in uids]
    return Update(_with_metadata(obj, "ownerReferences", kept))


def _without_finalizer(obj: Obj, finalizer: str) -> Update:
    kept = [one for one in finalizers_of(obj) if one != finalizer]
    return Update(_with_metadata(obj, "finalizers", kept))


def _with_metadata(obj: Obj, name: str, value: list[Obj] | list[str]) -> Obj:
    metadata = {key: old for key, old in obj["metadata"].items() if key != name}
    if value:
        metadata[name] = value
    return {**obj, "metadata": metadata}
