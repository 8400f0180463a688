"""Eviction: a delete that asks the pod's disruption budget first (semantics 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from nodrop.client.protocol import Page, Scope
from nodrop.model.conditions import set_condition
from nodrop.model.disruption import is_healthy, selects, with_allowance
from nodrop.model.errors import ApiError, bad_request, forbidden
from nodrop.model.kinds import EVICTION, PODDISRUPTIONBUDGET, Kind
from nodrop.model.meta import Obj, ObjectKey, format_time, is_deleting, key_of, revision_of
from nodrop.registry.deletion import check_preconditions
from nodrop.registry.interface import Deleted, DeleteOptions, WriteOptions, Written

#: Evictions that the controller has not confirmed yet; more mean that it doesn't run.
_MOST_UNCONFIRMED = 2000
_STILL_PROCESSED_RETRY_S = 10


class Verbs(Protocol):
    """What of the registry an eviction uses."""

    def get(self, key: ObjectKey) -> Obj: ...

    def list(self, kind: Kind, scope: Scope) -> Page: ...

    def update(
        self, key: ObjectKey, obj: Obj, *, subresource: str, options: WriteOptions
    ) -> Written: ...

    def delete(self, key: ObjectKey, options: DeleteOptions) -> Deleted: ...


def check_eviction(key: ObjectKey, eviction: Obj) -> None:
    """Raise 400 unless ``eviction`` is one, and of this pod."""
    for field, wanted in (("apiVersion", EVICTION.api_version), ("kind", EVICTION.kind)):
        if eviction.get(field, wanted) != wanted:
            raise bad_request(
                f"the object provided is {eviction.get('apiVersion')} {eviction.get('kind')}, "
                f"this address takes {EVICTION.api_version} {EVICTION.kind}"
            )
    metadata = eviction.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise bad_request("metadata: expected an object")
    if metadata.get("name") != key.name:
        raise bad_request("name in URL does not match name in Eviction object")
    if metadata.get("namespace") not in (None, "", key.namespace):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def evict(verbs: Verbs, key: ObjectKey, options: DeleteOptions, now: datetime) -> None:
    """Delete the pod if its budget allows it, and note that in the budget.

    Raises 404, 409 for a precondition, 429 when the budget allows none, 500 when several budgets
    select the pod.
    """
    pod = verbs.get(key)
    check_preconditions(key.kind, pod, options)
    write = WriteOptions(dry_run=options.dry_run)
    if not _costs_nothing(pod):
        scope = Scope(namespace=key.namespace)
        budgets = verbs.list(PODDISRUPTIONBUDGET, scope).items
        budget = _only([one for one in budgets if selects(one, pod)])
        if budget is not None and not _is_spare(budget, pod):
            used = charged(budget, key.name, now)
            verbs.update(key_of(budget), used, subresource="status", options=write)
    marked = _marked(pod, now)
    written = verbs.update(key, marked, subresource="status", options=write).obj
    if options.revision is not None and not options.dry_run:
        # The caller's precondition held a moment ago, and our own mark has moved the revision.
        options = replace(options, revision=revision_of(written))
    verbs.delete(key, options)


def charged(budget: Obj, pod_name: str, now: datetime) -> Obj:
    """The budget with one disruption less. Raises 429 when none is left, or none is known yet.

    The pod is noted as disrupted, so that the controller doesn't count it as healthy before it
    has seen the delete.
    """
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _too_many(why, retry_after_s=_STILL_PROCESSED_RETRY_S)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        raise forbidden(PODDISRUPTIONBUDGET, name, "pdb disruptions allowed is negative")
    disrupted = status.get("disruptedPods") or {}
    if len(disrupted) > _MOST_UNCONFIRMED:
        why = "too many evictions are not confirmed by the disruption controller yet"
        raise forbidden(PODDISRUPTIONBUDGET, name, why)
    if allowed == 0:
        wanted, found = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _too_many(
            f"The disruption budget {name} needs {wanted} healthy pods and has {found} currently"
        )
    stamp = format_time(now)
    used = {**status, "disruptionsAllowed": allowed - 1}
    used["disruptedPods"] = {**disrupted, pod_name: stamp}
    return {**budget, "status": with_allowance(used, stamp) if allowed == 1 else used}


# Private


def _costs_nothing(pod: Obj) -> bool:
    """A pod that doesn't serve yet, or not any more: no budget is asked."""
    phase = (pod.get("status") or {}).get("phase")
    return is_deleting(pod) or phase in ("Pending", "Succeeded", "Failed")


def _only(budgets: Sequence[Obj]) -> Obj | None:
    if len(budgets) > 1:
        message = (
            "This pod has more than one PodDisruptionBudget, "
            "which the eviction subresource does not support."
        )
        raise ApiError(500, "InternalError", message)
    return budgets[0] if budgets else None


def _is_spare(budget: Obj, pod: Obj) -> bool:
    """An unready pod that isn't needed: enough others are healthy, or the budget says so."""
    if is_healthy(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired: int = status.get("desiredHealthy", 0)
    current: int = status.get("currentHealthy", 0)
    return current >= desired > 0


def _marked(pod: Obj, now: datetime) -> Obj:
    """The pod with DisruptionTarget: whoever sees its end sees why."""
    condition = {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
    }
    status = pod.get("status") or {}
    conditions = set_condition(status.get("conditions"), condition, format_time(now))
    return {**pod, "status": {**status, "conditions": conditions}}


def _too_many(why: str, *, retry_after_s: int = 0) -> ApiError:
    """429 with the cause that kubectl drain waits on. Without a time the client picks its own."""
    details: Obj = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", message, details)
