"""The lives of pods as a watch showed them, beside the answers they gave. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from nodrop.client.protocol import WatchEvent
from nodrop.model.meta import Obj, is_deleting
from nodrop.rehearse.record import Record

Phase = Literal["starting", "ready", "terminating", "gone"]


@dataclass(slots=True)
class Life:
    """One pod. Times are when we learned of it (``loop.time()``), None while it has not been."""

    name: str
    version: str
    seen: float
    ready: float | None = None
    deleting: float | None = None
    gone: float | None = None
    first_answer: float | None = None
    last_answer: float | None = None

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


@dataclass(slots=True)
class Lives:
    """All pods seen."""

    pods: dict[str, Life] = field(default_factory=dict)

    def observe(self, event: WatchEvent, now: float) -> None:
        """Take a change of a pod, seen at ``now``."""
        pod = event.obj
        name = pod["metadata"]["name"]
        life = self.pods.get(name)
        if life is None:
            life = self.pods[name] = Life(name, version_of(pod), now)
        if life.ready is None and is_ready(pod):
            life.ready = now
        if life.deleting is None and (is_deleting(pod) or event.type == "DELETED"):
            life.deleting = now
        if event.type == "DELETED":
            life.gone = now

    def answered(self, records: Iterable[Record]) -> None:
        """Note when pods answered. The time a request asked for is not the pod's delay."""
        for record in records:
            life = self.pods.get(record.pod)
            if life is None or record.lost:
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


def is_ready(pod: Obj) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def version_of(pod: Obj) -> str:
    """The tag of the first container's image: ``v1`` of ``hello:v1``."""
    image: str = (pod["spec"].get("containers") or [{}])[0].get("image", "")
    return image.rpartition("/")[2].partition(":")[2] or "latest"
