"""Which pod is meant by a uid: its names and its version, also for a while after it is gone."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from nodrop.client.cache import Cache
from nodrop.model.kinds import POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, annotations_of, labels_of, uid_of

REVISION = "deployment.kubernetes.io/revision"
HASH = "pod-template-hash"
#: Pods that are remembered after they are gone: their last counts arrive later than their end.
_REMEMBERED = 2_000


class PodName(NamedTuple):
    """``version`` is the revision that the pod's ReplicaSet had when the pod was first seen, so
    that no series moves when a rollback gives an old ReplicaSet a new revision; "" without one."""

    uid: str
    namespace: str
    name: str
    deployment: str
    version: str
    template_hash: str


@dataclass(slots=True)
class Directory:
    """Uid → names, from the cache."""

    cache: Cache
    _known: OrderedDict[str, PodName]

    def __init__(self, cache: Cache) -> None:
        self.cache, self._known = cache, OrderedDict()

    def look(self) -> dict[str, PodName]:
        """The pods that exist now."""
        present: dict[str, PodName] = {}
        for pod in self.cache.list(POD):
            uid = uid_of(pod)
            if uid not in self._known:
                self._known[uid] = self._name(pod)
            self._known.move_to_end(uid)
            present[uid] = self._known[uid]
        while len(self._known) > max(_REMEMBERED, len(present)):
            self._known.popitem(last=False)
        return present

    def name_of(self, uid: str) -> PodName:
        """The names of a pod; for one that was never seen its uid stands for its name."""
        if uid not in self._known:
            self.look()
        return self._known.get(uid) or PodName(uid, "", uid, "", "", "")

    def _name(self, pod: Obj) -> PodName:
        namespace = pod["metadata"].get("namespace", "")
        owner = _controller(pod, "ReplicaSet")
        replicaset = self.cache.get(ObjectKey(REPLICASET, namespace, owner)) if owner else None
        deployment = _controller(replicaset, "Deployment") if replicaset else ""
        version = annotations_of(replicaset).get(REVISION, "") if replicaset else ""
        template_hash = labels_of(pod).get(HASH, "")
        name = pod["metadata"]["name"]
        return PodName(uid_of(pod), namespace, name, deployment, version, template_hash)


def _controller(obj: Obj, kind: str) -> str:
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller") and owner.get("kind") == kind:
            name: str = owner["name"]
            return name
    return ""
