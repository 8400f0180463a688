"""What the API server may call: the verbs of the registry, without HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from nodrop.client.protocol import Page, Scope, WatchEvent
from nodrop.model.catalogue import Catalogue
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision

#: ``Trusted`` is no word of the API: the writer is our own code, nothing is looked at.
FieldValidation = Literal["Strict", "Warn", "Ignore", "Trusted"]
PatchType = Literal["json", "merge", "strategic", "apply"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """Query parameters of a write. ``force`` lets an apply take fields from other managers.

    ``approve`` is called with the object just before it is stored, and raises to refuse it.
    ``tracks`` False: nobody will ask who has set which field, so it is not worked out.
    """

    dry_run: bool = False
    field_validation: FieldValidation = "Warn"
    field_manager: str = ""
    force: bool = False
    approve: Callable[[Obj], None] | None = None
    tracks: bool = True


#: Of the engine's own components, whose objects are well-formed because tests see to it. What they
#: own of an object that somebody applied is theirs by the names that they have in a cluster.
OWN_WRITES = WriteOptions(field_validation="Trusted", field_manager="kube-controller-manager")
AGENT_WRITES = replace(OWN_WRITES, field_manager="kubelet")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteOptions:
    """metav1.DeleteOptions. ``grace_period_s`` None = the object's own."""

    grace_period_s: int | None = None
    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
    uid: str | None = None
    revision: Revision | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A write's outcome. ``warnings`` become HTTP Warning headers."""

    obj: Obj
    created: bool = False
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """``obj`` is the final object, or, when ``gone`` is False, the object marked for deletion."""

    obj: Obj
    gone: bool


@dataclass(frozen=True, slots=True)
class Allocation:
    """Address ranges of this engine, as CIDRs inside 127.0.0.0/8."""

    pod_cidr: str
    service_cidr: str
    node_ports: tuple[int, int] = (30000, 32767)
    node_name: str = field(default="localhost")


class Events(Protocol):
    """The events of one watch; they end when their kind is served no longer."""

    def __aiter__(self) -> AsyncIterator[WatchEvent]: ...

    def waiting(self, most: int) -> Sequence[WatchEvent]:
        """Take further events that are here already, for a reader that can use many."""
        ...

    async def aclose(self) -> None: ...


class Registry(Protocol):
    """API semantics over a store. Synchronous but for ``watch``; every failure is an ApiError.

    ``create`` and ``update`` take what a client sent: they check kind, name and namespace against
    the key, drop status unless the subresource is ``status``, default, validate, and write.
    """

    @property
    def kinds(self) -> Catalogue:
        """The kinds that are served now."""
        ...

    def get(self, key: ObjectKey, *, subresource: str | None = None) -> Obj:
        """The object, or for ``scale`` its autoscaling/v1 Scale; writes to it answer the same."""
        ...

    def list(
        self,
        kind: Kind,
        scope: Scope,
        *,
        limit: int = 0,
        continue_token: str = "",
        at: Revision | None = None,
    ) -> Page: ...

    def watch(self, kind: Kind, scope: Scope, *, since: Revision) -> Events:
        """Events after ``since``. An object leaving the scope arrives as DELETED.

        Raises 410 Expired at the first step when ``since`` has been compacted away, and later
        when the watcher is too slow to keep up. Cancelling a pending step loses no event.
        """
        ...

    def revision(self) -> Revision:
        """The latest revision of the store."""
        ...

    def create(
        self, kind: Kind, namespace: str, obj: Obj, options: WriteOptions = ...
    ) -> Written: ...

    def update(
        self,
        key: ObjectKey,
        obj: Obj,
        *,
        subresource: str | None = None,
        options: WriteOptions = ...,
    ) -> Written: ...

    def patch(
        self,
        key: ObjectKey,
        patch: object,
        patch_type: PatchType,
        *,
        subresource: str | None = None,
        options: WriteOptions = ...,
    ) -> Written: ...

    def delete(self, key: ObjectKey, options: DeleteOptions = ...) -> Deleted: ...

    def evict(self, key: ObjectKey, eviction: Obj, options: DeleteOptions = ...) -> None:
        """Delete the pod if its disruption budget allows it; ``eviction`` is what was posted.

        Raises 400, 404, 409, 429 when the budget allows none, 500 when it has several budgets.
        """
        ...
