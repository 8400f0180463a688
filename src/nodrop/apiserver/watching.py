"""Watch streams: registry events as chunked JSON lines, bookmarks, and how a watch ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing

from aiohttp import web

from nodrop.apiserver.parameters import ListOptions
from nodrop.apiserver.reader import Reader
from nodrop.apiserver.rendering import (
    PlainRendering,
    Rendering,
    encode,
    event_line,
)
from nodrop.client.protocol import WatchEvent
from nodrop.model.errors import ApiError
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, Revision
from nodrop.registry.interface import Events, Registry

_BOOKMARK_EVERY_S = 60.0
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_REMEMBERED_LINES = 256
#: How many events more one write takes along, and how large it grows: bounded, since each watcher
#: has a copy then, and an object may have a megabyte.
_MOST_AT_ONCE, _ENOUGH_BYTES = 127, 256 * 1024
#: How many turns of the loop an event may take from its commit to our iterator.
_TURNS = 10


class LineCache:
    """The latest watch lines, encoded once for all watchers of plain objects.

    A revision belongs to one change of one object; the object is compared as well, because an
    object that leaves one watcher's scope is DELETED for it and MODIFIED for others.
    """

    def __init__(self) -> None:
        self._lines: dict[tuple[Revision, str], tuple[Obj, bytes]] = {}

    def line(self, event: WatchEvent) -> bytes:
        key = (event.revision, event.type)
        known = self._lines.get(key)
        if known is not None and known[0] is event.obj:
            return known[1]
        line = event_line(event.type, encode(event.obj))
        self._lines[key] = (event.obj, line)
        if len(self._lines) > _REMEMBERED_LINES:
            del self._lines[next(iter(self._lines))]
        return line


class WatchStream:
    """One watch of one client."""

    def __init__(
        self, registry: Registry, kind: Kind, rendering: Rendering, lines: LineCache
    ) -> None:
        self._registry = registry
        self._kind = kind
        self._rendering = rendering
        self._lines = lines
        #: Up to where all has been handed to the connection; None before the initial list is whole.
        self._through: Revision | None = None

    async def run(self, request: web.Request, options: ListOptions) -> web.StreamResponse:
        """Answer ``request`` until its time is up or its client is gone."""
        # An ApiError before the first byte is an ordinary answer.
        first, since = self._start(options)
        marked = since if options.initial_events and options.bookmarks else None
        events = self._registry.watch(self._kind, options.scope, since=since)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        reader, transport = Reader(response), request.transport
        assert transport is not None, "it has just been written to"
        try:
            with reader.or_cut(transport.abort):
                await self._answer(reader, options, first, since, marked, events)
        except ConnectionResetError:
            pass  # the client has gone
        return response

    async def _answer(
        self,
        reader: Reader,
        options: ListOptions,
        first: tuple[Obj, ...],
        since: Revision,
        marked: Revision | None,
        events: Events,
    ) -> None:
        """All of the answer's body. Raises ConnectionResetError."""
        try:
            async with asyncio.timeout(options.timeout_s):
                await self._send_first(reader, first, marked)
                self._through = since
                await self._pump(reader, events, bookmarks=options.bookmarks)
        except TimeoutError:  # what was still queued is gone: the next watch has to begin there
            if options.bookmarks and self._through is not None:
                await self._mark(reader, self._through)
        except ApiError as error:
            await reader.send(self._rendering.event("ERROR", error.to_status()))
        except asyncio.CancelledError:  # the engine ends, or the client has gone
            await reader.end_in_time()
            raise
        await reader.end()

    def _start(self, options: ListOptions) -> tuple[tuple[Obj, ...], Revision]:
        """What to send as ADDED first, and the revision to go on from.

        Unset and 0 mean "from the state as it is"; both get the latest.
        """
        latest = self._registry.revision()
        if options.initial_events is False:
            return (), options.revision or latest
        if options.initial_events and (options.revision or 0) > latest:
            raise from_the_future(options.revision or latest, latest)
        if options.revision and options.initial_events is None:
            return (), options.revision
        page = self._registry.list(self._kind, options.scope)
        return page.items, page.revision

    async def _send_first(
        self, reader: Reader, first: tuple[Obj, ...], marked: Revision | None
    ) -> None:
        """The state as it is; at ``marked`` a bookmark says that this was all of it.

        It goes out in writes that are bounded, the next one made when the client has taken the one
        before: 20 watchers of 5,000 objects (4 kB) that read nothing cost 16 MiB, at once 1.1 GiB.
        """
        for lines in _bounded(self._first_lines(first, marked)):
            await reader.send(lines)
            await asyncio.sleep(0)  # a client that takes all at once never makes us wait

    def _first_lines(self, first: tuple[Obj, ...], marked: Revision | None) -> Iterator[bytes]:
        for obj in first:
            yield self._rendering.event("ADDED", obj)
        if marked is not None:
            bookmark = self._bookmark_at(marked)
            bookmark["metadata"]["annotations"] = {_INITIAL_EVENTS_END: "true"}
            yield self._rendering.event("BOOKMARK", bookmark)

    async def _pump(
        self,
        reader: Reader,
        events: Events,
        *,
        bookmarks: bool,
    ) -> None:
        failure: BaseException | None = None
        try:
            async with asyncio.TaskGroup() as group:
                if bookmarks:
                    ticking = group.create_task(self._bookmarks(reader), name="bookmarks")
                await self._forward(reader, events)
                if bookmarks:
                    ticking.cancel()
        except* (ApiError, ConnectionResetError) as failures:
            failure = failures.exceptions[0]  # raised here, Python 3.11.2 would wrap it again
        if failure is not None:
            raise failure

    async def _forward(self, reader: Reader, events: Events) -> None:
        """Whoever lags gets what has come meanwhile in one write: each costs a TLS record."""
        shared = isinstance(self._rendering, PlainRendering)
        line = self._lines.line if shared else self._line
        async with aclosing(events):
            async for event in events:
                lines, self._through = _lines_at_once(event, events, line)
                await reader.send(b"".join(lines))

    def _line(self, event: WatchEvent) -> bytes:
        return self._rendering.event(event.type, event.obj)

    async def _bookmarks(self, reader: Reader) -> None:
        while True:
            await asyncio.sleep(_BOOKMARK_EVERY_S)
            await self._bookmark(reader)

    async def _bookmark(self, reader: Reader) -> None:
        """Tell a revision up to which this client has had everything.

        Commits reach a watcher's queue at once, and its iterator within a few turns of the loop;
        so after those turns all events up to the revision read first have been written, unless a
        write waits for a client that lags: it is told later.
        """
        revision = self._registry.revision()
        for _ in range(_TURNS):
            await asyncio.sleep(0)
        if not reader.lags:
            # An event may have come meanwhile: no bookmark takes back what one has said.
            self._through = max(revision, self._through or revision)
            await self._mark(reader, self._through)

    async def _mark(self, reader: Reader, revision: Revision) -> None:
        await reader.send(self._rendering.event("BOOKMARK", self._bookmark_at(revision)))

    def _bookmark_at(self, revision: Revision) -> Obj:
        return {
            "kind": self._kind.kind,
            "apiVersion": self._kind.api_version,
            "metadata": {"resourceVersion": str(revision), "creationTimestamp": None},
        }


