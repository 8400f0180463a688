"""Lists in pages: every page of a list shows one revision, named in the continue token."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from nodrop.client.protocol import Page, Scope
from nodrop.model.errors import ApiError, bad_request, expired
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, Revision
from nodrop.registry.selectors import is_filtered, matcher
from nodrop.store.protocol import Expired, Store


class Token(msgspec.Struct, frozen=True, array_like=True):
    """Where a list goes on: behind the object ``namespace``/``name``, at ``revision``."""

    revision: int
    namespace: str
    name: str

    def encode(self) -> str:
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")


def decode_token(text: str) -> Token:
    """Read a continue token. Raises 400 when it is none of ours."""
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Token)
    except (msgspec.DecodeError, binascii.Error, ValueError) as error:
        raise bad_request(f"continue key is not valid: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """``limit`` 0 = all. ``at`` None = the latest revision."""

    limit: int = 0
    continue_token: str = ""
    at: Revision | None = None


def list_page(store: Store, kind: Kind, scope: Scope, request: PageRequest) -> Page:
    """One page of ``kind``. Raises 400 for a bad token or field, 410 when its revision is gone."""
    matches = matcher(kind, scope)
    token = decode_token(request.continue_token) if request.continue_token else None
    at = Revision(token.revision) if token else request.at
    found = _objects(store, kind, scope, at, continued=token is not None)
    if is_filtered(scope):
        found = [obj for obj in found if matches(obj)]
    if token:
        found = [obj for obj in found if _position(obj) > (token.namespace, token.name)]
    return _cut(found, request.limit, store.revision if at is None else at, is_filtered(scope))


def _objects(
    store: Store, kind: Kind, scope: Scope, at: Revision | None, *, continued: bool
) -> Sequence[Obj]:
    if at is not None and at > store.revision:
        message = f"Too large resource version: {at}, current: {store.revision}"
        raise ApiError(504, "Timeout", message, {"retryAfterSeconds": 1})
    try:
        return [one.obj for one in store.list(kind, namespace=scope.namespace, at=at)]
    except Expired as error:
        if continued:
            raise ApiError(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter.",
            ) from error
        raise expired(error.oldest, error.asked) from error


def _cut(found: Sequence[Obj], limit: int, revision: Revision, filtered: bool) -> Page:
    if limit <= 0 or len(found) <= limit:
        return Page(tuple(found), revision)
    items = tuple(found[:limit])
    token = Token(revision, *_position(items[-1])).encode()
    remaining = None if filtered else len(found) - limit
    return Page(items, revision, token, remaining)


def _position(obj: Obj) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("namespace", ""), meta["name"]
