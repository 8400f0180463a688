"""Lay endpoints out in slices, changing as few existing slices as possible; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from nodrop.client.actions import Action, Create, Delete, Update
from nodrop.controllers.endpointslice.endpoints import Endpoint, Port, Ports
from nodrop.controllers.endpointslice.holds import HOLDS_ANNOTATION, render_notes
from nodrop.model.meta import (
    Obj,
    annotations_of,
    controller_reference,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
)

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
MAX_ENDPOINTS = 100


@dataclass(slots=True)
class _Draft:
    """A slice being filled: an existing one or a new one."""

    ports: Ports
    existing: Obj | None = None
    endpoints: list[Endpoint] = field(default_factory=list)

    @property
    def room(self) -> int:
        return MAX_ENDPOINTS - len(self.endpoints)


def is_ours(endpoint_slice: Obj) -> bool:
    return labels_of(endpoint_slice).get(MANAGED_BY) == CONTROLLER


def plan_slices(
    service: Obj, endpoints: Sequence[Endpoint], existing: Sequence[Obj]
) -> tuple[Action, ...]:
    """Creates, updates and deletes that bring the Service's slices in line.

    An endpoint stays in the slice it is in; a new one goes where room is. A slice whose port list
    is no longer wanted is taken over for one that is, so that a changed port is one update.
    A Service without any endpoint keeps one empty slice.
    """
    usable = [one for one in existing if not is_deleting(one)]
    drafts = _keep(endpoints, usable)
    unused = [one for one in usable if not any(draft.existing is one for draft in drafts)]
    _place(endpoints, drafts, unused)
    if not drafts:
        drafts = [_Draft((), unused.pop(0) if unused else None)]
    actions: list[Action] = []
    for draft in drafts:
        actions.extend(_write(service, draft))
    actions.extend(Delete(key_of(one), uid=uid_of(one)) for one in unused)
    return tuple(actions)


def slice_labels(service: Obj) -> dict[str, str]:
    """The Service's labels and the three that mark a slice."""
    labels = {
        **labels_of(service),
        SERVICE_NAME: service["metadata"]["name"],
        MANAGED_BY: CONTROLLER,
    }
    labels.pop(HEADLESS, None)
    if service["spec"].get("clusterIP") == "None":
        labels[HEADLESS] = ""
    return labels


# Private


def _keep(endpoints: Iterable[Endpoint], existing: Iterable[Obj]) -> list[_Draft]:
    """Existing slices with those of their endpoints that still belong there; none without any."""
    wanted = {(one.uid, one.ports): one for one in endpoints}
    drafts, placed = [], set()
    for one in existing:
        ports = _ports_of(one)
        draft = _Draft(ports, one)
        for entry in one.get("endpoints") or ():
            place = ((entry.get("targetRef") or {}).get("uid", ""), ports)
            if place in wanted and place not in placed:
                placed.add(place)
                draft.endpoints.append(wanted[place])
        if draft.endpoints:
            drafts.append(draft)
    return drafts


def _place(endpoints: Iterable[Endpoint], drafts: list[_Draft], unused: list[Obj]) -> None:
    """Put the endpoints that are in no draft yet where room is."""
    placed = {(one.uid, draft.ports) for draft in drafts for one in draft.endpoints}
    for one in endpoints:
        if (one.uid, one.ports) in placed:
            continue
        draft = next((d for d in drafts if d.ports == one.ports and d.room > 0), None)
        if draft is None:
            draft = _Draft(one.ports, _take(unused, one.ports))
            drafts.append(draft)
        draft.endpoints.append(one)


def _take(unused: list[Obj], ports: Ports) -> Obj | None:
    """A slice to reuse, best one that has these ports already."""
    if not unused:
        return None
    best = next((one for one in unused if _ports_of(one) == ports), unused[0])
    unused.remove(best)
    return best


def _write(service: Obj, draft: _Draft) -> tuple[Action, ...]:
    wanted = {
        "addressType": "IPv4",
        "ports": [port.render() for port in draft.ports],
        "endpoints": [one.render() for one in draft.endpoints],
    }
    labels, existing = slice_labels(service), draft.existing
    if existing is None:
        return (Create(_new_slice(service, labels, _with_notes({}, draft), wanted)),)
    annotations = _with_notes(annotations_of(existing), draft)
    same = (
        _ports_of(existing) == draft.ports
        and (existing.get("endpoints") or []) == wanted["endpoints"]
        and labels_of(existing) == labels
        and annotations_of(existing) == annotations
    )
    if same:
        return ()
    metadata = {**existing["metadata"], "labels": labels, "annotations": annotations}
    return (Update({**existing, **wanted, "metadata": metadata}),)


def _with_notes(annotations: Mapping[str, str], draft: _Draft) -> dict[str, str]:
    """The slice's annotations, with what is to be remembered of its endpoints' holds."""
    kept = {name: text for name, text in annotations.items() if name != HOLDS_ANNOTATION}
    notes = {one.uid: one.hold.note for one in draft.endpoints if one.hold and one.hold.note}
    return {**kept, HOLDS_ANNOTATION: render_notes(notes)} if notes else kept


def _new_slice(service: Obj, labels: Obj, annotations: Obj, wanted: Obj) -> Obj:
    metadata: Obj = {
        "generateName": f"{service['metadata']['name']}-",
        "namespace": service["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [controller_reference(service)],
    }
    if annotations:
        metadata["annotations"] = annotations
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata,
        **wanted,
    }


def _ports_of(endpoint_slice: Obj) -> Ports:
    return tuple(
        Port(
            entry.get("name") or "",
            entry.get("protocol") or "TCP",
            entry.get("port") or 0,
            entry.get("appProtocol") or "",
        )
        for entry in endpoint_slice.get("ports") or ()
    )
