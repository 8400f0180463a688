"""Names of signals as `lifecycle.stopSignal` takes them: SIGTERM, SIGRTMIN+3, SIGRTMAX-2; pure."""

from __future__ import annotations

import re
from signal import Signals

_REAL_TIME = re.compile(r"(SIGRTMIN\+|SIGRTMAX-)([1-9][0-9]?)")
_MOST_ABOVE_MIN, _MOST_BELOW_MAX = 15, 14  # upstream's names meet in the middle


def signal_number(name: str) -> int | None:
    """The number on this machine; None for what names no signal.

    >>> signal_number("SIGTERM"), signal_number("SIGRTMIN+3") - signal_number("SIGRTMIN")
    (<Signals.SIGTERM: 15>, 3)
    """
    if (known := Signals.__members__.get(name)) is not None:
        return known
    if (found := _REAL_TIME.fullmatch(name)) is None:
        return None
    steps = int(found[2])
    if found[1] == "SIGRTMIN+":
        return Signals.SIGRTMIN + steps if steps <= _MOST_ABOVE_MIN else None
    return Signals.SIGRTMAX - steps if steps <= _MOST_BELOW_MAX else None
