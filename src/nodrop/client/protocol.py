"""The Client protocol: what controllers, agent, proxy and CLI see of the API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from nodrop.client.actions import Action
from nodrop.model.kinds import Kind
from nodrop.model.meta import EVERYTHING, Obj, ObjectKey, Revision, Selector


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects of a kind: a namespace (None = all), labels, and fields.

    ``fields`` must be equal and ``fields_not`` unequal: ``kubectl describe node`` asks for pods
    whose phase is neither of two.
    """

    namespace: str | None = None
    labels: Selector = EVERYTHING
    fields: tuple[tuple[str, str], ...] = ()  # (path, value), e.g. ("metadata.name", "web")
    fields_not: tuple[tuple[str, str], ...] = ()


ALL = Scope()


@dataclass(frozen=True, slots=True)
class Page:
    """A list at one revision; ``continue_token`` is empty on the last page."""

    items: tuple[Obj, ...]
    revision: Revision
    continue_token: str = ""
    remaining: int | None = None


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. A DELETED event carries the final object with the revision of its end."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    obj: Obj
    revision: Revision


@runtime_checkable
class Pushes(Protocol):
    """Events of a watch in the same process: nobody has to wait for a task to fetch them."""

    def push_to(self, take: Callable[[WatchEvent], None]) -> None:
        """Call ``take`` with every event, in the very call that makes the change.

        The iterator yields only what was not pushed; it raises what ends the watch, and what
        ``take`` has raised.
        """
        ...


class Client(Protocol):
    """The Kubernetes API. Every failure is an ApiError; nothing else crosses this border."""

    async def get(self, key: ObjectKey) -> Obj: ...

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page: ...

    def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        """Changes after ``since``, exclusively, until cancelled.

        Raises ApiError 410 Expired when ``since`` is too old: list again.
        """
        ...

    async def apply(self, action: Action) -> Obj | None:
        """Carry out one action; returns the written object where there is one.

        A Delete returns the object if it lives on (finalizers, a pod's grace period).
        Emit returns None.
        """
        ...
