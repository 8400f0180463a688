"""Collects what happens in a simulated rollout, as it happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from signal import Signals

from nodrop.client.actions import Plan
from nodrop.model.conditions import get_condition
from nodrop.model.kinds import DEPLOYMENT, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, Uid, controller_of, is_deleting, uid_of
from nodrop.plan.assumptions import Version
from nodrop.plan.spans import PodSpan
from nodrop.proxy.protocol import RoutingTable
from nodrop.sim.runtime import App
from nodrop.store.protocol import Change


@dataclass(slots=True, eq=False)
class Pod:
    """A pod while it lives. ``number`` counts the pods of its Deployment's version from 0."""

    name: str
    deployment: ObjectKey | None
    version: Version
    number: int
    spec: Obj
    created_s: float
    ready: list[tuple[float, float | None]] = field(default_factory=list)
    is_ready: bool = False
    started_s: float | None = None
    routed_s: float | None = None
    deleted_s: float | None = None
    signalled_s: float | None = None
    gone_s: float | None = None
    runs: int = 0


class Recorder:
    """Told synchronously of writes, decisions, tables and processes.

    Until ``begin`` everything is of the old version; then time is counted from 0.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._zero_s: float | None = None
        self._owners: dict[str, tuple[ObjectKey | None, Version]] = {}
        self._numbers: dict[tuple[ObjectKey | None, Version], int] = {}
        self._specs: dict[str, Obj] = {}
        self.pods: dict[str, Pod] = {}
        self.because: dict[ObjectKey, list[tuple[float, str]]] = {}
        self.on_started: Callable[[App], None] = lambda app: None
        self.on_ended: Callable[[App], None] = lambda app: None

    @property
    def version(self) -> Version:
        return "old" if self._zero_s is None else "new"

    @property
    def at_s(self) -> float:
        """Seconds since the change; 0 before it."""
        return 0.0 if self._zero_s is None else self._now_s() - self._zero_s

    def begin(self) -> None:
        """From now on everything is new."""
        self._zero_s = self._now_s()
        self.because.clear()

    def owner_of(self, pod: Obj) -> ObjectKey | None:
        """The Deployment of a stored pod."""
        known = self.pods.get(uid_of(pod))
        return None if known is None else known.deployment

    def left(self, deployment: ObjectKey) -> int:
        """How many pods of a Deployment are there."""
        return sum(p.deployment == deployment and p.gone_s is None for p in self.pods.values())

    def spans(self, deployment: ObjectKey) -> tuple[PodSpan, ...]:
        """The pods of a Deployment that were there at the change or later, oldest first."""
        return tuple(_span(p) for p in self.pods.values() if p.deployment == deployment)

    # The store and the controllers

    def on_change(self, change: Change) -> None:
        kind = change.key.kind
        if kind == REPLICASET and change.type == "ADDED":
            owner = controller_of(change.obj)
            key = ObjectKey(DEPLOYMENT, change.key.namespace, owner["name"]) if owner else None
            self._owners[uid_of(change.obj)] = (key, self.version)
        elif kind == POD:
            self._take_pod(change)

    def on_plan(self, controller: str, key: ObjectKey, plan: Plan) -> None:
        if controller == "deployment" and plan.actions:
            self.because.setdefault(key, []).append((self.at_s, "; ".join(plan.because)))

    # The data plane (see sim.data_plane.Watcher)

    def on_asked(self, table: RoutingTable) -> None:
        """Only what serves counts."""

    def on_serving(self, before: RoutingTable, table: RoutingTable) -> None:
        for uid in table.pods() - before.pods():
            if (pod := self.pods.get(uid)) and pod.routed_s is None:
                pod.routed_s = self.at_s

    # The machine (see sim.runtime.Watcher)

    def on_start(self, app: App) -> None:
        if pod := self.pods.get(app.spec.pod_uid):
            pod.runs += 1
            if pod.started_s is None:
                pod.started_s = self.at_s
        self.on_started(app)

    def on_signal(self, app: App, signal: Signals) -> None:
        pod = self.pods.get(app.spec.pod_uid)
        if pod is not None and pod.deleted_s is not None and pod.signalled_s is None:
            pod.signalled_s = self.at_s

    def on_exit(self, app: App, why: str) -> None:
        self.on_ended(app)

    def on_hook(self, app: App, command: Sequence[str], *, begins: bool) -> None:
        """Hooks are part of a pod's end, which is seen."""

    # Private

    def _take_pod(self, change: Change) -> None:
        uid = uid_of(change.obj)
        pod = self.pods.get(uid)
        if change.type == "DELETED":
            if pod is not None:
                self._close(uid, pod)
            return
        if pod is None:
            pod = self.pods[uid] = self._new_pod(change.obj)
        condition = get_condition((change.obj.get("status") or {}).get("conditions"), "Ready")
        self._turn(pod, ready=condition is not None and condition["status"] == "True")
        if pod.deleted_s is None and is_deleting(change.obj):
            pod.deleted_s = self.at_s

    def _turn(self, pod: Pod, *, ready: bool) -> None:
        if ready and not pod.is_ready:
            pod.ready.append((self.at_s, None))
        elif pod.is_ready and not ready:
            pod.ready[-1] = (pod.ready[-1][0], self.at_s)
        pod.is_ready = ready

    def _close(self, uid: Uid, pod: Pod) -> None:
        self._turn(pod, ready=False)
        pod.gone_s = self.at_s
        if self._zero_s is None:
            del self.pods[uid]

    def _new_pod(self, obj: Obj) -> Pod:
        owner = controller_of(obj) or {}
        deployment, version = self._owners.get(owner.get("uid", ""), (None, self.version))
        number = self._numbers.get((deployment, version), 0)
        self._numbers[deployment, version] = number + 1
        # The pods of a set have one spec: a copy each would outlive them, ten thousand times.
        spec = self._specs.setdefault(owner.get("uid") or uid_of(obj), obj["spec"])
        return Pod(obj["metadata"]["name"], deployment, version, number, spec, self.at_s)


def _span(pod: Pod) -> PodSpan:
    return PodSpan(
        name=pod.name,
        version=pod.version,
        created_s=pod.created_s,
        started_s=pod.started_s,
        ready=tuple(pod.ready),
        routed_s=pod.routed_s,
        deleted_s=pod.deleted_s,
        signalled_s=pod.signalled_s,
        gone_s=pod.gone_s,
        restarts=max(0, pod.runs - _containers(pod.spec)),
    )


def _containers(spec: Obj) -> int:
    return len(spec["containers"]) + len(spec.get("initContainers") or ())
