"""Start-up times as they were observed: what the pods that run now say; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from nodrop.agent.plan.rhythm import pause_s
from nodrop.model.conditions import get_condition
from nodrop.model.meta import Obj, parse_time
from nodrop.plan.assumptions import StartUp


def observed_startup(pods: Iterable[Obj]) -> StartUp | None:
    """The median over ready pods, or None when none tells.

    Ready is noticed by a probe, so the program served a little earlier: half of what that may be
    is taken off. Stored times are whole seconds; over several pods what they lose evens out.
    """
    seen = [one for pod in pods if (one := startup_s(pod)) is not None]
    if not seen:
        return None
    count = f"{len(seen)} pod{'s' if len(seen) > 1 else ''}"
    return StartUp((median(seen),), f"observed on {count}, to the second")


def startup_s(pod: Obj) -> float | None:
    """How long one pod took from its containers' start to its first answer, or None.

    Only a pod that was never restarted tells: its start and its readiness belong together.
    """
    status = pod.get("status") or {}
    statuses: Sequence[Obj] = status.get("containerStatuses") or ()
    ready = get_condition(status.get("conditions"), "Ready")
    if not statuses or ready is None or ready.get("status") != "True":
        return None
    if any(one.get("restartCount") for one in statuses):
        return None
    started = [(one.get("state") or {}).get("running", {}).get("startedAt") for one in statuses]
    since = ready.get("lastTransitionTime")
    if not since or not all(started):
        return None
    took_s = (parse_time(since) - max(map(parse_time, started))).total_seconds()
    return max(0.0, took_s - _late_s(pod["spec"], took_s) / 2)


def _late_s(spec: Obj, took_s: float) -> float:
    """How late the probes that a pod has to pass may notice that it serves; 0 without: a command
    at the next tick, a connection as soon as the agent tries again whether anything listens."""
    late_s = [
        period_s if "exec" in probe else min(period_s, pause_s(took_s))
        for container in spec["containers"]
        for name in ("readinessProbe", "startupProbe")
        if (probe := container.get(name))
        for period_s in [float(probe.get("periodSeconds") or 10)]
    ]
    return max(late_s, default=0.0)
