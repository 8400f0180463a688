"""What a simulated rollout was like, as plain data: pods and their times; pure.

All times are virtual seconds since the new manifests were applied; what was there before begins
at 0. None means: not until the end of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from nodrop.model.meta import Obj, ObjectKey

Version = Literal["old", "new"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpan:
    """One pod. ``ready`` are the intervals in which its Ready condition was true.

    ``routed_s`` is when the proxy began to send it requests, ``deleted_s`` when it was told to
    end, ``signalled_s`` its first signal: requests in flight are over then.
    """

    name: str
    version: Version
    created_s: float
    started_s: float | None = None
    ready: tuple[tuple[float, float | None], ...] = ()
    routed_s: float | None = None
    deleted_s: float | None = None
    signalled_s: float | None = None
    gone_s: float | None = None
    restarts: int = 0

    @property
    def ready_s(self) -> float | None:
        """When it first was ready."""
        return self.ready[0][0] if self.ready else None

    def available(self, min_ready_s: float) -> Iterator[tuple[float, float]]:
        """Intervals in which it counts as available: ready long enough and not being ended.

        A pod that was there before the change is taken for old enough.
        """
        cut_s = math.inf if self.deleted_s is None else self.deleted_s
        for begin_s, end_s in self.ready:
            since_s = begin_s if begin_s <= 0 else begin_s + min_ready_s
            until_s = min(cut_s, math.inf if end_s is None else end_s)
            if since_s < until_s:
                yield since_s, until_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How a run ended for one Deployment. ``deadline_s``: its progress deadline was exceeded."""

    complete_s: float | None = None
    settled_s: float | None = None
    deadline_s: float | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One Deployment's way from ``old`` (None: it is new) to ``new``, as stored objects."""

    key: ObjectKey
    old: Obj | None
    new: Obj
    pods: tuple[PodSpan, ...] = ()
    fate: Fate = field(default_factory=Fate)
    ended_s: float = 0.0
    because: tuple[tuple[float, str], ...] = ()

    @property
    def min_ready_s(self) -> int:
        return int(self.new["spec"].get("minReadySeconds") or 0)

    @property
    def desired(self) -> int:
        """So many pods count as full capacity: before and after, the smaller of both."""
        after = int(self.new["spec"]["replicas"])
        return after if self.old is None else min(after, int(self.old["spec"]["replicas"]))
