"""The ReplicaSet controller: claim pods, create or delete the difference, tell the status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from nodrop.client.actions import NOTHING, Action, Create, Delete, Emit, Plan, Update
from nodrop.client.cache import Cache
from nodrop.controllers.claims import plan_claims
from nodrop.controllers.interface import Outcome, Watch
from nodrop.controllers.pods import HOLD_ANNOTATION, has_readiness_probe, is_active
from nodrop.controllers.refusals import namespace_is_ending
from nodrop.controllers.replicaset.ranking import victims
from nodrop.controllers.replicaset.status import next_available_in_s, next_status, with_failure
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, REPLICASET
from nodrop.model.meta import (
    Obj,
    ObjectKey,
    controller_of,
    controller_reference,
    is_deleting,
    key_of,
    labels_of,
    selector_from_object,
    uid_of,
)

#: Upstream's limit of creations and deletions in one sync.
_BURST = 500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A ReplicaSet, the pods it controls, and the pods that nobody controls."""

    replicaset: Obj
    pods: tuple[Obj, ...]
    orphans: tuple[Obj, ...]
    now: datetime


class ReplicaSetController:
    """Keeps ``spec.replicas`` active pods; a terminating pod is replaced at once."""

    name = "replicaset"

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (
            Watch(REPLICASET, lambda _cache, obj: (key_of(obj),)),
            Watch(POD, _sets_of_pod),
        )

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        replicaset = cache.get(key)
        if replicaset is None:
            return None
        return Snapshot(
            replicaset=replicaset,
            pods=tuple(cache.controlled_by(POD, uid_of(replicaset))),
            orphans=tuple(pod for pod in cache.uncontrolled(POD, key.namespace) if is_active(pod)),
            now=now,
        )

    def decide(self, snapshot: Snapshot) -> Plan:
        replicaset = snapshot.replicaset
        selector = selector_from_object(replicaset["spec"].get("selector") or {})
        if selector.empty:
            return NOTHING
        active = [pod for pod in snapshot.pods if is_active(pod)]
        claims = plan_claims(replicaset, selector, owned=active, orphans=snapshot.orphans)
        if claims:
            return Plan(claims, ("adopt or release pods",))
        return _plan_replicas(snapshot, active)

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        """Events carry the names of pods; a failure becomes the condition ReplicaFailure."""
        action, result = outcome.action, outcome.result
        if isinstance(action, Create):
            if isinstance(result, ApiError):
                message = f"Error creating: {result.message}"
                return _tell_failure(snapshot, result, Reason.FAILED_CREATE, message)
            name = result["metadata"]["name"] if result else ""
            return (_event(snapshot, Reason.SUCCESSFUL_CREATE, f"Created pod: {name}"),)
        if isinstance(action, Delete):
            if isinstance(result, ApiError):
                message = f"Error deleting: {result.message}"
                return _tell_failure(snapshot, result, Reason.FAILED_DELETE, message)
            return (_event(snapshot, Reason.SUCCESSFUL_DELETE, f"Deleted pod: {action.key.name}"),)
        return ()


# Private


def _sets_of_pod(cache: Cache, pod: Obj) -> Iterable[ObjectKey]:
    """The controlling ReplicaSet; for an orphan every set that may adopt it."""
    namespace = pod["metadata"]["namespace"]
    if (owner := controller_of(pod)) is not None:
        if owner["kind"] == REPLICASET.kind:
            yield ObjectKey(REPLICASET, namespace, owner["name"])
        return
    labels = labels_of(pod)
    for replicaset in cache.list(REPLICASET, namespace):
        selector = selector_from_object(replicaset["spec"].get("selector") or {})
        if not selector.empty and selector.matches(labels):
            yield key_of(replicaset)


def _plan_replicas(snapshot: Snapshot, active: Sequence[Obj]) -> Plan:
    """Creations or deletions, then the status of the pods that stay.

    The status counts neither pods just ordered (they don't exist yet) nor victims: so whoever
    reads it never takes a pod for available that has been told to go.
    """
    replicaset, now = snapshot.replicaset, snapshot.now
    actions: list[Action] = []
    because: list[str] = []
    gone: tuple[Obj, ...] = ()
    if not is_deleting(replicaset):
        desired = _desired(replicaset)
        missing = desired - len(active)
        wait_s = replicaset["spec"].get("minReadySeconds") or 0
        excess = min(max(-missing, 0), _BURST)
        gone = victims(active, excess, now, min_ready_s=wait_s) if excess else ()
        actions += [Create(_new_pod(replicaset))] * min(max(missing, 0), _BURST)
        actions += [Delete(key_of(pod), uid=uid_of(pod)) for pod in gone]
        if missing:
            because.append(f"{len(active)} of {desired} pods are active")
    uids = {uid_of(pod) for pod in gone}
    staying = [pod for pod in active if uid_of(pod) not in uids]
    status = next_status(replicaset, staying, now)
    if status != replicaset.get("status"):
        actions.append(Update({**replicaset, "status": status}, "status"))
        because.append("the status has changed")
    again = next_available_in_s(replicaset, staying, now)
    return Plan(tuple(actions), tuple(because), again)


def _desired(replicaset: Obj) -> int:
    replicas = replicaset["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def _new_pod(replicaset: Obj) -> Obj:
    template = replicaset["spec"]["template"]
    metadata = template.get("metadata") or {}
    annotations = {**(metadata.get("annotations") or {}), **_hold(replicaset)}
    pod_metadata: Obj = {
        "generateName": f"{replicaset['metadata']['name']}-",
        "namespace": replicaset["metadata"]["namespace"],
        "labels": dict(metadata.get("labels") or {}),
        "ownerReferences": [controller_reference(replicaset)],
    }
    if annotations:
        pod_metadata["annotations"] = annotations
    if metadata.get("finalizers"):
        pod_metadata["finalizers"] = list(metadata["finalizers"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": pod_metadata,
        "spec": template["spec"],
    }


def _hold(replicaset: Obj) -> dict[str, str]:
    """S9: without a readinessProbe only time tells that a pod can serve."""
    spec = replicaset["spec"]
    min_ready_s = spec.get("minReadySeconds") or 0
    if min_ready_s <= 0 or has_readiness_probe(spec["template"]["spec"]):
        return {}
    return {HOLD_ANNOTATION: str(min_ready_s)}


def _event(snapshot: Snapshot, reason: Reason, message: str) -> Emit:
    return Emit(snapshot.replicaset, "Normal", reason, message)


def _tell_failure(
    snapshot: Snapshot, error: ApiError, reason: Reason, message: str
) -> tuple[Action, ...]:
    if error.reason == "Conflict" or namespace_is_ending(error):
        return ()
    replicaset = snapshot.replicaset
    event = Emit(replicaset, "Warning", reason, message)
    active = [pod for pod in snapshot.pods if is_active(pod)]
    before = replicaset.get("status") or {}
    counted = next_status(replicaset, active, snapshot.now)
    counted = {**counted, "conditions": before.get("conditions") or []}
    status = with_failure(counted, reason=reason.value, message=error.message, now=snapshot.now)
    if status == before:
        return (event,)
    return (event, Update({**replicaset, "status": status}, "status"))
