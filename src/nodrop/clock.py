"""Wall time as an argument. Waiting follows the event loop, never this clock."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """Tells wall time, always with a zone (UTC)."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)  # noqa: TID251 - the one place that asks the machine
