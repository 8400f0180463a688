"""What a decision may do to the API: actions, and the plan that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from nodrop.events import Reason
from nodrop.model.kinds import EVENT, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, Uid, object_kind

Propagation = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Create:
    """POST ``obj`` (name or generateName; metadata.namespace set unless cluster-scoped)."""

    obj: Obj


@dataclass(frozen=True, slots=True)
class Update:
    """PUT ``obj``. With a resourceVersion in it a stale write ends in 409 Conflict."""

    obj: Obj
    subresource: str | None = None  # "status", "scale"


@dataclass(frozen=True, slots=True)
class Patch:
    """PATCH with a JSON merge patch (RFC 7396)."""

    key: ObjectKey
    patch: Obj
    subresource: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE, optionally only if uid and resourceVersion still are as given (else 409)."""

    key: ObjectKey
    uid: Uid | None = None
    revision: Revision | None = None
    grace_period_s: int | None = None
    propagation: Propagation = "Background"


@dataclass(frozen=True, slots=True)
class Emit:
    """Record a Kubernetes Event about ``regarding``; repeats are aggregated by count."""

    regarding: Obj
    type: Literal["Normal", "Warning"]
    reason: Reason
    message: str


Action: TypeAlias = Create | Update | Patch | Delete | Emit


def kind_written(action: Action) -> Kind:
    """The kind of the object that ``action`` creates, changes or deletes."""
    match action:
        case Create(obj) | Update(obj):
            return object_kind(obj)
        case Patch(key) | Delete(key):
            return key.kind
        case Emit():
            return EVENT
    assert_never(action)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision wants: actions in order, why, and when to look again at the latest."""

    actions: tuple[Action, ...] = ()
    because: tuple[str, ...] = ()
    look_again_after_s: float | None = None
    #: Apply only if the API itself says that these are gone (404, or another uid). A cache may
    #: know a dependent before its owner; collecting garbage on its word alone would be wrong.
    only_if_gone: tuple[tuple[ObjectKey, Uid], ...] = ()


NOTHING = Plan()
