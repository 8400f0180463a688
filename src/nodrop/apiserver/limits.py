"""How much one user may ask of the API server: requests a second, and watches at a time.

The owner of the engine is trusted with the machine and is bound only by what it can do; everybody
else gets a share that kubectl, dashboards and operators stay far below.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nodrop.model.errors import ApiError
from nodrop.model.rbac import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Requests a second (on average, and at once after a rest), and open watches."""

    requests_per_s: float = 100.0
    burst: float = 200.0
    watches_of_one: int = 200
    watches_of_all: int = 2000


@dataclass(slots=True)
class Allowance:
    """What is left of a user's requests: a token bucket, filled as time passes (pure)."""

    left: float
    at_s: float

    def take(self, now_s: float, limits: Limits) -> float:
        """Take one request; returns how many seconds are missing until there is one (0: taken)."""
        gained = max(0.0, now_s - self.at_s) * limits.requests_per_s
        self.left, self.at_s = min(limits.burst, self.left + gained), now_s
        if self.left < 1:
            return (1 - self.left) / limits.requests_per_s
        self.left -= 1
        return 0.0


@dataclass(slots=True)
class Gate:
    """Counts what users do at the moment."""

    limits: Limits = field(default_factory=Limits)
    _allowances: dict[str, Allowance] = field(default_factory=dict)
    _watches: Counter[str] = field(default_factory=Counter)

    def admit(self, user: User, now_s: float) -> None:
        """Count a request at ``now_s`` of the event loop. Raises 429 with Retry-After."""
        if user.is_master:
            return
        allowance = self._allowances.setdefault(user.name, Allowance(self.limits.burst, now_s))
        if missing_s := allowance.take(now_s, self.limits):
            raise _too_many(
                f'user "{user.name}" asks more than {self.limits.requests_per_s:g} times a second',
                missing_s,
            )

    @contextmanager
    def watching(self, user: User) -> Iterator[None]:
        """Count a watch while it lasts. Raises 429 when there are too many."""
        total = self._watches.total()
        if total >= self.limits.watches_of_all:
            raise _too_many(f"{total} watches are open, which is the most there may be", 1)
        if not user.is_master and self._watches[user.name] >= self.limits.watches_of_one:
            most = self.limits.watches_of_one
            raise _too_many(f'user "{user.name}" has {most} watches open, which is the most', 1)
        self._watches[user.name] += 1
        try:
            yield
        finally:
            self._watches[user.name] -= 1
            if not self._watches[user.name]:
                del self._watches[user.name]


# Private


def _too_many(why: str, retry_after_s: float) -> ApiError:
    seconds = max(1, round(retry_after_s + 0.5))
    message = f"Too many requests: {why}; try again in {seconds} s"
    return ApiError(429, "TooManyRequests", message, {"retryAfterSeconds": seconds})
