"""The users of an engine besides its owner: names, groups, and hashes of their tokens.

Tokens are 256 random bits, so one SHA-256 is enough: there is nothing to guess. The file is read
again when it has changed, so that ``nodrop user`` takes effect at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import msgspec

from nodrop.model.meta import format_time
from nodrop.model.rbac import User

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._@:-]{0,61}[A-Za-z0-9])?")
#: Names and groups that start like this mean something to the API server itself.
_RESERVED = "system:"


class _Entry(msgspec.Struct, frozen=True):
    groups: tuple[str, ...]
    token_sha256: str
    created: str


class BadUser(Exception):
    """The user can't be added or removed; the message says why."""


@dataclass(slots=True)
class Users:
    """The users in one file (0600)."""

    path: Path
    _seen: tuple[int, int] | None = None
    _known: Mapping[str, _Entry] = field(default_factory=dict)

    def by_token(self, token: str) -> User | None:
        """Whose token it is, or None. Costs the same however much of a token is right."""
        if not token:
            return None
        digest = _digest(token)
        for name, entry in self._entries().items():
            if secrets.compare_digest(entry.token_sha256, digest):
                return User(name, entry.groups)
        return None

    def all(self) -> dict[str, User]:
        return {name: User(name, entry.groups) for name, entry in self._entries().items()}

    def add(self, name: str, groups: tuple[str, ...], now: datetime) -> str:
        """Add a user, or give one a new token; returns the token. Raises BadUser."""
        for what, value in (("the name", name), *(("the group", group) for group in groups)):
            if value.startswith(_RESERVED):
                raise BadUser(f"{what} {value!r} starts with {_RESERVED!r}, which is reserved")
            if not _NAME.fullmatch(value):
                raise BadUser(
                    f"{what} {value!r} is not 1 to 63 letters, digits and . _ @ : - inside"
                )
        token = secrets.token_urlsafe(32)
        entry = _Entry(groups, _digest(token), format_time(now))
        self._write({**self._entries(), name: entry})
        return token

    def remove(self, name: str) -> None:
        """Raises BadUser when there is none of this name."""
        left = dict(self._entries())
        if left.pop(name, None) is None:
            known = ", ".join(sorted(left)) or "none"
            raise BadUser(f"there is no user {name!r}; there are: {known}")
        self._write(left)

    # Private

    def _entries(self) -> Mapping[str, _Entry]:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return {}
        seen = (found.st_mtime_ns, found.st_ino)
        if seen != self._seen:
            self._known = msgspec.json.decode(self.path.read_bytes(), type=dict[str, _Entry])
            self._seen = seen
        return self._known

    def _write(self, entries: Mapping[str, _Entry]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(entries))
        new.replace(self.path)


# Private


def _digest(token: str) -> str:
    # aiohttp hands on bytes that are no UTF-8 as half surrogates: they match no token.
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
