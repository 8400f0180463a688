"""Resource quantities: ``500m``, ``1.5``, ``64Mi``; pure."""

from __future__ import annotations

import re
from decimal import Decimal

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(\d+(\.\d*)?|\.\d+))(?P<suffix>[KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?"
)
_POWERS = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def is_quantity(amount: object) -> bool:
    """Whether ``amount`` is a number or a text that Kubernetes reads as a quantity."""
    if isinstance(amount, bool):
        return False
    if isinstance(amount, int | float):
        return True
    return isinstance(amount, str) and _QUANTITY.fullmatch(amount) is not None


def parse_quantity(amount: int | float | str) -> Decimal:
    """``parse_quantity("64Mi") == 67108864``. Raises ValueError when it is no quantity."""
    found = _QUANTITY.fullmatch(str(amount))
    if found is None:
        raise ValueError(f"{amount!r} is no quantity such as 500m, 1.5 or 64Mi")
    number, suffix = Decimal(found["number"]), found["suffix"] or ""
    if suffix in _BINARY:
        return number * (1 << _BINARY[suffix])
    if suffix in _POWERS:
        return number.scaleb(_POWERS[suffix])
    return number.scaleb(int(suffix[1:])) if suffix else number
