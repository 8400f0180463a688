"""What the API server streams to clients besides watches: the logs of containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from nodrop.model.meta import Obj


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """corev1.PodLogOptions; None = not asked for."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since_s: int | None = None
    since_time: datetime | None = None
    tail_lines: int | None = None
    limit_bytes: int | None = None


class LogSource(Protocol):
    """Gives the log of one container as a client sees it."""

    def open(self, pod: Obj, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of log text.

        Raises ApiError 400 at once (not at the first step) when there is no such log. With
        ``follow`` it ends when the container has ended and all of its log has been given.
        """
        ...
