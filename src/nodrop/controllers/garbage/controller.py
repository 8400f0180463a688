"""The garbage collector: which objects to look at when something changes or goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from nodrop.client.actions import NOTHING, Action, Plan
from nodrop.client.cache import Cache
from nodrop.controllers.garbage.namespaces import plan_namespace
from nodrop.controllers.garbage.owners import (
    FOREGROUND,
    Owner,
    awaits_dependents,
    finalizers_of,
    plan_dependent,
    plan_owner,
)
from nodrop.controllers.interface import Outcome, Watch
from nodrop.model.kinds import NAMESPACE, Kind, named_kind
from nodrop.model.meta import Obj, ObjectKey, is_deleting, key_of, uid_of


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An object, its owners, its dependents if its end waits for them, a namespace's content."""

    obj: Obj
    owners: tuple[Owner, ...]
    dependents: tuple[Obj, ...]
    content: tuple[Obj, ...]


class GarbageController:
    """Collects objects of ``kinds``, all of which the cache must hold.

    An owner of a kind that isn't cached is never taken for gone. A namespace counts as empty
    when it holds nothing of ``kinds``.
    """

    name = "garbage"

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = tuple(kinds)
        self._known = {kind: kind for kind in self._kinds}
        self._watches = tuple(Watch(kind, self._concerned) for kind in self._kinds)

    @property
    def watches(self) -> tuple[Watch, ...]:
        return self._watches

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        obj = cache.get(key)
        if obj is None:
            return None
        ending = key.kind == NAMESPACE and is_deleting(obj)
        return Snapshot(
            obj=obj,
            owners=tuple(
                self._owner(cache, key.namespace, reference)
                for reference in obj["metadata"].get("ownerReferences") or ()
            ),
            dependents=tuple(self._dependents(cache, obj)) if awaits_dependents(obj) else (),
            content=tuple(self._content(cache, key.name)) if ending else (),
        )

    def decide(self, snapshot: Snapshot) -> Plan:
        obj = snapshot.obj
        if awaits_dependents(obj):
            return plan_owner(obj, snapshot.dependents)
        if snapshot.owners:
            return plan_dependent(obj, snapshot.owners)
        if key_of(obj).kind == NAMESPACE:
            return plan_namespace(obj, snapshot.content)
        return NOTHING

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        return ()

    # Private

    def _concerned(self, cache: Cache, obj: Obj) -> Iterable[ObjectKey]:
        """The object if it has owners or waits; its dependents once it is gone or waits for them.

        A dependent that goes concerns its owners (they may wait for it) and its namespace.
        """
        key, metadata = key_of(obj), obj["metadata"]
        references = metadata.get("ownerReferences") or ()
        held = cache.get(key)
        gone = held is None or uid_of(held) != uid_of(obj)
        if not gone and (references or awaits_dependents(obj) or key.kind == NAMESPACE):
            yield key
        if gone or awaits_dependents(obj):
            yield from (key_of(one) for one in self._dependents(cache, obj))
        if gone or is_deleting(obj):
            yield from self._owner_keys(key.namespace, references)
        namespace = self._namespace(cache, key.namespace)
        if namespace is not None and is_deleting(namespace):
            yield key_of(namespace)

    def _owner_keys(self, namespace: str, references: Iterable[Obj]) -> Iterable[ObjectKey]:
        for reference in references:
            key = self._owner_key(namespace, reference)
            if key is not None:
                yield key

    def _owner_key(self, namespace: str, reference: Obj) -> ObjectKey | None:
        kind = self._known.get(named_kind(reference["apiVersion"], reference["kind"]))
        if kind is None:
            return None
        return ObjectKey(kind, namespace if kind.namespaced else "", reference["name"])

    def _owner(self, cache: Cache, namespace: str, reference: Obj) -> Owner:
        key = self._owner_key(namespace, reference)
        if key is None:
            return Owner(reference, None, "present")
        found = cache.get(key)
        if found is None or uid_of(found) != reference["uid"]:
            return Owner(reference, key, "gone")
        foreground = is_deleting(found) and FOREGROUND in finalizers_of(found)
        if foreground and reference.get("blockOwnerDeletion"):
            return Owner(reference, key, "waiting")
        return Owner(reference, key, "present")

    def _dependents(self, cache: Cache, owner: Obj) -> Iterable[Obj]:
        namespace = owner["metadata"].get("namespace")
        for kind in self._kinds:
            for obj in cache.dependents_of(kind, uid_of(owner)):
                if namespace is None or obj["metadata"].get("namespace", "") == namespace:
                    yield obj

    def _content(self, cache: Cache, namespace: str) -> Iterable[Obj]:
        for kind in self._kinds:
            if kind.namespaced:
                yield from cache.list(kind, namespace)

    def _namespace(self, cache: Cache, name: str) -> Obj | None:
        if not name or NAMESPACE not in self._kinds:
            return None
        return cache.get(ObjectKey(NAMESPACE, "", name))
