"""The controller of EndpointSlices and Endpoints: pods of a Service → who gets traffic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from nodrop.client.actions import Action, Delete, Plan
from nodrop.client.cache import Cache
from nodrop.controllers.endpointslice.endpoints import Endpoint, endpoint_of
from nodrop.controllers.endpointslice.holds import notes_in
from nodrop.controllers.endpointslice.legacy import is_ours as is_our_endpoints
from nodrop.controllers.endpointslice.legacy import plan_endpoints
from nodrop.controllers.endpointslice.slices import SERVICE_NAME, is_ours, plan_slices
from nodrop.controllers.interface import Outcome, Watch
from nodrop.controllers.pods import is_terminal
from nodrop.model.kinds import ENDPOINTS, ENDPOINTSLICE, POD, SERVICE
from nodrop.model.meta import (
    Obj,
    ObjectKey,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A Service (None: it is gone), the pods it selects, and what stands in the API for it."""

    service: Obj | None
    pods: tuple[Obj, ...]
    slices: tuple[Obj, ...]
    endpoints: Obj | None
    now: datetime


class EndpointSliceController:
    """Keeps the slices of every Service with a selector.

    ``hold_unprobed`` is the one switch between the seed and upstream (S9-S11): True keeps traffic
    from a pod without a readinessProbe until its minReadySeconds are over; False sends it at once.
    """

    name = "endpointslice"

    def __init__(self, *, hold_unprobed: bool = True) -> None:
        self._hold_unprobed = hold_unprobed

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (
            Watch(SERVICE, lambda _cache, obj: (key_of(obj),)),
            Watch(POD, _services_of_pod),
            Watch(ENDPOINTSLICE, _service_of_slice),
            Watch(ENDPOINTS, _service_of_endpoints),
        )

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        service = cache.get(key)
        if service is not None and not service["spec"].get("selector"):
            return None  # its endpoints are the user's
        slices = tuple(
            one
            for one in cache.list(ENDPOINTSLICE, key.namespace)
            if labels_of(one).get(SERVICE_NAME) == key.name and is_ours(one)
        )
        endpoints = cache.get(ObjectKey(ENDPOINTS, key.namespace, key.name))
        if service is None:
            ours = endpoints if endpoints and is_our_endpoints(endpoints) else None
            return Snapshot(None, (), slices, ours, now)
        selector = service["spec"]["selector"]
        pods = tuple(
            pod
            for pod in cache.list(POD, key.namespace)
            if _selects(selector, labels_of(pod)) and _is_listed(pod)
        )
        return Snapshot(service, pods, slices, endpoints, now)

    def decide(self, snapshot: Snapshot) -> Plan:
        service = snapshot.service
        if service is None:
            return _plan_removal(snapshot)
        if is_deleting(service):
            return Plan()
        listed = self._listed(service, snapshot)
        with_ports = [one for one in listed if one.ports or not service["spec"].get("ports")]
        # Slices first: the proxy follows them, and nobody waits for the older object.
        actions: tuple[Action, ...] = (
            *plan_slices(service, with_ports, snapshot.slices),
            *plan_endpoints(service, with_ports, snapshot.endpoints),
        )
        because = (_describe(listed),) if actions else ()
        return Plan(actions, because, _look_again_after_s(listed, snapshot.now))

    def _listed(self, service: Obj, snapshot: Snapshot) -> list[Endpoint]:
        notes = notes_in(snapshot.slices)
        return [
            endpoint_of(
                pod,
                service,
                hold_unprobed=self._hold_unprobed,
                note=notes.get(uid_of(pod), ""),
                now=snapshot.now,
            )
            for pod in snapshot.pods
        ]

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        return ()


# Private


def _services_of_pod(cache: Cache, pod: Obj) -> Iterable[ObjectKey]:
    labels = labels_of(pod)
    for service in cache.list(SERVICE, pod["metadata"]["namespace"]):
        selector = service["spec"].get("selector")
        if selector and _selects(selector, labels):
            yield key_of(service)


def _service_of_slice(_cache: Cache, endpoint_slice: Obj) -> Iterable[ObjectKey]:
    name = labels_of(endpoint_slice).get(SERVICE_NAME)
    if name and is_ours(endpoint_slice):
        yield ObjectKey(SERVICE, endpoint_slice["metadata"]["namespace"], name)


def _service_of_endpoints(_cache: Cache, endpoints: Obj) -> Iterable[ObjectKey]:
    metadata = endpoints["metadata"]
    yield ObjectKey(SERVICE, metadata["namespace"], metadata["name"])


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return selector.items() <= labels.items()


def _is_listed(pod: Obj) -> bool:
    return bool((pod.get("status") or {}).get("podIP")) and not is_terminal(pod)


def _plan_removal(snapshot: Snapshot) -> Plan:
    """The Service is gone: so are its slices and its Endpoints."""
    left = [*snapshot.slices, *([snapshot.endpoints] if snapshot.endpoints else [])]
    actions = tuple(Delete(key_of(one), uid=uid_of(one)) for one in left if not is_deleting(one))
    return Plan(actions, ("the service is gone",) if actions else ())


def _describe(listed: Iterable[Endpoint]) -> str:
    counts = {"ready": 0, "held": 0, "not ready": 0, "terminating": 0}
    for one in listed:
        state = "ready" if one.ready else "held" if one.held else "not ready"
        counts["terminating" if one.terminating else state] += 1
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    return f"endpoints: {told or 'none'}"


def _look_again_after_s(listed: Iterable[Endpoint], now: datetime) -> float | None:
    """When the first held pod may get traffic."""
    waits_s = [one.hold.left_s(now) for one in listed if one.hold and one.hold.due]
    return min(waits_s, default=None)
