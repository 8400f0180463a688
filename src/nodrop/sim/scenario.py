"""What a run consists of, as plain data, and its JSON form; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from nodrop.sim.behaviour import Behaviour

PreStop = Literal["none", "sleep", "exec", "http"]
OperationKind = Literal["roll", "scale", "pause", "resume", "delete-pod", "strategy", "evict"]
FaultKind = Literal[
    "kill", "kill-at-effect", "proxy-lost", "proxy-crash", "runtime-failing", "runtime-late",
    "clock-jump", "watch-lost", "store-refuses",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A pod template. A period of 0 is no probe; ``pre_stop_s`` counts for ``sleep`` only.

    ``init_s`` is what an init container takes, 0 for none; ``sidecar`` puts one beside the app.
    """

    behaviour: Behaviour = field(default_factory=Behaviour)
    readiness_period_s: int = 1
    liveness_period_s: int = 0
    startup_period_s: int = 0
    grace_s: int = 30
    pre_stop: PreStop = "none"
    pre_stop_s: int = 0
    post_start: bool = False
    init_s: float = 0.0
    sidecar: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How the Deployment rolls. ``min_ready_s`` is minReadySeconds."""

    surge: int | str = "25%"
    unavailable: int | str = "25%"
    min_ready_s: int = 0
    recreate: bool = False
    deadline_s: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a user does. ``number``: of the version or strategy, or the replicas, or a pod."""

    at_s: float
    what: OperationKind
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong. ``amount`` is a share, a delay in seconds, a jump in seconds or a count."""

    at_s: float
    what: FaultKind
    for_s: float = 0.0
    amount: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """The longest that things take, in seconds; each time is seeded below it."""

    api_s: float = 0.0
    watch_s: float = 0.0
    runtime_s: float = 0.02
    probe_s: float = 0.005
    proxy_s: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One run from its seed to its end. Version 0 is what is there at first.

    ``min_available`` is that of a PodDisruptionBudget, None for no budget. ``beside`` is a second
    Deployment with a Service of its own: faults and latencies are those of the whole.
    """

    seed: int
    replicas: int
    strategies: tuple[Strategy, ...]
    versions: tuple[Version, ...]
    operations: tuple[Operation, ...] = ()
    faults: tuple[Fault, ...] = ()
    latencies: Latencies = field(default_factory=Latencies)
    request_every_s: float = 0.25
    request_s: float = 0.2
    stream_every_s: float = 3.0
    min_available: int | str | None = None
    beside: Scenario | None = None

    @property
    def disturbed_until_s(self) -> float:
        """When the last operation was made and the last fault is over."""
        ends = [0.0, *(operation.at_s for operation in self.operations)]
        if self.beside is not None:
            ends.append(self.beside.disturbed_until_s)
        return max(ends + [fault.at_s + fault.for_s for fault in self.faults])


def to_json(scenario: Scenario) -> str:
    return msgspec.json.format(msgspec.json.encode(scenario), indent=1).decode()


def from_json(text: str) -> Scenario:
    """Read a scenario. Raises msgspec.ValidationError when it is not one."""
    return msgspec.json.decode(text, type=Scenario)
