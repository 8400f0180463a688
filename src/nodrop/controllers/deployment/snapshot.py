"""What one sync of a Deployment looks at: the deployment, its ReplicaSets, their pods; pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from nodrop.model.intstr import resolve_fenceposts
from nodrop.model.meta import Obj, annotations_of

#: int32's highest value stands for "no limit" in several fields.
NO_LIMIT = 2147483647

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
HASH_LABEL = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class SetView:
    """One ReplicaSet in numbers. ``desired`` is its spec, the others are its status."""

    obj: Obj
    name: str
    uid: str
    created: str
    desired: int
    replicas: int
    ready: int
    available: int
    observed: bool

    @property
    def age_key(self) -> tuple[str, str]:
        """Sorts oldest first; the name decides between sets of one second."""
        return (self.created, self.name)

    @property
    def sure_available(self) -> int:
        """Available pods that its present size leaves: a status may be older than a scale-down."""
        return min(self.available, self.desired)

    @property
    def footprint(self) -> int:
        """Pods it may have right now: those it should have, or still has to delete."""
        return max(self.desired, self.replicas)

    def number(self, annotation: str) -> int | None:
        """An annotation's whole number, or None."""
        text = annotations_of(self.obj).get(annotation, "")
        return int(text) if text.isdecimal() else None

    @property
    def revision(self) -> int:
        return self.number(REVISION) or 0


def set_view(obj: Obj) -> SetView:
    spec, status, metadata = obj["spec"], obj.get("status") or {}, obj["metadata"]
    return SetView(
        obj=obj,
        name=metadata["name"],
        uid=metadata["uid"],
        created=metadata.get("creationTimestamp") or "",
        desired=spec["replicas"] if spec.get("replicas") is not None else 1,
        replicas=status.get("replicas") or 0,
        ready=status.get("readyReplicas") or 0,
        available=status.get("availableReplicas") or 0,
        observed=(status.get("observedGeneration") or 0) >= (metadata.get("generation") or 0),
    )


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment's settings, with percentages resolved (semantics 1.2)."""

    obj: Obj
    name: str
    replicas: int
    recreate: bool
    surge: int
    unavailable: int
    min_ready_s: int
    paused: bool
    deadline_s: int | None
    history_limit: int | None

    @property
    def min_available(self) -> int:
        """The floor: so many pods stay available at every instant."""
        return self.replicas - self.unavailable

    @property
    def max_pods(self) -> int:
        """The ceiling: pods that are not terminating never exceed it."""
        return self.replicas + self.surge

    @property
    def template(self) -> Obj:
        template: Obj = self.obj["spec"]["template"]
        return template


def deployment_view(obj: Obj) -> DeploymentView:
    spec = obj["spec"]
    strategy = spec.get("strategy") or {}
    recreate = strategy.get("type") == "Recreate"
    replicas = spec["replicas"] if spec.get("replicas") is not None else 1
    surge, unavailable = (0, 0) if recreate else _fenceposts(strategy, replicas)
    return DeploymentView(
        obj=obj,
        name=obj["metadata"]["name"],
        replicas=replicas,
        recreate=recreate,
        surge=surge,
        unavailable=unavailable,
        min_ready_s=spec.get("minReadySeconds") or 0,
        paused=bool(spec.get("paused")),
        deadline_s=_limit(spec.get("progressDeadlineSeconds", 600)),
        history_limit=_limit(spec.get("revisionHistoryLimit", 10)),
    )


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one decision about a Deployment may look at.

    ``sets`` are the ReplicaSets it controls, ``orphans`` those nobody controls, ``taken`` the
    names of all ReplicaSets of the namespace that it does not control; ``pods`` are the pods of
    its ReplicaSets and are read for Recreate only.
    """

    deployment: Obj
    sets: tuple[Obj, ...]
    orphans: tuple[Obj, ...]
    taken: frozenset[str]
    pods: tuple[Obj, ...]
    now: datetime


# Private


def _fenceposts(strategy: Obj, replicas: int) -> tuple[int, int]:
    rolling = strategy.get("rollingUpdate") or {}
    surge, unavailable = rolling.get("maxSurge"), rolling.get("maxUnavailable")
    return resolve_fenceposts(
        "25%" if surge is None else surge,
        "25%" if unavailable is None else unavailable,
        replicas,
    )


def _limit(value: int | None) -> int | None:
    return None if value is None or value == NO_LIMIT else value
