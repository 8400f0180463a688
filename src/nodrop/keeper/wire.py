"""Newline-delimited JSON between the keeper and its clients; both sides use this module.

A request is ``{"id": n, "op": name, "args": {…}}``; its answer is ``{"id": n, "result": …}`` or
``{"id": n, "error": {"code": …, "message": …}}``. Answers come in any order.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PROTOCOL = 2  # 2: mounts
#: The oldest keeper that this version can work with: a keeper stays while everything else is
#: upgraded. Raise it only where an older one really can't do what is needed.
OLDEST_PROTOCOL = 2
MAX_LINE_BYTES = 8 * 1024 * 1024


class LineTooLong(Exception):
    """The other side sent a line beyond ``MAX_LINE_BYTES``."""


class Lines:
    """Cuts a byte stream into complete lines and keeps the half one."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        self._rest += data
        if b"\n" not in data:
            if len(self._rest) > MAX_LINE_BYTES:
                raise LineTooLong(f"a line of more than {MAX_LINE_BYTES} bytes")
            return []
        *lines, rest = bytes(self._rest).split(b"\n")
        self._rest = bytearray(rest)
        return lines


def encode(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Raise ValueError where the line is not a JSON object."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError("a message must be a JSON object")
    return message
