"""The Store protocol: objects at revisions, one increasing counter, history until compacted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from nodrop.model.catalogue import Catalogue
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

#: As ``Write.expected``: the object must not exist.
ABSENT = Revision(0)


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as of ``revision``, which its ``metadata.resourceVersion`` repeats.

    The object is shared by everyone who reads it: treat it as immutable.
    """

    obj: Obj
    revision: Revision


@dataclass(frozen=True, slots=True)
class Write:
    """One change: ``obj`` takes the place of what is at ``key``, or is its last state.

    ``expected`` is the revision that must be there now, ``ABSENT`` for none at all.
    """

    key: ObjectKey
    obj: Obj
    expected: Revision
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """One entry of the history. ``before`` is the object as it was, None for ADDED."""

    type: ChangeType
    key: ObjectKey
    obj: Obj
    before: Obj | None
    revision: Revision


class PreconditionFailed(Exception):
    """Not what the writer expected is stored; ``actual`` is 0 when there is nothing."""

    def __init__(self, key: ObjectKey, expected: Revision, actual: Revision) -> None:
        super().__init__(f"{key}: expected revision {expected}, found {actual}")
        self.key, self.expected, self.actual = key, expected, actual


class Expired(Exception):
    """History before ``oldest`` is gone; ``asked`` lies before it."""

    def __init__(self, oldest: Revision, asked: Revision) -> None:
        super().__init__(f"revision {asked} is compacted away, history starts at {oldest}")
        self.oldest, self.asked = oldest, asked


class StoreFailure(Exception):
    """Reading or writing the state file failed, e.g. for want of space. Nothing was written."""


class StoreCorrupt(StoreFailure):
    """The state file can't be used; the message names the file and what to do about it."""


class Store(Protocol):
    """Synchronous on purpose: a commit costs a fraction of a millisecond."""

    @property
    def revision(self) -> Revision:
        """The revision of the latest write, 0 if there was none."""
        ...

    @property
    def compacted(self) -> Revision:
        """The oldest revision that can still be listed or watched from."""
        ...

    @property
    def kinds(self) -> Catalogue:
        """The kinds that are served now; a commit of a definition changes them at once."""
        ...

    def get(self, key: ObjectKey) -> Stored | None: ...

    def list(
        self, kind: Kind, *, namespace: str | None = None, at: Revision | None = None
    ) -> Sequence[Stored]:
        """Objects of ``kind`` by namespace and name, as of ``at``. Raises Expired."""
        ...

    def commit(self, write: Write) -> Change:
        """Write durably. Raises PreconditionFailed, or StoreFailure; then nothing has changed."""
        ...

    def after(self, since: Revision, kind: Kind | None = None) -> Sequence[Change]:
        """Changes later than ``since``, oldest first. Raises Expired."""
        ...

    def compact(self, before: Revision) -> None:
        """Forget what was overwritten or deleted up to ``before``."""
        ...

    def close(self) -> None: ...
