"""Status conditions: read, set and remove them with upstream's rules for timestamps; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from nodrop.model.meta import Obj

ConditionStatus = Literal["True", "False", "Unknown"]


def get_condition(conditions: Iterable[Obj] | None, kind: str) -> Obj | None:
    """The condition of type ``kind``, or None."""
    for entry in conditions or ():
        if entry.get("type") == kind:
            return entry
    return None


def is_true(conditions: Iterable[Obj] | None, kind: str) -> bool:
    """Whether the condition ``kind`` is there with status True."""
    found = get_condition(conditions, kind)
    return found is not None and found.get("status") == "True"


def set_condition(
    conditions: Iterable[Obj] | None, wanted: Obj, now: str, *, with_update_time: bool = False
) -> list[Obj]:
    """The conditions with ``wanted`` among them; ``now`` is a formatted time.

    The same status and reason leave an existing condition untouched, message and times included.
    The same status with another reason keeps lastTransitionTime. ``with_update_time`` is for
    Deployments, whose conditions also hold lastUpdateTime. Use ``refresh_condition`` where
    progress must move lastUpdateTime although nothing else changed.
    """
    existing = get_condition(conditions, wanted["type"])
    if (
        existing is not None
        and existing.get("status") == wanted.get("status")
        and existing.get("reason") == wanted.get("reason")
    ):
        return list(conditions or ())
    return refresh_condition(conditions, wanted, now, with_update_time=with_update_time)


def refresh_condition(
    conditions: Iterable[Obj] | None, wanted: Obj, now: str, *, with_update_time: bool = True
) -> list[Obj]:
    """The conditions with ``wanted`` written in any case, so that lastUpdateTime moves to ``now``.

    lastTransitionTime still moves only when the status changes.
    """
    existing = get_condition(conditions, wanted["type"])
    written = dict(wanted)
    same_status = existing is not None and existing.get("status") == wanted.get("status")
    kept = existing.get("lastTransitionTime") if existing is not None and same_status else None
    written["lastTransitionTime"] = kept or now
    if with_update_time:
        written["lastUpdateTime"] = now
    if existing is None:
        return [*(conditions or ()), written]
    return [written if entry is existing else entry for entry in conditions or ()]


def remove_condition(conditions: Iterable[Obj] | None, kind: str) -> list[Obj]:
    """The conditions without the one of type ``kind``."""
    return [entry for entry in conditions or () if entry.get("type") != kind]
