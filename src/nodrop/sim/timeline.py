"""The timeline of a run: what happened when, as stable text.

Two runs of one scenario have the same timeline, byte for byte; a difference is a bug.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Entry:
    """``who`` did ``what`` at virtual second ``at_s``, and ``why``."""

    at_s: float
    who: str
    what: str
    why: str = ""

    def __str__(self) -> str:
        line = f"{self.at_s:10.3f}  {self.who:<13} {self.what}"
        return f"{line}  ({self.why})" if self.why else line


@dataclass(slots=True)
class Timeline:
    """Collects entries; ``time`` is the loop's."""

    time: Callable[[], float]
    entries: list[Entry] = field(default_factory=list)

    def add(self, who: str, what: str, why: str = "") -> None:
        self.entries.append(Entry(self.time(), who, what, why))

    def lines(self) -> Iterator[str]:
        return map(str, self.entries)

    def text(self) -> str:
        return "\n".join(self.lines()) + "\n"

    def digest(self) -> str:
        """SHA-256 of the text: equal digests mean equal runs."""
        return hashlib.sha256(self.text().encode()).hexdigest()
