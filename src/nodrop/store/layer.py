"""A Store in front of another one: everything passes, unless a subclass does more about it."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.model.catalogue import Catalogue
from nodrop.model.kinds import Kind
from nodrop.model.meta import ObjectKey, Revision
from nodrop.store.protocol import Change, Store, Stored, Write


class StoreLayer:
    """See store.protocol.Store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def revision(self) -> Revision:
        return self._store.revision

    @property
    def compacted(self) -> Revision:
        return self._store.compacted

    @property
    def kinds(self) -> Catalogue:
        return self._store.kinds

    def get(self, key: ObjectKey) -> Stored | None:
        return self._store.get(key)

    def list(
        self, kind: Kind, *, namespace: str | None = None, at: Revision | None = None
    ) -> Sequence[Stored]:
        return self._store.list(kind, namespace=namespace, at=at)

    def commit(self, write: Write) -> Change:
        return self._store.commit(write)

    def after(self, since: Revision, kind: Kind | None = None) -> Sequence[Change]:
        return self._store.after(since, kind)

    def compact(self, before: Revision) -> None:
        self._store.compact(before)

    def close(self) -> None:
        self._store.close()
