"""Who watches the agent at work: metrics in the engine, nobody in a simulation."""

from __future__ import annotations

from typing import Literal, Protocol

from nodrop.agent.plan.probes import Outcome, ProbeKind

HookName = Literal["postStart", "preStop"]


class AgentObserver(Protocol):
    """Hears what happened, after it has; must neither wait nor raise."""

    def probed(self, kind: ProbeKind, outcome: Outcome, took_s: float) -> None: ...

    def hooked(self, hook: HookName, succeeded: bool, took_s: float) -> None: ...


class Unobserved:
    """An observer that keeps nothing."""

    def probed(self, kind: ProbeKind, outcome: Outcome, took_s: float) -> None:
        pass

    def hooked(self, hook: HookName, succeeded: bool, took_s: float) -> None:
        pass
