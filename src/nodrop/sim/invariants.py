"""What must hold at every instant, as functions of facts; each returns what is wrong, or None."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from signal import Signals

from nodrop.client.actions import Plan, Update
from nodrop.model.kinds import REPLICASET
from nodrop.model.meta import Obj, object_kind, uid_of
from nodrop.proxy.protocol import RoutingTable
from nodrop.sim.facts import Facts, PodFact, SetFact
from nodrop.sim.scenario import Version

#: Two things in one virtual instant, and the rounding of binary fractions.
TOLERANCE_S = 0.02
#: How late the last look may be: calls to the runtime take a little, and so do retries.
LATE_S = 1.5
_DRAIN_SHARE = 2 / 3
_AFTER_SIGTERM_S = 2.0


# Capacity: S3, S4, S5.


def floor_broken(facts: Facts, pod: PodFact, now_s: float, now: datetime) -> str | None:
    """S4, S5: an available pod was told to go by the control plane, and too few are left.

    Excused where a pod was harmed since its ReplicaSet was shrunk (or in the same instant): the
    decision was right when it was made.
    """
    owner = facts.sets.get(pod.owner)
    if pod.by_user or owner is None or pod.ready_at is None or not facts.bounds:
        return None
    when_decided = min(now, owner.known_at)
    surely_s = facts.min_ready_s + 1 if facts.min_ready_s else 0  # stored times lose a second
    if (when_decided - pod.ready_at).total_seconds() < surely_s:
        return None
    since_s = owner.known_s
    if facts.harmed_s >= since_s - facts.stale_s - TOLERANCE_S:
        return None
    floor = min(bounds.floor for bounds in facts.bounds_since(since_s))
    left = facts.available(now, now_s)
    if left >= floor:
        return None
    return f"{pod.name} is deleted: {left} available pods are left, {floor} are promised"


def ceiling_broken(facts: Facts, pod: PodFact, now_s: float) -> str | None:
    """S3: a pod was created, and there are more than desired plus surge."""
    owner = facts.sets.get(pod.owner)
    if owner is None or not facts.bounds:
        return None
    ceiling = max(bounds.ceiling for bounds in facts.bounds_since(owner.known_s))
    count = sum(1 for _ in facts.active())
    if count <= ceiling:
        return None
    return f"{pod.name} is created: {count} pods, at most {ceiling} are promised"


def budget_broken(
    facts: Facts, pod: PodFact, min_available: int | str, quiet_s: float
) -> str | None:
    """A pod was evicted: enough ready ones are left, unless they were too few without it.

    Excused where another pod was lost, or told to go, less than ``quiet_s`` before: the budget's
    status, by which an eviction is judged, may not have heard of it.
    """
    if pod.ready_s is None or not facts.bounds or quiet_s < LATE_S:
        return None
    wanted = needed(min_available, facts.bounds[-1].replicas)
    left = sum(1 for one in facts.active() if one.ready_s is not None)
    if left >= wanted:
        return None
    return f"{pod.name} is evicted: {left} ready pods are left, {wanted} are to be available"


def needed(min_available: int | str, replicas: int) -> int:
    """How many pods a budget keeps; its percentages round up."""
    if isinstance(min_available, int):
        return min_available
    return -(-int(min_available.removesuffix("%")) * replicas // 100)


def both_ways(facts: Facts, plan: Plan) -> str | None:
    """One sync of a Deployment grows or shrinks sets, never both."""
    grown: list[str] = []
    shrunk: list[str] = []
    for replicaset in _resized(plan):
        known = facts.sets.get(uid_of(replicaset))
        size = replicaset["spec"].get("replicas", 1)
        if known is not None and size != known.size:
            (grown if size > known.size else shrunk).append(known.name)
    if grown and shrunk:
        return f"one sync grows {', '.join(grown)} and shrinks {', '.join(shrunk)}"
    return None


def _resized(plan: Plan) -> Iterable[Obj]:
    for action in plan.actions:
        if not isinstance(action, Update) or action.subresource:
            continue
        if object_kind(action.obj) == REPLICASET:
            yield action.obj


def not_replaced(facts: Facts, one: SetFact, calm_s: float, now_s: float) -> str | None:
    """A terminating pod counts nowhere: a set has its size within a moment, whatever it ends."""
    active = sum(1 for pod in facts.active() if pod.owner == one.uid)
    recent_s = now_s - max(one.resized_s, one.moved_s)
    if active == one.size or min(calm_s, recent_s) < LATE_S:
        return None
    return f"{one.name} has {active} active pods for {one.size} replicas"


# Traffic: S8, S9, S14.


def wrong_backend(
    facts: Facts, table: RoutingTable, uid: str, *, now_s: float, now: datetime
) -> str | None:
    """S8, S9: why the pod ``uid`` may not be in ``table``, which is asked for now."""
    pod = facts.pods.get(uid)
    if pod is None:
        went_s = facts.gone.get(uid)
        if went_s is not None and now_s - went_s <= LATE_S:
            return None
        return "a pod that doesn't exist"
    if not pod.was_ready:
        return f"{pod.name}, which was never ready"
    if pod.ready_s is None and now_s - pod.unready_s > LATE_S:
        return f"{pod.name}, not ready since {pod.unready_s:.3f}"
    if pod.ready_at is not None and pod.ready_s is not None and pod.deleted_s is None:
        hold_s = pod.hold_s  # by the wall or by the loop: somebody may have set the clock
        ran_s = max((now - pod.ready_at).total_seconds(), now_s - pod.ready_s)
        if ran_s < hold_s - TOLERANCE_S:
            return f"{pod.name}, without a probe and not running for {hold_s} s yet"
    if pod.deleted_s is not None and now_s - pod.deleted_s > LATE_S:
        others = [uid for uid in table.pods() if uid != pod.uid]
        if any((o := facts.pods.get(uid)) and o.active and o.ready_s is not None for uid in others):
            return f"{pod.name}, which is being ended while others are ready"
    return None


def lost_backend(facts: Facts, table: RoutingTable) -> str | None:
    """S5, S9: a pod that had traffic keeps it while it is ready, whatever the clock does."""
    kept = table.pods()
    for pod in facts.active():
        if pod.routed and pod.ready_s is not None and pod.uid not in kept:
            return f"a table is asked for without {pod.name}, which had traffic and is ready"
    return None


def unused_pod(facts: Facts, now_s: float, now: datetime) -> str | None:
    """S5, S11: a request found no backend; that is wrong while a pod has long been ready."""
    for pod in facts.active():
        if pod.ready_s is None or pod.ready_at is None:
            continue
        due_s = pod.hold_s + 2 * LATE_S
        if now_s - pod.ready_s > due_s and (now - pod.ready_at).total_seconds() > due_s:
            return f"a request finds no backend; {pod.name} is ready since {pod.ready_s:.3f}"
    return None


def may_have_traffic(version: Version, hold_s: int) -> bool:
    """Whether nodrop can know that the app serves: from a probe, or from a long enough hold."""
    behaviour = version.behaviour
    known = version.readiness_period_s or version.startup_period_s
    return bool(known) or behaviour.start_s * (1 + behaviour.jitter) <= hold_s


def lost_request(pod: PodFact, why: str, now_s: float) -> str | None:
    """S5, S13: a request to a sound app was lost, and its drain's share was not used up."""
    if pod.deleted_s is not None:
        share_s = (pod.grace_s - pod.sleep_hook_s) * _DRAIN_SHARE
        if pod.forced or now_s - pod.deleted_s >= share_s - TOLERANCE_S:
            return None
    return f"a request to {pod.name} is lost: {why}"


