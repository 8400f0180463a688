"""The shape of a column, and the ages and lists that cells are written with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from nodrop.model.meta import Obj, parse_time

Cell: TypeAlias = str | int
#: Gives the cells of one object, in the order of its kind's columns.
Cells: TypeAlias = Callable[[Obj, datetime], list[Cell]]

NONE = "<none>"
UNKNOWN = "<unknown>"
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_YEAR = 365 * _DAY


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``wide`` ones appear with ``-o wide`` only (priority 1)."""

    name: str
    wide: bool = False
    type: str = "string"

    def definition(self) -> Obj:
        return {
            "name": self.name,
            "type": self.type,
            "format": "name" if self.name == "Name" else "",
            "description": "",
            "priority": 1 if self.wide else 0,
        }


def age(since: str | None, now: datetime) -> str:
    """How long ago, as kubectl prints it; ``<unknown>`` without a time."""
    if not since:
        return UNKNOWN
    return human_duration((now - parse_time(since)).total_seconds())


def object_age(obj: Obj, now: datetime) -> str:
    return age(obj["metadata"].get("creationTimestamp"), now)


def human_duration(duration_s: float) -> str:
    """Two units at most, fewer the longer it is: ``90s``, ``3m5s``, ``45m``, ``5h20m``, ``2d3h``.

    Source: apimachinery's duration.HumanDuration, whose thresholds these are.
    """
    seconds = int(duration_s)
    if seconds < -1:
        return "<invalid>"
    if seconds < 2 * _MINUTE:
        return f"{max(0, seconds)}s"
    if seconds < 10 * _MINUTE:
        return _two(seconds, (_MINUTE, "m"), (1, "s"))
    if seconds < 3 * _HOUR:
        return f"{seconds // _MINUTE}m"
    if seconds < 8 * _HOUR:
        return _two(seconds, (_HOUR, "h"), (_MINUTE, "m"))
    if seconds < 48 * _HOUR:
        return f"{seconds // _HOUR}h"
    if seconds < 8 * _DAY:
        return _two(seconds, (_DAY, "d"), (_HOUR, "h"))
    if seconds < 2 * _YEAR:
        return f"{seconds // _DAY}d"
    if seconds < 8 * _YEAR:
        return _two(seconds, (_YEAR, "y"), (_DAY, "d"))
    return f"{seconds // _YEAR}y"


def joined(values: Iterable[object]) -> str:
    """``a,b``, or ``<none>``."""
    return ",".join(str(value) for value in values) or NONE


def first_few(values: Sequence[str], most: int = 3) -> str:
    """``a,b,c + 2 more...``."""
    text = ",".join(values[:most])
    more = len(values) - most
    return f"{text} + {more} more..." if more > 0 else text


# Private


def _two(seconds: int, large: tuple[int, str], small: tuple[int, str]) -> str:
    size, letter = large
    rest = seconds % size // small[0]
    return f"{seconds // size}{letter}" + (f"{rest}{small[1]}" if rest else "")
