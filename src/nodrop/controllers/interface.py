"""The Controller protocol: what watches, how to read a snapshot, how to decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from nodrop.client.actions import Action, Plan
from nodrop.client.cache import Cache
from nodrop.model.errors import ApiError
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Watch:
    """Which keys to look at again when an object of ``kind`` changes.

    ``keys`` gets the cache and the object (after, or before when it was deleted; both when its
    owner or labels changed) and carries no payload: a lost event costs only delay.
    """

    kind: Kind
    keys: Callable[[Cache, Obj], Iterable[ObjectKey]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action: the written object (None where there is none), or the error."""

    action: Action
    result: Obj | ApiError | None


class Observer(Protocol):
    """Hears of every look at a key, after it. It must neither wait nor raise."""

    def reconciled(self, controller: str, took_s: float, *, error: str, waiting: int) -> None:
        """``error``: reason of what went wrong, else empty; ``waiting``: keys in the queue now."""
        ...


class Unobserved:
    """An observer that keeps nothing."""

    def reconciled(self, controller: str, took_s: float, *, error: str, waiting: int) -> None:
        pass


class Controller(Protocol[S]):
    """read → decide; the loop applies. All of it is pure, and ``decide`` is idempotent."""

    @property
    def name(self) -> str: ...

    @property
    def watches(self) -> tuple[Watch, ...]: ...

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> S | None:
        """An immutable snapshot of all that ``decide`` needs; None = nothing to do for this key."""
        ...

    def decide(self, snapshot: S) -> Plan: ...

    def follow_up(self, snapshot: S, outcome: Outcome) -> tuple[Action, ...]:
        """What to record once an action has succeeded or failed; mostly nothing.

        Here because some facts exist only afterwards: a generated name belongs into an Event,
        a refused create into a condition.
        """
        ...
