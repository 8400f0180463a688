"""How a simulated application behaves; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: ``finish``: end once the requests in flight are over; ``die``: at once; ``ignore``: go on.
OnTerm = Literal["finish", "die", "ignore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One version of an application. Seconds are virtual.

    ``start_s`` passes from exec to the first request it can answer; ``jitter`` is the part of it
    that differs from container to container. ``term_s`` passes from SIGTERM to its end where it
    finishes, ``hook_s`` in its hooks. ``crash_after_s`` ends each run with ``crash_code``,
    ``deaf_after_s`` makes liveness probes fail, ``unready_after_s`` readiness probes, for
    ``unready_for_s``. ``refusal`` makes it impossible to start. ``listens`` False: an init
    container or a sidecar, which no request or probe is meant for.
    """

    start_s: float = 1.0
    jitter: float = 0.0
    never_ready: bool = False
    unready_after_s: float | None = None
    unready_for_s: float = 0.0
    crash_after_s: float | None = None
    crash_code: int = 1
    deaf_after_s: float | None = None
    on_term: OnTerm = "finish"
    term_s: float = 0.5
    hook_s: float = 0.5
    exit_code: int = 0
    refusal: str = ""
    listens: bool = True

    @property
    def well(self) -> bool:
        """Whether it becomes ready, and stays so while nobody ends it."""
        return not (
            self.never_ready
            or self.refusal
            or self.unready_after_s is not None
            or self.crash_after_s is not None
            or self.deaf_after_s is not None
        )
