"""The lives of pods as a watch showed them, beside the answers they gave. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from nodrop.client.protocol import WatchEvent
from nodrop.events import Reason
from nodrop.model.meta import Obj, is_deleting, labels_of
from nodrop.rehearse.record import Record

Phase = Literal["starting", "ready", "terminating", "gone"]
#: A pod's life as a ledger tells it: finer about the end than ``Phase``.
LifePhase = Literal[
    "starting", "serving", "withdrawn", "preStop", "after SIGTERM", "ended", "killed"
]
_KILLED = 128 + 9
#: How much later than a request's failure the watch may tell of what broke it.
_HEARD_WITHIN_S = 0.1


@dataclass(slots=True)
class Life:
    """One pod. Times are when we learned of it (``loop.time()``), None while it has not been.

    ``exited`` is the end of its last container. Where no Event tells of the signal (a real
    cluster) it was sent when a preStop of ``pre_stop_s`` was over, or at once. ``is_probed``: a
    readinessProbe stands behind ``ready``; without one a pod is starting until it has answered.
    """

    name: str
    version: str
    seen: float
    ready: float | None = None
    deleting: float | None = None
    gone: float | None = None
    first_answer: float | None = None
    last_answer: float | None = None
    uid: str = ""
    revision: str = ""
    started: float | None = None
    withdrawn: float | None = None
    signalled: float | None = None
    exited: float | None = None
    exit_code: int | None = None
    has_pre_stop: bool = False
    pre_stop_s: float = 0.0
    is_probed: bool = True

    @property
    def phase(self) -> Phase:
        if self.gone is not None:
            return "gone"
        if self.deleting is not None:
            return "terminating"
        return "starting" if self.ready is None else "ready"

    @property
    def ready_to_traffic_s(self) -> float | None:
        """From the Ready condition to the pod's first answer, 0 if the answer was known first."""
        if self.ready is None or self.first_answer is None:
            return None
        return max(0.0, self.first_answer - self.ready)

    @property
    def signalled_at(self) -> float | None:
        """When the stop signal was sent, as told or as it must have been."""
        if self.signalled is not None or self.deleting is None or self.withdrawn is not None:
            return self.signalled
        guess = self.deleting + self.pre_stop_s
        return guess if self.exited is None else min(guess, self.exited)

    @property
    def end(self) -> float | None:
        """When its last process had ended, or its object was gone."""
        return self.exited if self.exited is not None else self.gone

    def phase_at(self, at: float) -> LifePhase:
        """Where in its life the pod was at a time."""
        if self.end is not None and at >= self.end:
            return "killed" if self.exit_code == _KILLED else "ended"
        if self.deleting is None or at < self.deleting:
            since = self.ready if self.is_probed else self.first_answer
            return "serving" if since is not None and at >= since else "starting"
        if self.signalled_at is not None and at >= self.signalled_at:
            return "after SIGTERM"
        if self.withdrawn is not None and at < self.withdrawn:
            return "withdrawn"
        # Where nobody drains first, as in a cluster, the end begins with the hook or the signal.
        return "preStop" if self.has_pre_stop else "after SIGTERM"

    def phase_of_loss(self, at: float) -> LifePhase:
        """The same for a request that failed then: what broke it may be heard of later."""
        soon = at + _HEARD_WITHIN_S
        if self.exit_code == _KILLED and self.end is not None and at < self.end <= soon:
            return self.phase_at(self.end)
        if self.deleting is not None and at < self.deleting <= soon:
            return self.phase_at(self.deleting)
        return self.phase_at(at)


