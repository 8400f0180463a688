"""Answers of an API server, decoded: errors, list items, watch lines, deletes; pure."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec

from nodrop.client.protocol import WatchEvent
from nodrop.model.errors import ApiError
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, Revision, revision_of


class RawEvent(msgspec.Struct, frozen=True):
    """One line of a watch, bookmarks included."""

    type: str
    obj: Obj
    revision: Revision


def raw_event(kind: Kind, line: bytes) -> RawEvent:
    """Decode one line. Raises the ApiError that an ERROR event carries."""
    event: dict[str, Any] = msgspec.json.decode(line)
    obj: Obj = event["object"]
    if event["type"] == "ERROR":
        raise ApiError.from_status(obj)
    return RawEvent(event["type"], complete(kind, obj), revision_of(obj))


def as_watch_event(event: RawEvent) -> WatchEvent:
    """A change; bookmarks are none and have been dealt with before."""
    match event.type:
        case "ADDED" | "MODIFIED" | "DELETED":
            return WatchEvent(event.type, event.obj, event.revision)
    raise ApiError(500, "InternalError", f"unknown watch event type {event.type!r}")


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of any length: aiohttp's readline has a limit that large objects exceed."""
    kept: list[bytes] = []
    async for chunk in chunks:
        *whole, rest = chunk.split(b"\n")
        for line in whole:
            yield b"".join([*kept, line])
            kept.clear()
        kept.append(rest)


def failure_of(code: int, body: bytes) -> ApiError:
    """The ApiError in an answer; a body that is no Status is quoted."""
    try:
        status = msgspec.json.decode(body)
        if isinstance(status, dict) and status.get("kind") == "Status":
            return ApiError.from_status({"code": code, **status})
    except msgspec.DecodeError:
        pass  # a proxy's own error page; quoted below
    return ApiError(code, "Unknown", body.decode("utf-8", "replace").strip()[:500] or str(code))


def complete(kind: Kind, obj: Obj) -> Obj:
    """``obj`` with apiVersion and kind, which clusters leave out of list items."""
    if "kind" in obj:
        return obj
    return {"apiVersion": kind.api_version, "kind": kind.kind, **obj}


def if_it_lives_on(answer: Obj) -> Obj | None:
    """A DELETE answers with a Status or the last state of what is gone; what lives is marked."""
    if answer.get("kind") == "Status":
        return None
    meta = answer["metadata"]
    lives = meta.get("deletionTimestamp") and (
        meta.get("finalizers") or meta.get("deletionGracePeriodSeconds")
    )
    return answer if lives else None
