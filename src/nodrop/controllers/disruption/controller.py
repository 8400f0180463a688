"""The disruption controller: keeps the status that evictions are decided by."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from nodrop.client.actions import NOTHING, Action, Emit, Plan, Update
from nodrop.client.cache import Cache
from nodrop.controllers.disruption.budget import (
    Disrupted,
    Scale,
    Scales,
    count_healthy,
    counts_by_scale,
    expectation,
    failed_status,
    next_status,
    still_disrupted,
)
from nodrop.controllers.interface import Outcome, Watch
from nodrop.events import Reason
from nodrop.model.disruption import selects
from nodrop.model.kinds import DEPLOYMENT, POD, PODDISRUPTIONBUDGET, REPLICASET, Kind
from nodrop.model.meta import Obj, ObjectKey, controller_of, key_of, seconds_until


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A budget, all pods that it selects, and their controllers' sizes."""

    budget: Obj
    pods: tuple[Obj, ...]
    scales: Scales
    now: datetime


class DisruptionController:
    """Tells how many pods may be evicted. It restrains nothing but evictions."""

    name = "disruption"

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (
            Watch(PODDISRUPTIONBUDGET, lambda _cache, obj: (key_of(obj),)),
            Watch(POD, _budgets_of_pod),
            Watch(REPLICASET, _budgets_of_namespace),
            Watch(DEPLOYMENT, _budgets_of_namespace),
        )

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        budget = cache.get(key)
        if budget is None:
            return None
        pods = tuple(pod for pod in cache.list(POD, key.namespace) if selects(budget, pod))
        scales = _scales(cache, pods) if counts_by_scale(budget) else Scales()
        return Snapshot(budget, pods, scales, now)

    def decide(self, snapshot: Snapshot) -> Plan:
        """The status; Events only together with a changed one, so that a rest is a rest."""
        budget, now = snapshot.budget, snapshot.now
        disrupted = still_disrupted(budget, snapshot.pods, now)
        status = _status(snapshot, disrupted)
        again = seconds_until(disrupted.due, now) + 1.0 if disrupted.due else None
        if status == budget.get("status"):
            return Plan(look_again_after_s=again) if again is not None else NOTHING
        update = Update({**budget, "status": status}, "status")
        why = f"{status['disruptionsAllowed']} pods may be evicted"
        return Plan((update, *_events(snapshot, disrupted)), (why,), again)

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        return ()


# Private: which keys


def _budgets_of_pod(cache: Cache, pod: Obj) -> Iterable[ObjectKey]:
    for budget in cache.list(PODDISRUPTIONBUDGET, pod["metadata"]["namespace"]):
        if selects(budget, pod):
            yield key_of(budget)


def _budgets_of_namespace(cache: Cache, controller: Obj) -> Iterable[ObjectKey]:
    """Those that count by the controllers' sizes."""
    for budget in cache.list(PODDISRUPTIONBUDGET, controller["metadata"]["namespace"]):
        if counts_by_scale(budget):
            yield key_of(budget)


# Private: the controllers of pods


def _scales(cache: Cache, pods: Iterable[Obj]) -> Scales:
    known: set[Scale] = set()
    unmanaged: list[str] = []
    unknown: list[str] = []
    for pod in pods:
        name = pod["metadata"]["name"]
        if controller_of(pod) is None:
            unmanaged.append(name)
        elif (scale := _scale_of(cache, pod)) is not None:
            known.add(scale)
        else:
            unknown.append(name)
    return Scales(frozenset(known), tuple(sorted(unmanaged)), tuple(sorted(unknown)))


def _scale_of(cache: Cache, pod: Obj) -> Scale | None:
    """The Deployment's size for a pod of its ReplicaSets: mid-rollout they are one application."""
    replicaset = _controller(cache, pod, REPLICASET)
    if replicaset is None:
        return None
    if controller_of(replicaset) is None:
        return _as_scale(replicaset)
    deployment = _controller(cache, replicaset, DEPLOYMENT)
    return None if deployment is None else _as_scale(deployment)


def _controller(cache: Cache, obj: Obj, kind: Kind) -> Obj | None:
    owner = controller_of(obj)
    if owner is None or (owner["apiVersion"], owner["kind"]) != (kind.api_version, kind.kind):
        return None
    found = cache.get(ObjectKey(kind, obj["metadata"]["namespace"], owner["name"]))
    return found if found is not None and found["metadata"]["uid"] == owner["uid"] else None


def _as_scale(obj: Obj) -> Scale:
    replicas = obj["spec"].get("replicas")
    return Scale(obj["metadata"]["uid"], 1 if replicas is None else replicas)


# Private: what to write


def _status(snapshot: Snapshot, disrupted: Disrupted) -> Obj:
    budget, scales = snapshot.budget, snapshot.scales
    if scales.unknown:
        return failed_status(budget, _no_controller(scales), snapshot.now)
    expected = expectation(budget, len(snapshot.pods), scales.total)
    healthy = count_healthy(snapshot.pods, disrupted.pods)
    return next_status(budget, expected, healthy, disrupted, snapshot.now)


def _no_controller(scales: Scales) -> str:
    return f'found no controllers for pod "{scales.unknown[0]}"'


def _events(snapshot: Snapshot, disrupted: Disrupted) -> Iterable[Emit]:
    budget, scales = snapshot.budget, snapshot.scales
    if not snapshot.pods:
        yield Emit(budget, "Normal", Reason.NO_PODS, "No matching pods found")
    if scales.unknown:
        message = f"Failed to calculate the number of expected pods: {_no_controller(scales)}"
        yield Emit(budget, "Warning", Reason.EXPECTED_COUNT_FAILED, message)
    if scales.unmanaged:
        message = (
            f"{len(scales.unmanaged)} selected pods have no controller, so no percentage of them "
            "can be known: give spec.minAvailable as a whole number"
        )
        yield Emit(budget, "Warning", Reason.UNMANAGED_PODS, message)
    for pod in snapshot.pods:
        if pod["metadata"]["name"] in disrupted.overdue:
            name = f"{budget['metadata']['namespace']}/{budget['metadata']['name']}"
            message = f"Pod was expected by PDB {name} to be deleted but it wasn't"
            yield Emit(pod, "Warning", Reason.NOT_DELETED, message)