@dataclass(slots=True)
class Lives:
    """All pods seen. ``anonymous`` counts answers that named none of them."""

    pods: dict[str, Life] = field(default_factory=dict)
    anonymous: int = 0
    _by_uid: dict[str, Life] = field(default_factory=dict)

    def observe(self, event: WatchEvent, now: float) -> None:
        """Take a change of a pod, or an Event about one, seen at ``now``."""
        if event.obj.get("kind") == "Event":
            self._hear(event.obj, now)
            return
        pod = event.obj
        life = self.pods.get(pod["metadata"]["name"])
        if life is None:
            life = self._meet(pod, now)
        if life.started is None and _runs(pod):
            life.started = now
        if life.ready is None and is_ready(pod):
            life.ready = now
        if life.deleting is None and (is_deleting(pod) or event.type == "DELETED"):
            life.deleting = now
        if life.exited is None and life.deleting is not None:
            life.exit_code = _exit_code(pod)
            life.exited = None if life.exit_code is None else now
        if event.type == "DELETED":
            life.gone = now

    def of(self, name: str) -> Life | None:
        """The pod of that name or uid, or of that server of the proxy (``UID_ADDRESS_PORT``)."""
        if not name:
            return None
        return self.pods.get(name) or self._by_uid.get(name.rsplit("_", 2)[0])

    def answered(self, records: Iterable[Record]) -> None:
        """Note when pods answered. The time a request asked for is not the pod's delay."""
        for record in records:
            life = self.of(record.pod)
            if life is None or record.lost:
                self.anonymous += not (record.lost or record.pod)
                continue
            at = record.done - record.asked_s
            if life.first_answer is None or at < life.first_answer:
                life.first_answer = at
            life.last_answer = max(life.last_answer or 0.0, record.done)

    def count(self) -> Counter[tuple[str, Phase]]:
        """How many living pods there are by version and phase."""
        return Counter(
            (life.version, life.phase) for life in self.pods.values() if life.phase != "gone"
        )

    def ended(self, start: float, end: float) -> list[Life]:
        """Pods whose deletion began in ``start`` … ``end``."""
        return [
            life
            for life in self.pods.values()
            if life.deleting is not None and start <= life.deleting < end
        ]

    def ending_at(self, at: float, *, later_s: float) -> list[Life]:
        """Pods that were being ended at a time, or whose end was at most ``later_s`` ago."""
        return [
            life
            for life in self.pods.values()
            if life.deleting is not None
            and life.deleting <= at
            and (life.gone is None or at <= life.gone + later_s)
        ]

    def _meet(self, pod: Obj, now: float) -> Life:
        metadata = pod["metadata"]
        hooks = [hook for hook in map(_pre_stop, pod["spec"].get("containers") or ()) if hook]
        sleeps = [float((hook.get("sleep") or {}).get("seconds") or 0) for hook in hooks]
        life = Life(
            metadata["name"],
            version_of(pod),
            now,
            uid=metadata.get("uid", ""),
            revision=labels_of(pod).get("pod-template-hash", ""),
            has_pre_stop=bool(hooks),
            pre_stop_s=max(sleeps, default=0.0),
            is_probed=any("readinessProbe" in each for each in pod["spec"].get("containers") or ()),
        )
        self.pods[life.name] = self._by_uid[life.uid] = life
        return life

    def _hear(self, event: Obj, now: float) -> None:
        about = event.get("involvedObject") or event.get("regarding") or {}
        life = self._by_uid.get(about.get("uid", ""))
        if life is None or about.get("kind") != "Pod":
            return
        if event.get("reason") == Reason.WITHDRAWN and life.withdrawn is None:
            life.withdrawn = now
        elif event.get("reason") == Reason.SIGNALLED and life.signalled is None:
            life.signalled = now


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def version_of(pod: Obj) -> str:
    """The tag of the first container's image: ``v1`` of ``hello:v1``."""
    image: str = (pod["spec"].get("containers") or [{}])[0].get("image", "")
    return image.rpartition("/")[2].partition(":")[2] or "latest"


def _runs(pod: Obj) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any("running" in (each.get("state") or {}) for each in statuses)


def _exit_code(pod: Obj) -> int | None:
    """The worst exit code once every container has ended; None while one runs."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    ends = [(each.get("state") or {}).get("terminated") for each in statuses]
    if not ends or not all(ends):
        return None
    return max(int(end["exitCode"]) for end in ends if end)


def _pre_stop(container: Obj) -> Obj | None:
    hook: Obj | None = (container.get("lifecycle") or {}).get("preStop")
    return hook
