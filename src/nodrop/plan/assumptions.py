"""What a plan takes for granted about the applications it can't run; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nodrop.model.meta import ObjectKey

#: An application that never serves: no plan looks further ahead than this.
NEVER_S = 1e9

Version = Literal["old", "new"]


@dataclass(frozen=True, slots=True)
class StartUp:
    """From exec to the first request that a container can answer, in seconds.

    The n-th container of a Deployment takes ``seconds[n % len(seconds)]``; ``source`` says where
    the numbers are from.
    """

    seconds: tuple[float, ...]
    source: str

    def __str__(self) -> str:
        low, high = min(self.seconds), max(self.seconds)
        least, most = f"{low:.3g}", f"{high:.3g}"
        span = f"{least} s" if least == most else f"{least}–{most} s"
        return f"{span} ({self.source})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumptions:
    """Times in seconds. ``observed`` start-up times of Deployments go before ``startup``.

    A pod that is taken out of traffic still has requests in hand for ``request_s``, unless
    ``requests_per_s`` (over all pods) is 0. ``term_s`` passes from SIGTERM to the end of a
    container, ``hook_s`` in an exec or HTTP hook, ``init_s`` in an init container.
    ``runtime_s`` and ``proxy_s`` are how long a start and a change of the routing table take.
    """

    startup: StartUp = StartUp((5.0,), "assumed")
    observed: Mapping[ObjectKey, StartUp] = field(default_factory=dict)
    request_s: float = 0.2
    requests_per_s: float = 10.0
    term_s: float = 0.2
    hook_s: float = 1.0
    init_s: float = 1.0
    runtime_s: float = 0.02
    proxy_s: float = 0.005

    def startup_of(self, deployment: ObjectKey | None) -> StartUp:
        if deployment is None:
            return self.startup
        return self.observed.get(deployment, self.startup)

    @property
    def drain_s(self) -> float:
        """How long a pod that gets no more requests has some in hand."""
        return self.request_s if self.requests_per_s > 0 else 0.0
