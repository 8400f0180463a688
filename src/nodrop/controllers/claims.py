"""Adoption and release: who controls which dependents; pure."""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.client.actions import Update
from nodrop.model.meta import (
    Obj,
    Selector,
    controller_of,
    controller_reference,
    is_deleting,
    labels_of,
)


def plan_claims(
    owner: Obj, selector: Selector, *, owned: Iterable[Obj], orphans: Iterable[Obj]
) -> tuple[Update, ...]:
    """Adopt matching orphans, let go of what no longer matches.

    An owner that is being deleted adopts nothing; nothing that is being deleted is adopted or
    released. ``orphans`` have no controller; a foreign controller is never touched.
    """
    if is_deleting(owner):
        return ()
    return tuple(
        [_adopt(owner, obj) for obj in orphans if _adoptable(obj, selector)]
        + [
            _release(owner, obj)
            for obj in owned
            if not is_deleting(obj) and not selector.matches(labels_of(obj))
        ]
    )


def _adoptable(obj: Obj, selector: Selector) -> bool:
    matches = selector.matches(labels_of(obj))
    return matches and controller_of(obj) is None and not is_deleting(obj)


def _adopt(owner: Obj, obj: Obj) -> Update:
    kept = obj["metadata"].get("ownerReferences") or []
    return _with_references(obj, [*kept, controller_reference(owner)])


def _release(owner: Obj, obj: Obj) -> Update:
    uid = owner["metadata"]["uid"]
    kept = [ref for ref in obj["metadata"].get("ownerReferences") or () if ref["uid"] != uid]
    return _with_references(obj, kept)


def _with_references(obj: Obj, references: list[Obj]) -> Update:
    metadata = {key: value for key, value in obj["metadata"].items() if key != "ownerReferences"}
    if references:
        metadata["ownerReferences"] = references
    return Update({**obj, "metadata": metadata})
