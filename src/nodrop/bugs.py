"""What happens when a part of ours raises what it never should: a bug, not a failure.

Simulator and tests raise it again, so that it fails the run. The engine writes it down and goes
on: one object that we read wrongly must not end the control plane of all others.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

log = logging.getLogger(__name__)

#: Called inside the ``except`` with what was being done and what was raised; may raise it again.
OnBug = Callable[[str, BaseException], None]


def raise_bug(_where: str, bug: BaseException) -> None:
    """For tests and the simulator."""
    raise bug


class BugLog:
    """For the engine: every bug once with its traceback, then at its 10th, 100th, 1000th … time.

    ``count`` is how often anything was met.
    """

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    @property
    def count(self) -> int:
        return self._seen.total()

    def __call__(self, where: str, bug: BaseException) -> None:
        signature = (where, repr(bug))
        self._seen[signature] += 1
        times = self._seen[signature]
        if times == 1:
            log.error("%s: unforeseen: %r; going on without it", where, bug, exc_info=bug)
        elif str(times).strip("0") == "1":
            log.error("%s: unforeseen for the %dth time: %r", where, times, bug)
