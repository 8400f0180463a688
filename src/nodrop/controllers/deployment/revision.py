"""Which ReplicaSet is the new one, its name, revision number and annotations; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    HASH_LABEL,
    MAX_REPLICAS,
    REVISION,
    REVISION_HISTORY,
    ROLLBACK_TO,
    DeploymentView,
    SetView,
)
from nodrop.model.meta import Obj, annotations_of, controller_reference
from nodrop.model.trees import clone_without_nulls

_HISTORY_LIMIT_CHARS = 2000
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

#: Annotations that belong to the Deployment or to one ReplicaSet and are never copied.
NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        DESIRED_REPLICAS,
        MAX_REPLICAS,
        ROLLBACK_TO,
    }
)


def without_hash(template: Obj) -> Obj:
    """A copy of a pod template without the label that the controller added, and without nulls."""
    copy: Obj = clone_without_nulls(template)
    metadata = copy.get("metadata") or {}
    metadata.pop("creationTimestamp", None)
    labels = metadata.get("labels") or {}
    labels.pop(HASH_LABEL, None)
    return copy


def template_hash(template: Obj, collisions: int) -> str:
    """A short name for a template: FNV-32a, its decimal digits in an alphabet without vowels."""
    text = json.dumps(without_hash(template), sort_keys=True, separators=(",", ":"))
    if collisions:
        text += f"#{collisions}"
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(_ALPHABET[ord(digit) % len(_ALPHABET)] for digit in str(value))


def split(view: DeploymentView, sets: Sequence[SetView]) -> tuple[SetView | None, list[SetView]]:
    """The new set (the oldest whose template is the deployment's) and the old ones, oldest first.

    Taking the oldest means that going back to an earlier template reuses its set.
    """
    wanted = without_hash(view.template)
    by_age = sorted(sets, key=lambda one: one.age_key)
    new = next((one for one in by_age if without_hash(one.obj["spec"]["template"]) == wanted), None)
    return new, [one for one in by_age if one is not new]


def new_revision(old: Iterable[SetView]) -> int:
    """One more than the highest revision of the old sets."""
    return max((one.revision for one in old), default=0) + 1


def replica_annotations(view: DeploymentView) -> dict[str, str]:
    """What a set remembers about the size its deployment had when it was sized."""
    return {DESIRED_REPLICAS: str(view.replicas), MAX_REPLICAS: str(view.max_pods)}


def renewed(view: DeploymentView, new: SetView, old: Sequence[SetView]) -> Obj:
    """The new set with the deployment's annotations, the highest revision and minReadySeconds.

    A set that is taken up again gets a new number; the one it had goes to its history.
    """
    annotations = {**annotations_of(new.obj), **_copied(view)}
    number = new_revision(old)
    if new.revision < number:
        if new.revision:
            annotations[REVISION_HISTORY] = _history(
                annotations.get(REVISION_HISTORY, ""), str(new.revision)
            )
        annotations[REVISION] = str(number)
    spec = new.obj["spec"]
    if (spec.get("minReadySeconds") or 0) != view.min_ready_s:
        spec = {**spec, "minReadySeconds": view.min_ready_s}
    return {
        **new.obj,
        "metadata": {**new.obj["metadata"], "annotations": annotations},
        "spec": spec,
    }


def new_set(view: DeploymentView, old: Sequence[SetView], size: int) -> Obj:
    """The ReplicaSet for the deployment's present template."""
    collisions = (view.obj.get("status") or {}).get("collisionCount") or 0
    digest = template_hash(view.template, collisions)
    template = without_hash(view.template)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest}
    template["metadata"] = {**(template.get("metadata") or {}), "labels": labels}
    selector = view.obj["spec"]["selector"]
    wanted = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{view.name}-{digest}",
            "namespace": view.obj["metadata"]["namespace"],
            "labels": labels,
            "annotations": {
                **_copied(view),
                **replica_annotations(view),
                REVISION: str(new_revision(old)),
            },
            "ownerReferences": [controller_reference(view.obj)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": view.min_ready_s,
            "selector": {**selector, "matchLabels": wanted},
            "template": template,
        },
    }


# Private


def _copied(view: DeploymentView) -> dict[str, str]:
    return {key: value for key, value in annotations_of(view.obj).items() if key not in NOT_COPIED}


def _history(known: str, number: str) -> str:
    """``number`` at the end of a comma list of at most 2000 characters, oldest dropped."""
    numbers = [*(known.split(",") if known else []), number]
    while len(",".join(numbers)) > _HISTORY_LIMIT_CHARS:
        numbers.pop(0)
    return ",".join(numbers)
