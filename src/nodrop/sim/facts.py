"""What is true of pods and ReplicaSets, kept from the store's writes alone.

The invariants judge by these facts, never by the product's own functions: a mistake there must
not hide itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from nodrop.model.kinds import DEPLOYMENT, POD, REPLICASET
from nodrop.model.meta import Obj, controller_of, is_deleting, uid_of
from nodrop.store.protocol import Change


@dataclass(slots=True, eq=False)
class PodFact:
    """A pod as stored, and since when. ``_s`` are virtual seconds, ``_at`` wall times."""

    uid: str
    name: str
    owner: str
    probed: bool
    version: int = 0
    hold_s: int = 0
    sleep_hook_s: float = 0.0
    ip: str = ""
    ready_s: float | None = None
    ready_at: datetime | None = None
    unready_s: float = 0.0
    was_ready: bool = False
    #: It has been in a table since it was ready.
    routed: bool = False
    deleted_s: float | None = None
    deleted_at: datetime | None = None
    grace_s: float = 0.0
    by_user: bool = False
    forced: bool = False
    terminal: bool = False
    gone_s: float | None = None

    @property
    def active(self) -> bool:
        """It counts as a replica."""
        return self.deleted_s is None and not self.terminal and self.gone_s is None

    def available(self, min_ready_s: int, now: datetime, now_s: float) -> bool:
        """Active, and ready for ``min_ready_s`` seconds: by the wall or in truth, the larger."""
        if not self.active or self.ready_at is None or self.ready_s is None:
            return False
        return max((now - self.ready_at).total_seconds(), now_s - self.ready_s) >= min_ready_s


@dataclass(slots=True, eq=False)
class SetFact:
    """A ReplicaSet's size and when it last changed."""

    uid: str
    name: str
    size: int
    resized_s: float
    resized_at: datetime
    min_ready_s: int
    #: minReadySeconds before its last change, and when that was.
    former_min_ready_s: int
    changed_s: float
    #: When the size that its controller last acted upon had been written.
    known_s: float
    known_at: datetime
    #: When a pod of it last came or went.
    moved_s: float = 0.0

    def acts(self) -> None:
        """Its controller decides now, on the present size."""
        self.known_s, self.known_at = self.resized_s, self.resized_at


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the Deployment promises from ``since_s`` on."""

    since_s: float
    replicas: int
    floor: int
    ceiling: int


@dataclass(slots=True)
class Facts:
    """All pods and sets of one Deployment. ``min_available``: what its budget promises."""

    pods: dict[str, PodFact] = field(default_factory=dict)
    sets: dict[str, SetFact] = field(default_factory=dict)
    #: When pods that are no longer stored went.
    gone: dict[str, float] = field(default_factory=dict)
    bounds: list[Bounds] = field(default_factory=list)
    min_ready_s: int = 0
    min_available: int | str | None = None
    spec: Obj = field(default_factory=dict)
    #: How old what a controller decides on may be, in a world without faults.
    stale_s: float = 0.0
    #: When a pod was last lost to something else than the control plane's own decision.
    harmed_s: float = -1.0
    #: When a ready pod was last told to go, or lost, and when the size was last changed.
    shrunk_s: float = -1.0

    def take(self, change: Change, *, now_s: float, now: datetime, by_user: bool) -> None:
        """Learn from one write."""
        if change.key.kind == POD:
            self._take_pod(change, now_s, now, by_user=by_user)
        elif change.key.kind == REPLICASET:
            self._take_set(change, now_s, now)
        elif change.key.kind == DEPLOYMENT and change.type != "DELETED":
            self._take_deployment(change.obj, now_s)

    def active(self) -> Iterator[PodFact]:
        return (pod for pod in self.pods.values() if pod.active)

    def available(self, now: datetime, now_s: float) -> int:
        """How many pods are available, as minReadySeconds now is."""
        return sum(pod.available(self.min_ready_s, now, now_s) for pod in self.pods.values())

    def bounds_since(self, since_s: float) -> Iterator[Bounds]:
        """All promises that a decision written at ``since_s`` may have known, newest first."""
        since_s -= self.stale_s
        for bounds in reversed(self.bounds):
            yield bounds
            if bounds.since_s < since_s:
                return

    # Private

    def _hold_s(self, pod: PodFact, now_s: float) -> int:
        """S9: how long a new pod gets no traffic after it was ready: as its set is now."""
        owner = self.sets.get(pod.owner)
        if pod.probed or owner is None:
            return 0
        if now_s - owner.changed_s <= self.stale_s:
            return min(owner.min_ready_s, owner.former_min_ready_s)
        return owner.min_ready_s

    def _take_pod(self, change: Change, now_s: float, now: datetime, *, by_user: bool) -> None:
        uid = uid_of(change.obj)
        if change.type == "DELETED":
            if fact := self.pods.pop(uid, None):
                fact.gone_s = self.gone[uid] = now_s
                if fact.deleted_s is None:
                    self.shrunk_s = now_s
                if by_user or fact.deleted_s is None:
                    self.harmed_s = now_s
            return
        fact = self.pods.get(uid)
        if fact is None:
            fact = self.pods[uid] = _new_pod(change.obj, now_s)
            fact.hold_s = self._hold_s(fact, now_s)
        was_active = fact.active
        self._take_status(fact, change.obj, now_s, now)
        self._take_deletion(fact, change.obj, now_s, now, by_user=by_user)
        if (change.type == "ADDED" or was_active != fact.active) and fact.owner in self.sets:
            self.sets[fact.owner].moved_s = now_s

    def _take_status(self, fact: PodFact, pod: Obj, now_s: float, now: datetime) -> None:
        status = pod.get("status") or {}
        fact.ip = status.get("podIP") or ""
        fact.terminal = status.get("phase") in ("Succeeded", "Failed")
        ready = _is_ready(status)
        if ready and fact.ready_s is None:
            fact.ready_s, fact.ready_at, fact.was_ready = now_s, now, True
        elif not ready and fact.ready_s is not None:
            fact.ready_s, fact.ready_at, fact.unready_s = None, None, now_s
            fact.routed = False
            self.shrunk_s = now_s
            if fact.deleted_s is None:
                self.harmed_s = now_s

    def _take_deletion(
        self, fact: PodFact, pod: Obj, now_s: float, now: datetime, *, by_user: bool
    ) -> None:
        if not is_deleting(pod):
            return
        grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        if fact.deleted_s is None:
            fact.deleted_s, fact.deleted_at, fact.by_user = now_s, now, by_user
            self.shrunk_s = now_s
            fact.grace_s = grace_s
            if by_user:
                self.harmed_s = now_s
        fact.grace_s = min(fact.grace_s, grace_s)
        fact.forced = fact.grace_s == 0

    def _take_set(self, change: Change, now_s: float, now: datetime) -> None:
        uid, spec = uid_of(change.obj), change.obj["spec"]
        if change.type == "DELETED":
            self.sets.pop(uid, None)
            return
        size, min_ready_s = spec.get("replicas", 1), spec.get("minReadySeconds") or 0
        fact = self.sets.get(uid)
        if fact is None:
            name = change.obj["metadata"]["name"]
            self.sets[uid] = SetFact(
                uid, name, size, now_s, now, min_ready_s, min_ready_s, now_s, now_s, now
            )
            return
        if fact.min_ready_s != min_ready_s:
            fact.former_min_ready_s, fact.min_ready_s = fact.min_ready_s, min_ready_s
            fact.changed_s = now_s
        if fact.size != size:
            fact.size, fact.resized_s, fact.resized_at = size, now_s, now

    def _take_deployment(self, obj: Obj, now_s: float) -> None:
        spec = obj["spec"]
        if spec == self.spec:
            return
        self.spec = spec
        min_ready_s = spec.get("minReadySeconds") or 0
        if min_ready_s != self.min_ready_s:
            self.min_ready_s, self.harmed_s = min_ready_s, now_s  # available means another thing
        self.shrunk_s = now_s  # the budget counts from another size, perhaps
        bounds = _bounds(spec, now_s)
        self.bounds.append(bounds)


def _new_pod(pod: Obj, now_s: float) -> PodFact:
    owner = controller_of(pod) or {}
    probed = any(container.get("readinessProbe") for container in pod["spec"]["containers"])
    name = pod["metadata"]["name"]
    fact = PodFact(uid_of(pod), name, owner.get("uid", ""), probed, unready_s=now_s)
    fact.version = int(pod["spec"]["containers"][0]["command"][1])
    fact.sleep_hook_s = max(_sleep_s(container) for container in pod["spec"]["containers"])
    return fact


def _sleep_s(container: Obj) -> float:
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    return float((hook.get("sleep") or {}).get("seconds") or 0)


def _is_ready(status: Obj) -> bool:
    conditions = status.get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _bounds(spec: Obj, now_s: float) -> Bounds:
    """Floor and ceiling by the seed's words: surge rounds up, unavailable down, never both 0."""
    replicas = spec.get("replicas", 1)
    if spec["strategy"]["type"] == "Recreate":
        return Bounds(now_s, replicas, 0, replicas)
    rolling = spec["strategy"]["rollingUpdate"]
    surge = _count(rolling["maxSurge"], replicas, up=True)
    unavailable = _count(rolling["maxUnavailable"], replicas, up=False)
    if not surge and not unavailable:
        unavailable = 1
    return Bounds(now_s, replicas, max(0, replicas - unavailable), replicas + surge)


def _count(value: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(value, int):
        return value
    whole, rest = divmod(int(value.removesuffix("%")) * replicas, 100)
    return whole + 1 if up and rest else whole
