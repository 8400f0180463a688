"""The Prober protocol: ask one target once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from nodrop.agent.plan.probes import Outcome, Target


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One answer. ``answered`` tells a refusal by the application from a broken transport;
    ``refused``: nothing listens there, so the application was not touched; ``warning`` is worth
    an Event although the probe succeeded."""

    outcome: Outcome
    message: str = ""
    answered: bool = True
    refused: bool = False
    warning: str = ""


SUCCESS = ProbeResult("success")


class Prober(Protocol):
    """Asks a target. A failing target is a result, never an exception."""

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult: ...
