"""A registry in memory with a clock that stands still, and short ways to use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from nodrop.model.kinds import Kind, kind_of
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.interface import DeleteOptions, WriteOptions
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore


@dataclass
class StandingClock:
    time: datetime = field(default=datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc))

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class World:
    """A registry with short ways to use it."""

    store: SqliteStore
    clock: StandingClock
    registry: Registry

    def create(self, obj: Obj, *, dry_run: bool = False) -> Obj:
        kind = kind_of(obj["apiVersion"], obj["kind"])
        assert kind is not None
        namespace = obj["metadata"].get("namespace", "")
        return self.registry.create(kind, namespace, obj, WriteOptions(dry_run=dry_run)).obj

    def patch(self, kind: Kind, name: str, patch: Obj, subresource: str | None = None) -> Obj:
        written = self.registry.patch(key(kind, name), patch, "merge", subresource=subresource)
        return written.obj

    def get(self, kind: Kind, name: str) -> Obj:
        return self.registry.get(key(kind, name))

    def exists(self, kind: Kind, name: str) -> bool:
        return self.store.get(key(kind, name)) is not None

    def delete(self, kind: Kind, name: str, options: DeleteOptions | None = None) -> Obj | None:
        """The object if it lives on."""
        deleted = self.registry.delete(key(kind, name), options or DeleteOptions())
        return None if deleted.gone else deleted.obj


def key(kind: Kind, name: str) -> ObjectKey:
    return ObjectKey(kind, "default" if kind.namespaced else "", name)
