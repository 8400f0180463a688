"""Keys, metadata accessors, owner references, selectors and RFC 3339 times; pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, NamedTuple, NewType

from nodrop.model.kinds import Kind, kind_of, named_kind

#: A Kubernetes object as decoded JSON. Unknown fields survive; views.py gives typed reading.
Obj = dict[str, Any]
Revision = NewType("Revision", int)
"""A store revision, what Kubernetes calls resourceVersion."""
Uid = NewType("Uid", str)


class ObjectKey(NamedTuple):
    """Names one object. ``namespace`` is empty for cluster-scoped kinds."""

    kind: Kind
    namespace: str
    name: str

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.plural} {where}{self.name}"


def object_kind(obj: Obj) -> Kind:
    """The kind of ``obj``; of a custom one only what equality asks for: group, version, kind."""
    return kind_of(obj["apiVersion"], obj["kind"]) or named_kind(obj["apiVersion"], obj["kind"])


def key_of(obj: Obj) -> ObjectKey:
    meta = obj["metadata"]
    return ObjectKey(object_kind(obj), meta.get("namespace", ""), meta["name"])


def uid_of(obj: Obj) -> Uid:
    return Uid(obj["metadata"]["uid"])


def revision_of(obj: Obj) -> Revision:
    return Revision(int(obj["metadata"]["resourceVersion"]))


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def is_deleting(obj: Obj) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Obj) -> Obj | None:
    """The owner reference with ``controller: true``, or None."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: Obj = reference
            return found
    return None


def controller_reference(owner: Obj) -> Obj:
    """An owner reference that makes ``owner`` the controller of an object."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


# Times. The API holds whole seconds (metav1.Time), UTC, with a Z.


def format_time(when: datetime) -> str:
    """``2026-11-23T10:00:00Z``: cut, not rounded, to whole seconds as upstream does."""
    return when.astimezone(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


def format_micro_time(when: datetime) -> str:
    """``2026-11-23T10:00:00.123456Z`` (metav1.MicroTime)."""
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time. Raises ValueError when it is not one."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if when.tzinfo is None:
        raise ValueError(f"time without a zone: {text!r}")
    return when


def due_after(since: str, seconds: float) -> datetime:
    """The instant at which ``seconds`` have surely passed since the stored time ``since``.

    Stored times are cut to whole seconds, so what happened "at 10:00:00" may have happened at
    10:00:00.999. A promise such as minReadySeconds must hold for the later end, so one second
    is added; zero seconds stay zero.
    """
    slack = 1.0 if seconds > 0 else 0.0
    return parse_time(since) + timedelta(seconds=seconds + slack)


def seconds_until(when: datetime, now: datetime) -> float:
    """How many seconds remain until ``when``, never negative."""
    return max(0.0, (when - now).total_seconds())


def whole_seconds(duration_s: float) -> int:
    return math.floor(duration_s)


# Selectors.

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause of a label selector."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value is not None and value in self.values
            case "NotIn":
                return value is None or value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None


@dataclass(frozen=True, slots=True)
class Selector:
    """A label selector: all requirements must match; without any it matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements


EVERYTHING = Selector()


def selector_from_map(labels: Mapping[str, str]) -> Selector:
    """A Service's ``spec.selector``: equality on every key."""
    return Selector(tuple(Requirement(key, "In", (value,)) for key, value in labels.items()))


def selector_from_object(selector: Mapping[str, Any]) -> Selector:
    """A ``metav1.LabelSelector`` with matchLabels and matchExpressions."""
    equals = selector_from_map(selector.get("matchLabels") or {}).requirements
    clauses: Iterable[Mapping[str, Any]] = selector.get("matchExpressions") or ()
    return Selector(
        equals
        + tuple(
            Requirement(clause["key"], clause["operator"], tuple(clause.get("values") or ()))
            for clause in clauses
        )
    )
