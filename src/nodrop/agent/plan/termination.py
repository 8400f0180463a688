"""How the grace period of a deleted pod is spent. Pure arithmetic.

The acknowledged order is: out of the routing table and drained → preStop → SIGTERM → SIGKILL.
All of it counts against one grace period that begins with the delete request.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from nodrop.agent.plan.spec import Container, Handler, PodSpec, Sleep
from nodrop.model.drain import DrainWishes
from nodrop.model.meta import Obj, parse_time

#: Upstream's floor between SIGTERM and SIGKILL, whatever a hook has used up.
LEAST_AFTER_SIGNAL_S = 2.0
#: A force-deleted pod (grace 0) is still stopped as if it had this much.
FORCED_GRACE_S = 1.0


@dataclass(frozen=True, slots=True)
class Budget:
    """One grace period: ``grace_s`` seconds from ``requested_at``."""

    requested_at: datetime
    grace_s: float

    @property
    def ends_at(self) -> datetime:
        return self.requested_at + timedelta(seconds=self.grace_s)

    def left_s(self, now: datetime) -> float:
        return max(0.0, (self.ends_at - now).total_seconds())


def budget_of(pod: Obj, observed_at: datetime) -> Budget:
    """The grace period of a pod that is being deleted.

    Stored times are cut to whole seconds, so the request came within the second that follows
    ``deletionTimestamp − G``; ``observed_at``, when we first saw this timestamp, tells it more
    exactly unless we saw it late (after a restart of ours). A request that lies ahead was made by
    a clock that has been set back since: the whole grace period is left then, and no more.

    >>> pod = {"metadata": {"deletionTimestamp": "2026-11-23T10:00:30Z",
    ...                     "deletionGracePeriodSeconds": 30}}
    >>> budget_of(pod, parse_time("2026-11-23T10:00:00.400+00:00")).ends_at.isoformat()
    '2026-11-23T10:00:30.400000+00:00'
    """
    meta = pod["metadata"]
    grace_s = float(meta.get("deletionGracePeriodSeconds") or 0)
    earliest = parse_time(meta["deletionTimestamp"]) - timedelta(seconds=grace_s)
    latest = earliest + timedelta(seconds=1)
    return Budget(min(observed_at, latest), grace_s)


def forced_budget(now: datetime) -> Budget:
    """For a pod whose object is gone already: stopped as well as can be, in about 2 s."""
    return Budget(now, FORCED_GRACE_S)


def left_of(ends_at: datetime, now: datetime, *, most_s: float) -> float:
    """Seconds until a noted end, for an engine that finds the note.

    The wall clock may have been set while nobody looked: never more than ``most_s``, the longest
    that the note can have meant, and never less than none.
    """
    return min(max(0.0, (ends_at - now).total_seconds()), most_s)


def longest_grace_s(container: Container, pod_grace_s: float) -> float:
    """The longest grace period that a run of ``container`` may be ended with."""
    probes = (container.liveness, container.startup)
    return max([pod_grace_s, *(probe.grace_s or 0.0 for probe in probes if probe)])


def sleep_of(hook: Handler | None) -> float:
    """How long a preStop hook surely takes: its seconds for ``sleep``, 0 where unknown."""
    return hook.seconds if isinstance(hook, Sleep) else 0.0


def longest_sleep_s(spec: PodSpec) -> float:
    """Hooks of several containers run side by side, so the longest counts."""
    return max((sleep_of(container.pre_stop) for container in spec.everyone), default=0.0)


def drain_share_s(grace_s: float, sleep_hook_s: float = 0.0) -> float:
    """How much of the grace period requests in flight may take before the hooks begin.

    Two thirds of what a known ``sleep`` hook leaves; the last third belongs to the application
    between SIGTERM and SIGKILL. Grace 30 s: 20 s to drain, 10 s after SIGTERM. With a sleep of
    15 s: 10 s to drain, sleep from 10 to 25, 5 s after SIGTERM. A drain that is over sooner
    passes its rest on.
    """
    return max(0.0, grace_s - sleep_hook_s) * 2 / 3


#: An answer that has begun is waited for as long as this (and a quarter of the drain at most)
#: before it counts as a stream: a download of a few seconds is finished, an SSE stream is told.
_ANSWERS_S = 5.0
#: Streams are closed one by one over this long at most: their clients all come back.
_SPREAD_S = 10.0


@dataclass(frozen=True, slots=True)
class DrainPlan:
    """When what is waited for or closed, in seconds since the pod was asked to end.

    Requests in flight have until ``requests_s``. Streams are not waited for; what the application
    has not ended by ``streams_s`` is closed, within ``spread_s``. ``answers_s``: see above.
    """

    requests_s: float
    answers_s: float
    streams_s: float
    spread_s: float


def plan_drain(grace_s: float, sleep_hook_s: float, wishes: DrainWishes) -> DrainPlan:
    """The drain of a pod whose grace period is ``grace_s``; wishes end with it.

    Streams are closed when the last third of the grace period begins, hooks being over by then:
    an application that ends them itself when it gets SIGTERM has had its time, and clients come
    back spread over a while, before SIGKILL.

    >>> plan_drain(30, 0, DrainWishes())
    DrainPlan(requests_s=20.0, answers_s=5.0, streams_s=20.0, spread_s=8.0)
    """
    share_s = drain_share_s(grace_s, sleep_hook_s)
    requests_s = _wished(wishes.requests_s, grace_s, share_s)
    streams_s = _wished(wishes.streams_s, grace_s, share_s + min(sleep_hook_s, grace_s))
    return DrainPlan(
        requests_s,
        answers_s(requests_s),
        streams_s,
        min(_SPREAD_S, (grace_s - streams_s) * 0.8),
    )


def answers_s(drain_s: float) -> float:
    """How long a drain of ``drain_s`` waits for answers that have begun."""
    return min(_ANSWERS_S, drain_s / 4)


def _wished(wish_s: float | None, grace_s: float, default_s: float) -> float:
    return default_s if wish_s is None else min(wish_s, grace_s)
