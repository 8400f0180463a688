"""Which representation a client asked for, and objects, lists and watch events in it."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from nodrop.apiserver.tables import IncludeObject, partial_metadata, table
from nodrop.client.protocol import Page
from nodrop.clock import Clock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj

EventType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
Form = Literal["plain", "table", "metadata"]

_encoder = msgspec.json.Encoder()


class Rendering(Protocol):
    """One representation of objects of one kind."""

    def one(self, obj: Obj) -> bytes: ...

    def page(self, page: Page) -> bytes: ...

    def event(self, event_type: EventType, obj: Obj) -> bytes:
        """One line of a watch, with its newline."""
        ...


def encode(obj: object) -> bytes:
    return _encoder.encode(obj)


def event_line(event_type: EventType, encoded: bytes) -> bytes:
    """A watch line around an object that is encoded already."""
    return b'{"type":"%s","object":%s}\n' % (event_type.encode(), encoded)


def accepted_form(accept: str) -> Form:
    """The first of the acceptable forms that we have.

    Raises ApiError 406 when there is none, as with protobuf alone.
    """
    if not accept.strip():
        return "plain"
    for clause in accept.split(","):
        media, *rest = (part.strip() for part in clause.split(";"))
        if media not in ("application/json", "*/*", "application/*"):
            continue
        parameters = dict(part.partition("=")[::2] for part in rest)
        match parameters.get("as", ""), parameters.get("v", "v1"):
            case "Table", "v1":
                return "table"
            case (("PartialObjectMetadata" | "PartialObjectMetadataList"), "v1"):
                return "metadata"
            case "", _:
                return "plain"
    raise ApiError(
        406,
        "NotAcceptable",
        "only the following media types are accepted: application/json",
    )


class PlainRendering:
    """Objects as they are."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def one(self, obj: Obj) -> bytes:
        return _encoder.encode(obj)

    def page(self, page: Page) -> bytes:
        return _encoder.encode(
            {
                "kind": self._kind.list_kind,
                "apiVersion": self._kind.api_version,
                "metadata": _list_meta(page),
                "items": page.items,
            }
        )

    def event(self, event_type: EventType, obj: Obj) -> bytes:
        return event_line(event_type, _encoder.encode(obj))


class MetadataRendering:
    """Only the metadata of objects."""

    def one(self, obj: Obj) -> bytes:
        return _encoder.encode(partial_metadata(obj))

    def page(self, page: Page) -> bytes:
        return _encoder.encode(
            {
                "kind": "PartialObjectMetadataList",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": _list_meta(page),
                "items": [partial_metadata(obj) for obj in page.items],
            }
        )

    def event(self, event_type: EventType, obj: Obj) -> bytes:
        shown = obj if event_type in ("BOOKMARK", "ERROR") else partial_metadata(obj)
        return event_line(event_type, _encoder.encode(shown))


class TableRendering:
    """Rows with cells as of now; in a watch only the first event carries the columns."""

    def __init__(self, kind: Kind, include: IncludeObject, clock: Clock) -> None:
        self._kind = kind
        self._include = include
        self._clock = clock
        self._sent_columns = False

    def one(self, obj: Obj) -> bytes:
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return self._table((obj,), meta)

    def page(self, page: Page) -> bytes:
        return self._table(page.items, _list_meta(page))

    def event(self, event_type: EventType, obj: Obj) -> bytes:
        if event_type == "ERROR":
            return event_line(event_type, _encoder.encode(obj))
        meta = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        rows = () if event_type == "BOOKMARK" else (obj,)
        line = event_line(event_type, self._table(rows, meta, columns=not self._sent_columns))
        self._sent_columns = True
        return line

    def _table(self, objects: tuple[Obj, ...], meta: Obj, *, columns: bool = True) -> bytes:
        return _encoder.encode(
            table(
                self._kind,
                objects,
                self._clock.now(),
                include=self._include,
                columns=columns,
                metadata=meta,
            )
        )


def _list_meta(page: Page) -> Obj:
    meta: Obj = {"resourceVersion": str(page.revision)}
    if page.continue_token:
        meta["continue"] = page.continue_token
        if page.remaining is not None:
            meta["remainingItemCount"] = page.remaining
    return meta
