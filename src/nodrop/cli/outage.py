"""Whether the engine has stopped answering while something is followed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from nodrop.model.errors import ApiError

#: Failures further apart than this belong to different outages: watches are retried every 0.5 s.
_APART_S = 5.0


@dataclass(slots=True)
class Outage:
    """What failing watches say, taken together. Times are of one monotonic clock, in seconds."""

    error: ApiError | None = None
    _first_s: float = 0.0
    _last_s: float = 0.0

    def note(self, error: ApiError, now_s: float) -> None:
        """A watch has failed."""
        if self.error is None or self.over(now_s):
            self._first_s = now_s
        self.error, self._last_s = error, now_s

    def over(self, now_s: float) -> bool:
        """Whether nothing has failed for so long that the engine must be back."""
        return self.error is None or now_s - self._last_s > _APART_S

    def lasted_s(self, now_s: float) -> float:
        """For how long the engine has not answered; 0 when it does."""
        return 0.0 if self.over(now_s) else now_s - self._first_s
