"""IntOrString: numbers that a manifest may give as a count or as a percentage; pure."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_PERCENT = re.compile(r"[0-9]+%")
Rounding = Literal["up", "down"]


class Fenceposts(NamedTuple):
    """How many pods a rolling update may add, and how many may be missing."""

    surge: int
    unavailable: int


def is_percent(value: object) -> bool:
    """Whether ``value`` is a string such as ``"25%"``."""
    return isinstance(value, str) and _PERCENT.fullmatch(value) is not None


def resolve(value: int | str, total: int, rounding: Rounding) -> int:
    """``value`` as a count out of ``total``; a percentage is rounded ``up`` or ``down``.

    Integer arithmetic, so that 10 % of 10 is 1 and not 1.0000000000000002 rounded up to 2:
    ``resolve("25%", 10, "up") == 3`` and ``resolve("25%", 10, "down") == 2``.
    Raises ValueError for a string that is no percentage.
    """
    if isinstance(value, int):
        return value
    if not is_percent(value):
        raise ValueError(f"{value!r} is neither a whole number nor a percentage such as '25%'")
    hundredths = int(value[:-1]) * total
    return -(-hundredths // 100) if rounding == "up" else hundredths // 100


def resolve_fenceposts(
    max_surge: int | str, max_unavailable: int | str, replicas: int
) -> Fenceposts:
    """The pods that a rolling update of ``replicas`` may add and may miss.

    Surge is rounded up, unavailable down. If both come to 0 the rollout could never move, so
    unavailable becomes 1; it is never more than ``replicas`` (semantics 1.2):

    - 25 % and 25 % of 1: surge 1, unavailable 0
    - 25 % and 25 % of 10: surge 3, unavailable 2
    - surge 0 and unavailable 1 % of 3: surge 0, unavailable 1
    - surge 0 and unavailable 5 of 3: surge 0, unavailable 3
    """
    surge = resolve(max_surge, replicas, "up")
    unavailable = resolve(max_unavailable, replicas, "down")
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Fenceposts(surge, min(unavailable, replicas))
