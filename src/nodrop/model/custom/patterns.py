"""Patterns of custom kinds, matched in time that grows with the value only. Pure.

Whoever may create a CustomResourceDefinition writes its patterns, and Python's own engine tries
some of them for years: ``(a+)+$`` against thirty letters would stop the control plane. RE2 never
goes back; Kubernetes reads patterns by the same syntax (Go's regexp), so that a definition that is
taken here is taken by a cluster.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2

#: Bytes times steps of the pattern: what RE2 may look at, at most, for the values of one object.
#: A second or so at worst; it mostly remembers what a letter leads to and needs far less.
_MOST_LOOKS = 300_000_000
#: What one compiled pattern may take, also for what it remembers.
_MOST_BYTES = 1 << 20


class PatternError(ValueError):
    """What RE2 can't read, or what grows too large."""


@dataclass(slots=True)
class Effort:
    """What is left for the values of one object."""

    left: int = _MOST_LOOKS

    def spend(self, looks: int) -> bool:
        """Whether that much is left."""
        self.left -= looks
        return self.left >= 0


def check_pattern(pattern: str) -> None:
    """Raises PatternError for a pattern that can't be matched."""
    _compiled(pattern)


def mismatch(pattern: str, value: str, effort: Effort) -> str:
    """Why ``value`` doesn't match ``pattern`` anywhere; empty when it does."""
    try:
        compiled = _compiled(pattern)
    except PatternError as error:
        return f"can't be matched with '{pattern}': {error}"
    found = value.encode("utf-8", "surrogatepass")  # JSON may hold half a pair
    # A group that has a name is captured all the same.
    if not effort.spend(len(found) * compiled.programsize * (1 + compiled.groups)):
        return f"can't be matched with '{pattern}': the object's values are too long for it"
    return "" if compiled.search(found) else f"should match '{pattern}'"


# Private


@functools.lru_cache(maxsize=512)
def _compiled(pattern: str) -> re2._Regexp:
    import re2  # 3 MB that an engine without such kinds need not have

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_BYTES
    # What each parenthesis matched is found in another way: 40 s for 3,000 in 1,000 letters.
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        told = error.args[0]
        raise PatternError(told.decode() if isinstance(told, bytes) else str(told)) from error
    except UnicodeEncodeError as error:
        raise PatternError("half a surrogate pair in it") from error