def _lines_at_once(
    first: WatchEvent, events: Events, line: Callable[[WatchEvent], bytes]
) -> tuple[list[bytes], Revision]:
    """The lines of an event and of those that are here already, as far as one write may take
    them along, and the last one's revision.
    """
    lines, revision = [line(first)], first.revision
    size_bytes = len(lines[0])
    for _ in range(_MOST_AT_ONCE):
        if size_bytes >= _ENOUGH_BYTES or not (more := events.waiting(1)):
            break
        lines.append(line(more[0]))
        revision = more[0].revision
        size_bytes += len(lines[-1])
    return lines, revision


def _bounded(lines: Iterator[bytes]) -> Iterator[bytes]:
    """``lines`` joined to writes of the same bounds."""
    held: list[bytes] = []
    size_bytes = 0
    for line in lines:
        held.append(line)
        size_bytes += len(line)
        if size_bytes >= _ENOUGH_BYTES or len(held) > _MOST_AT_ONCE:
            yield b"".join(held)
            held, size_bytes = [], 0
    if held:
        yield b"".join(held)


def from_the_future(asked: Revision, latest: Revision) -> ApiError:
    """The error for a revision that does not exist yet."""
    message = f"Too large resource version: {asked}, current: {latest}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return ApiError(504, "Timeout", message, {"causes": [cause], "retryAfterSeconds": 1})