# Endings: S12 to S20.


def early_signal(
    pod: PodFact | None,
    signal: Signals,
    *,
    routed: bool,
    in_flight: int,
    used_s: float,
) -> str | None:
    """S12, S13: a first signal before the pod is out of traffic and drained."""
    if pod is None:
        return None
    if pod.deleted_s is None:
        if pod.ready_s is not None:
            return f"{pod.name} gets {signal.name} while it is stored as ready"
        return None
    if routed and used_s < pod.grace_s - TOLERANCE_S:
        return f"{pod.name} gets {signal.name} while it is in the table that serves"
    share_s = (pod.grace_s - pod.sleep_hook_s) * _DRAIN_SHARE
    if in_flight and used_s < share_s - TOLERANCE_S:
        return f"{pod.name} gets {signal.name} with {in_flight} requests in flight"
    return None


def late_signal(pod: PodFact | None, idle_s: float) -> str | None:
    """S12: nothing of it is in flight but streams, and it still hasn't been told to end."""
    if pod is None or pod.deleted_s is None or idle_s <= 2 * LATE_S:
        return None
    return f"{pod.name} has no request in flight for {idle_s:.3f} s and gets no signal"


def early_cut(pod: PodFact | None, used_s: float) -> str | None:
    """S13: a stream is closed by the data plane before the app had its time to end it."""
    if pod is None or pod.forced:
        return None
    if pod.deleted_s is None:
        return f"a stream of {pod.name} is closed; nobody ends that pod"
    sleep_s = min(pod.sleep_hook_s, pod.grace_s)
    due_s = (pod.grace_s - sleep_s) * _DRAIN_SHARE + sleep_s
    if used_s >= due_s - TOLERANCE_S:
        return None
    return f"a stream of {pod.name} is closed after {used_s:.3f} s; it has {due_s:.3f} s"


def signal_in_hook(pod: PodFact | None, used_s: float) -> str | None:
    """S18, S19: SIGTERM while the preStop hook still runs, before the grace period is over."""
    if pod is None or pod.deleted_s is None or used_s >= pod.grace_s - TOLERANCE_S:
        return None
    return f"{pod.name} gets SIGTERM {used_s:.3f} s after its deletion, in its preStop hook"


def early_kill(pod: PodFact | None, *, used_s: float, after_sigterm_s: float | None) -> str | None:
    """S15: SIGKILL before the grace period is over, or less than 2 s after SIGTERM."""
    if after_sigterm_s is not None and after_sigterm_s < _AFTER_SIGTERM_S - TOLERANCE_S:
        name = pod.name if pod else "a pod that is gone"
        return f"{name} gets SIGKILL {after_sigterm_s:.3f} s after SIGTERM"
    if pod is not None and pod.deleted_s is not None and used_s < pod.grace_s - TOLERANCE_S:
        return f"{pod.name} gets SIGKILL {used_s:.3f} s into a grace period of {pod.grace_s:g} s"
    return None


def overdue(pod: PodFact, used_s: float) -> str | None:
    """S15, S20: it still runs although grace period and the 2 s after SIGTERM are over."""
    if used_s <= pod.grace_s + _AFTER_SIGTERM_S + LATE_S:
        return None
    return f"{pod.name} runs {used_s:.3f} s after its deletion; its grace is {pod.grace_s:g} s"
