"""A cache of whole kinds kept by list + watch, shared by controllers, agent and proxy.

Readers get the stored objects themselves: treat them as immutable and copy before changing.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from nodrop.client.protocol import Client, Pushes, WatchEvent
from nodrop.model.errors import ApiError
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, controller_of, key_of, revision_of, uid_of

log = logging.getLogger(__name__)

#: Called synchronously with (event, the object before it or None), after the cache has changed.
Subscriber = Callable[[WatchEvent, Obj | None], None]

#: Uid of an owner → its objects by key, in the order in which they came.
_Index = dict[str, dict[ObjectKey, Obj]]
_NOBODY = ""
_NONE: dict[ObjectKey, Obj] = {}
_RETRY_S = 0.5


def _warn(kind: Kind, error: ApiError) -> None:
    log.warning("watching %s failed: %s; listing again", kind.plural, error)


class Cache:
    """Objects of some kinds, in memory, as of the last event seen of each kind."""

    def __init__(
        self,
        client: Client,
        kinds: Iterable[Kind],
        *,
        on_failure: Callable[[Kind, ApiError], None] = _warn,
    ) -> None:
        """``on_failure`` is told of every watch that failed, before it is tried again."""
        self._client = client
        self._on_failure = on_failure
        self._kinds = tuple(kinds)
        self._objects: dict[Kind, dict[ObjectKey, Obj]] = {kind: {} for kind in self._kinds}
        #: By the controller's uid; what has none is under the empty text.
        self._owned: dict[Kind, _Index] = {kind: defaultdict(dict) for kind in self._kinds}
        self._dependents: dict[Kind, _Index] = {kind: defaultdict(dict) for kind in self._kinds}
        self._seen: dict[Kind, Revision] = {kind: Revision(0) for kind in self._kinds}
        self._subscribers: list[Subscriber] = []
        self._synced: set[Kind] = set()
        self._moved = asyncio.Event()  # never left set: it wakes whoever waits

    # Reading: synchronous.

    def get(self, key: ObjectKey) -> Obj | None:
        return self._objects[key.kind].get(key)

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Obj]:
        """All objects of ``kind``, of one namespace if given."""
        objects = self._objects[kind].values()
        if namespace is None:
            return list(objects)
        return [obj for obj in objects if obj["metadata"].get("namespace", "") == namespace]

    def controlled_by(self, kind: Kind, owner_uid: str) -> Sequence[Obj]:
        """Objects of ``kind`` whose controller reference names ``owner_uid``, as they came."""
        return list(self._owned[kind].get(owner_uid, _NONE).values())

    def uncontrolled(self, kind: Kind, namespace: str) -> Sequence[Obj]:
        """Objects of ``kind`` in ``namespace`` that nobody controls."""
        found = self._owned[kind].get(_NOBODY, _NONE).values()
        return [obj for obj in found if obj["metadata"].get("namespace", "") == namespace]

    def dependents_of(self, kind: Kind, owner_uid: str) -> Sequence[Obj]:
        """Objects of ``kind`` that name ``owner_uid`` in any owner reference."""
        return list(self._dependents[kind].get(owner_uid, _NONE).values())

    def seen(self, kind: Kind) -> Revision:
        """The revision up to which ``kind`` is known."""
        return self._seen[kind]

    def subscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        self._subscribers.remove(subscriber)

    # Waiting.

    async def synced(self) -> None:
        """Return once every kind has been listed."""
        await self._until(lambda: len(self._synced) == len(self._kinds))

    async def wait_seen(self, written: Obj) -> None:
        """Return once the cache has seen this write of ours, or something newer of its kind."""
        key, revision = key_of(written), revision_of(written)
        if key.kind in self._objects:
            await self._until(lambda: self._seen[key.kind] >= revision)

    async def wait_gone(self, key: ObjectKey, uid: str) -> None:
        """Return once the cache no longer holds the object of this uid."""
        await self._until(lambda: not self._holds(key, uid))

    async def run(self) -> None:
        """Keep all kinds up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._follow(kind), name=f"cache {kind.plural}")

    async def fill(self) -> None:
        """Read everything once, for who only looks. Kinds that an older engine lacks stay empty."""
        for kind in self._kinds:
            try:
                page = await self._client.list(kind)
            except ApiError as error:
                if error.code != 404:
                    raise
            else:
                self._replace(kind, page.items, page.revision)

    # Private

    async def _until(self, come: Callable[[], bool]) -> None:
        while not come():
            await self._moved.wait()

    def _holds(self, key: ObjectKey, uid: str) -> bool:
        held = self._objects[key.kind].get(key) if key.kind in self._objects else None
        return held is not None and held["metadata"]["uid"] == uid

    async def _follow(self, kind: Kind) -> None:
        while True:
            try:
                page = await self._client.list(kind)
                self._replace(kind, page.items, page.revision)
                events = self._client.watch(kind, since=page.revision)
                if isinstance(events, Pushes):
                    events.push_to(partial(self._accept, kind))
                async for event in events:
                    self._accept(kind, event)
            except ApiError as error:
                if error.code != 410:
                    self._on_failure(kind, error)
                    await asyncio.sleep(_RETRY_S)

    def _replace(self, kind: Kind, items: Iterable[Obj], revision: Revision) -> None:
        listed = {key_of(obj): obj for obj in items}
        for key, obj in list(self._objects[kind].items()):
            if key not in listed:
                self._apply(kind, WatchEvent("DELETED", obj, revision))
        for key, obj in listed.items():
            known = self._objects[kind].get(key)
            if known is not None and uid_of(known) != uid_of(obj):
                self._apply(kind, WatchEvent("DELETED", known, revision))
                known = None
            if known is None:
                self._apply(kind, WatchEvent("ADDED", obj, revision_of(obj)))
            elif revision_of(known) != revision_of(obj):
                self._apply(kind, WatchEvent("MODIFIED", obj, revision_of(obj)))
        self._synced.add(kind)
        self._advance(kind, revision)

    def _accept(self, kind: Kind, event: WatchEvent) -> None:
        self._apply(kind, event)
        self._advance(kind, event.revision)

    def _apply(self, kind: Kind, event: WatchEvent) -> None:
        key, obj = key_of(event.obj), event.obj
        before = self._objects[kind].get(key)
        if before is not None and (event.type == "DELETED" or not _same_owners(before, obj)):
            self._unlink(kind, key, before)
        if event.type == "DELETED":
            self._objects[kind].pop(key, None)
        else:
            self._objects[kind][key] = obj
            self._link(kind, key, obj)
        for subscriber in self._subscribers:
            subscriber(event, before)

    def _link(self, kind: Kind, key: ObjectKey, obj: Obj) -> None:
        self._owned[kind][_owner_uid(obj)][key] = obj
        for reference in obj["metadata"].get("ownerReferences") or ():
            self._dependents[kind][reference["uid"]][key] = obj

    def _unlink(self, kind: Kind, key: ObjectKey, obj: Obj) -> None:
        _discard(self._owned[kind], _owner_uid(obj), key)
        for reference in obj["metadata"].get("ownerReferences") or ():
            _discard(self._dependents[kind], reference["uid"], key)

    def _advance(self, kind: Kind, revision: Revision) -> None:
        if revision > self._seen[kind]:
            self._seen[kind] = revision
        self._moved.set()
        self._moved.clear()


def _owner_uid(obj: Obj) -> str:
    owner = controller_of(obj)
    return _NOBODY if owner is None else owner["uid"]


def _same_owners(one: Obj, other: Obj) -> bool:
    references = one["metadata"].get("ownerReferences")
    return bool(references == other["metadata"].get("ownerReferences"))


def _discard(index: _Index, uid: str, key: ObjectKey) -> None:
    """Take one key out of an index; an owner without keys leaves it."""
    if (held := index.get(uid)) is not None:
        held.pop(key, None)
        if not held:
            del index[uid]
