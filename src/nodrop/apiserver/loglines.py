"""Stored log lines into what a client sees; pure.

A stored line is ``<RFC 3339 time> stdout|stderr F|P <text>``. F ends a line of the program, P is
a part that the next entry continues.
"""

from __future__ import annotations

from datetime import datetime

from nodrop.model.meta import parse_time

_TIME_DIGITS = 26  # 2026-11-23T10:00:00.123456, without what is finer than a microsecond


class Formatter:
    """Turns chunks of a log file into chunks of output. Keeps what is cut in mid-line."""

    def __init__(
        self, *, timestamps: bool, since: datetime | None, stream: str | None = None
    ) -> None:
        self._timestamps = timestamps
        self._stream = stream.encode() if stream else b""
        self._since = since
        self._cut = b""
        self._inside_line = False

    def feed(self, chunk: bytes) -> bytes:
        """The output for all stored lines that are complete now."""
        *lines, self._cut = (self._cut + chunk).split(b"\n")
        return b"".join(self._shown(line) for line in lines)

    def _shown(self, line: bytes) -> bytes:
        parts = line.split(b" ", 3)
        if len(parts) < 3 or parts[2] not in (b"F", b"P"):
            return line + b"\n"  # not written by us; better shown than hidden
        time, stream, tag = parts[:3]
        if self._stream and stream != self._stream:
            return b""
        text = parts[3] if len(parts) == 4 else b""
        if self._since is not None:
            if stored_time(time) < self._since:
                return b""
            self._since = None  # lines are in the order of time
        stamp = time + b" " if self._timestamps and not self._inside_line else b""
        self._inside_line = tag == b"P"
        return stamp + text + (b"" if self._inside_line else b"\n")


def stored_time(text: bytes) -> datetime:
    """The time at the head of a stored line, cut to microseconds."""
    digits = text.decode("ascii", "replace")
    plain, dot, fraction = digits.removesuffix("Z").partition(".")
    if digits.endswith("Z"):
        return parse_time(f"{plain}{dot}{fraction[:6]}"[:_TIME_DIGITS] + "Z")
    return parse_time(digits)


def tail_offset(block: bytes, lines: int) -> tuple[int, int]:
    """Where the last ``lines`` lines of ``block`` start, and how many lines were found.

    The newline that ends the block ends a line, it doesn't start one. With fewer lines in the
    block the offset is 0.
    """
    at, found = len(block), 0
    if lines == 0:
        return at, 0
    end = len(block) - 1 if block.endswith(b"\n") else len(block)
    while found < lines:
        newline = block.rfind(b"\n", 0, end)
        if newline < 0:
            return 0, found + (1 if end > 0 or block else 0)
        found += 1
        at, end = newline + 1, newline
    return at, found
