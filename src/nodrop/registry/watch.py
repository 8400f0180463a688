"""Watching: the hub hands every change to the streams that want it, in the same loop iteration."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from nodrop.client.protocol import Scope, WatchEvent
from nodrop.model.errors import expired
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, Revision
from nodrop.registry.selectors import matcher
from nodrop.store.protocol import Change, Expired, Store

#: Events a stream may lag behind. Far above any burst the engine makes within one loop iteration
#: (500 pods a sync, a few changes each), and small enough to bound memory for a stuck client.
QUEUE_LIMIT = 8_192


class WatchStream:
    """Events of one watch, an async iterator that ends with its kind.

    Cancelling a pending ``anext`` loses nothing, so a reader may use ``asyncio.wait_for`` on it.
    Events carry the stored objects themselves: treat them as immutable.
    """

    def __init__(
        self, hub: Hub, kind: Kind, scope: Scope, *, since: Revision, queue_limit: int
    ) -> None:
        self._hub = hub
        self._kind = kind
        self._matches = matcher(kind, scope)
        self._since = since
        self._queue_limit = queue_limit
        self._events: deque[WatchEvent] = deque()
        self._wakeup = asyncio.Event()
        self._number: int | None = None
        self._failure: Exception | None = None
        self._take: Callable[[WatchEvent], None] | None = None
        self._closed = False

    def __aiter__(self) -> WatchStream:
        return self

    async def __anext__(self) -> WatchEvent:
        if self._number is None and not self._closed:
            self._number = self._hub.join(self)
        while not self._events:
            if self._failure:
                raise self._failure
            if self._closed:
                raise StopAsyncIteration
            self._wakeup.clear()
            await self._wakeup.wait()
        return self._events.popleft()

    def waiting(self, most: int) -> list[WatchEvent]:
        """Take further events that are here already, for a reader that can use many."""
        return [self._events.popleft() for _ in range(min(most, len(self._events)))]

    def push_to(self, take: Callable[[WatchEvent], None]) -> None:
        """See nodrop.client.protocol.Pushes. Whoever changes something never hears of its failure:
        the change is stored, and the others have to be told."""
        self._take = take

    async def aclose(self) -> None:
        """End the stream; a reader that waits is released."""
        self._leave()
        self._closed = True
        self._events.clear()
        self._wakeup.set()

    def end(self) -> None:
        """No more events come: the reader gets what is here, and then the end."""
        self._leave()
        self._closed = True
        self._wakeup.set()

    @property
    def kind(self) -> Kind:
        return self._kind

    @property
    def since(self) -> Revision:
        return self._since

    @property
    def idle(self) -> bool:
        """True when the reader has everything up to the store's latest revision."""
        return self._number is not None and not self._events

    def offer(self, change: Change) -> None:
        """Take note of ``change`` if it is in scope; a full queue ends the stream with 410."""
        event = event_for(change, self._matches)
        if event is None:
            return
        if self._take is not None:
            try:
                self._take(event)
            except Exception as error:
                self._fail(error)
        elif len(self._events) >= self._queue_limit:
            self._fail(expired(change.revision, self._events[0].revision))
        else:
            self._events.append(event)
            self._wakeup.set()

    def _fail(self, error: Exception) -> None:
        self._failure = error
        self._events.clear()
        self._leave()
        self._wakeup.set()

    def _leave(self) -> None:
        if self._number is not None:
            self._hub.leave(self, self._number)


class Hub:
    """All open streams by kind, in the order in which they joined (so that runs repeat)."""

    def __init__(self, store: Store, *, queue_limit: int = QUEUE_LIMIT) -> None:
        self._store = store
        self._queue_limit = queue_limit
        self._numbers = itertools.count(1)
        # Weak: a stream that is dropped without aclose goes away by itself.
        self._streams: dict[Kind, weakref.WeakValueDictionary[int, WatchStream]] = {}

    def open(self, kind: Kind, scope: Scope, *, since: Revision) -> WatchStream:
        return WatchStream(self, kind, scope, since=since, queue_limit=self._queue_limit)

    def join(self, stream: WatchStream) -> int:
        """Give ``stream`` what it has missed, and everything from now on. Raises 410."""
        for change in self._missed(stream.kind, stream.since):
            stream.offer(change)
        number = next(self._numbers)
        self._streams.setdefault(stream.kind, weakref.WeakValueDictionary())[number] = stream
        return number

    def leave(self, stream: WatchStream, number: int) -> None:
        self._streams[stream.kind].pop(number, None)

    def publish(self, change: Change) -> None:
        for stream in list(self._streams.get(change.key.kind, {}).values()):
            stream.offer(change)

    def end(self, kind: Kind) -> None:
        """End all streams of a kind that is served no longer."""
        for stream in list(self._streams.get(kind, {}).values()):
            stream.end()

    def _missed(self, kind: Kind, since: Revision) -> Sequence[Change]:
        try:
            return self._store.after(since, kind)
        except Expired as error:
            raise expired(error.oldest, error.asked) from error


def event_for(change: Change, matches: Callable[[Obj], bool]) -> WatchEvent | None:
    """What a watcher of a scope sees of ``change``: entering is ADDED, leaving is DELETED.

    An object that leaves arrives as it last matched, with the revision at which it left.
    """
    matched = change.before is not None and matches(change.before)
    if change.type == "DELETED":
        return WatchEvent("DELETED", change.obj, change.revision) if matched else None
    if matches(change.obj):
        return WatchEvent("MODIFIED" if matched else "ADDED", change.obj, change.revision)
    if matched and change.before is not None:
        return WatchEvent("DELETED", _left(change.before, change.revision), change.revision)
    return None


def _left(obj: Obj, revision: Revision) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(revision)}}
