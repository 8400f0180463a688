"""What a rehearsal does to the pods, one act after another. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from nodrop.cli.session import USAGE, Failure
from nodrop.model.meta import Obj


class ActKind(StrEnum):
    """Every way in which an operator ends pods that serve."""

    ROLLOUT = "rollout"
    RESTART = "restart"
    SCALE_DOWN = "scale-down"
    EVICTION = "eviction"


@dataclass(frozen=True, slots=True)
class Act:
    """``objects`` are what a rollout applies."""

    kind: ActKind
    name: str
    objects: tuple[Obj, ...] = ()


def plan_acts(
    wanted: Sequence[str], *, to: Sequence[Obj], replicas: int
) -> tuple[list[Act], list[str]]:
    """(the acts, what was left out and why). Raises Failure when nothing is left."""
    acts: list[Act] = []
    left_out: list[str] = []
    for kind in map(ActKind, wanted or _by_default(bool(to))):
        if kind is ActKind.ROLLOUT and not to:
            raise Failure("a rollout needs --to FILE", hint="or: --act restart", code=USAGE)
        if kind is ActKind.SCALE_DOWN and replicas < 2:
            left_out.append("scale-down: with one replica it would end the service")
            continue
        acts.append(Act(kind, _NAMES[kind], tuple(to) if kind is ActKind.ROLLOUT else ()))
    if not acts:
        raise Failure("nothing is left to rehearse", code=USAGE)
    return acts, left_out


def evicted_share(pods: int) -> int:
    """How many pods a drained node holds, if the pods stand on three nodes.

    >>> [evicted_share(pods) for pods in (1, 2, 3, 4, 10)]
    [1, 1, 1, 2, 4]
    """
    return math.ceil(pods / 3)


_NAMES = {
    ActKind.ROLLOUT: "rollout to the new version",
    ActKind.RESTART: "rolling restart",
    ActKind.SCALE_DOWN: "scale down by one, and up again",
    ActKind.EVICTION: "eviction of a third of the pods",
}


def _by_default(has_new: bool) -> list[str]:
    first = ActKind.ROLLOUT if has_new else ActKind.RESTART
    return [first, ActKind.SCALE_DOWN, ActKind.EVICTION]
