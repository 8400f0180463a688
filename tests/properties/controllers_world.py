"""A world in memory in which the controllers' decisions are stepped one by one.

No event loop: the controllers' own ``decide`` is stepped over a small world in memory. A decision
and its application are separate steps, so that other controllers, pods and users act in between,
as they do in an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, cast

from hypothesis import assume
from hypothesis import strategies as st

from nodrop.client.actions import Action, Create, Delete, Emit, Patch, Plan, Update
from nodrop.client.cache import Cache
from nodrop.controllers.deployment.controller import DeploymentController
from nodrop.controllers.deployment.snapshot import deployment_view
from nodrop.controllers.disruption.controller import DisruptionController
from nodrop.controllers.pods import is_active, is_available
from nodrop.controllers.replicaset.controller import ReplicaSetController
from nodrop.model.errors import ApiError, already_exists, conflict, not_found
from nodrop.model.kinds import DEPLOYMENT, POD, PODDISRUPTIONBUDGET, REPLICASET, Kind
from nodrop.model.meta import Obj, ObjectKey, controller_of, format_time, key_of

KEY = ObjectKey(DEPLOYMENT, "default", "web")
START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)


@dataclass
class World:
    """Objects with upstream's rules for writes, and a read side shaped like the cache."""

    now: datetime = START
    objects: dict[ObjectKey, Obj] = field(default_factory=dict)
    revision: int = 0
    serial: int = 0
    #: Versions whose pods never become ready.
    broken: set[int] = field(default_factory=set)

    # The cache's read side.

    def get(self, key: ObjectKey) -> Obj | None:
        return self.objects.get(key)

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Obj]:
        return [obj for key, obj in self.objects.items() if key.kind == kind]

    def controlled_by(self, kind: Kind, owner_uid: str) -> Sequence[Obj]:
        return [
            obj for obj in self.list(kind) if (controller_of(obj) or {}).get("uid") == owner_uid
        ]

    def uncontrolled(self, kind: Kind, namespace: str) -> Sequence[Obj]:
        return [obj for obj in self.list(kind, namespace) if controller_of(obj) is None]

    # The API's write side.

    def apply(self, action: Action) -> Obj | None:
        match action:
            case Create(obj):
                return self._create(obj)
            case Update(obj, subresource):
                return self._update(obj, subresource)
            case Delete():
                return self._delete(action)
            case Emit():
                return None
            case Patch():
                raise AssertionError("controllers patch nothing")

    def _create(self, obj: Obj) -> Obj:
        self.serial += 1
        metadata = {**obj["metadata"], "uid": f"uid-{self.serial:05}", "generation": 1}
        metadata.setdefault("name", f"{metadata.get('generateName', '')}{self.serial:05}")
        metadata["creationTimestamp"] = format_time(self.now)
        stored = {**obj, "metadata": metadata, "status": {}}
        key = key_of(stored)
        if key in self.objects:
            raise already_exists(key.kind, key.name)
        return self._store(stored)

    def _update(self, obj: Obj, subresource: str | None) -> Obj:
        key = key_of(obj)
        stored = self.objects.get(key)
        if stored is None:
            raise not_found(key.kind, key.name)
        if stored["metadata"]["resourceVersion"] != obj["metadata"]["resourceVersion"]:
            raise conflict(key.kind, key.name)
        if subresource == "status":
            metadata = {
                **stored["metadata"],
                "annotations": obj["metadata"].get("annotations") or {},
            }
            changed = {**stored, "metadata": metadata, "status": obj["status"]}
        else:
            metadata = dict(obj["metadata"])
            if obj["spec"] != stored["spec"]:
                metadata["generation"] = stored["metadata"]["generation"] + 1
            changed = {**obj, "metadata": metadata, "status": stored["status"]}
        return stored if changed == stored else self._store(changed)

    def _delete(self, action: Delete) -> Obj | None:
        stored = self.objects.get(action.key)
        if stored is None:
            raise not_found(action.key.kind, action.key.name)
        if action.key.kind == POD and "deletionTimestamp" not in stored["metadata"]:
            gone_at = format_time(self.now + timedelta(seconds=30))
            metadata = {**stored["metadata"], "deletionTimestamp": gone_at}
            return self._store({**stored, "metadata": metadata})
        del self.objects[action.key]
        return None

    def _store(self, obj: Obj) -> Obj:
        self.revision += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[key_of(obj)] = obj
        return obj

    # What users and pods do.

    def deployment(self) -> Obj:
        return self.objects[KEY]

    def edit(self, **changes: Any) -> None:
        obj = self.deployment()
        self._update({**obj, "spec": {**obj["spec"], **changes}}, None)

    def active_pods(self) -> Sequence[Obj]:
        return [pod for pod in self.list(POD) if is_active(pod)]

    def make_ready(self, pod: Obj) -> None:
        version = pod["spec"]["containers"][0]["image"].removeprefix("web:")
        if int(version) in self.broken:
            return
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": format_time(self.now)}
        self._store({**pod, "status": {"phase": "Running", "conditions": [ready]}})

    def finish(self, pod: Obj) -> None:
        """A terminating pod has ended."""
        del self.objects[key_of(pod)]

    def available(self) -> int:
        min_ready_s = self.deployment()["spec"].get("minReadySeconds", 0)
        return sum(is_available(pod, min_ready_s, self.now) for pod in self.active_pods())


@dataclass
class Engine:
    """Both controllers, with decisions that wait to be applied."""

    world: World
    controllers: dict[Kind, Any] = field(
        default_factory=lambda: {
            DEPLOYMENT: DeploymentController(),
            REPLICASET: ReplicaSetController(),
            PODDISRUPTIONBUDGET: DisruptionController(),
        }
    )
    waiting: dict[ObjectKey, tuple[Any, Plan]] = field(default_factory=dict)

    def reconciled(self) -> Sequence[ObjectKey]:
        return [key for key in self.world.objects if key.kind in self.controllers]

    def seen_by(self, key: ObjectKey) -> World:
        """What the controller of ``key`` reads."""
        return self.world

    def decide(self, key: ObjectKey) -> Plan:
        controller = self.controllers[key.kind]
        snapshot = controller.read(cast(Cache, self.seen_by(key)), key, self.world.now)
        plan: Plan = controller.decide(snapshot)
        self.waiting[key] = (snapshot, plan)
        return plan

    def apply(self, key: ObjectKey) -> None:
        """Apply the waiting decision as the loop would: in order, up to the first failure."""
        _, plan = self.waiting[key]
        for action in plan.actions:
            try:
                self.world.apply(action)
            except ApiError:
                break
        del self.waiting[key]

    def step(self, key: ObjectKey) -> bool:
        """Decide and apply; False if there was nothing to do, nor a pod's time to wait for."""
        plan = self.decide(key)
        self.apply(key)
        waits = key.kind == REPLICASET and plan.look_again_after_s is not None
        return bool(plan.actions) or waits

    def settle(self) -> None:
        """Run to the end: controllers at rest, every pod ready, every ending pod gone."""
        for _ in range(600):
            moved = [self.step(key) for key in self.reconciled() if key in self.world.objects]
            pods = list(self.world.list(POD))
            for pod in pods:
                if pod["metadata"].get("deletionTimestamp"):
                    self.world.finish(pod)
                elif not pod["status"]:
                    self.world.make_ready(pod)
            self.world.now += timedelta(seconds=1)
            if not any(moved) and all(pod["status"] for pod in pods) and self._at_rest():
                return
        raise AssertionError("the rollout does not come to an end")

    def _at_rest(self) -> bool:
        wanted = self.world.deployment()["spec"]["replicas"]
        return bool(self.world.available() == wanted == len(self.world.list(POD)))


def template(version: int) -> Obj:
    return {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": f"web:{version}"}]},
    }


def new_engine(
    replicas: int,
    strategy: Obj,
    *,
    min_ready_s: int = 0,
) -> Engine:
    world = World()
    world._create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "web"}},
                "minReadySeconds": min_ready_s,
                "progressDeadlineSeconds": 600,
                "revisionHistoryLimit": 3,
                "strategy": strategy,
                "template": template(1),
            },
        }
    )
    engine = Engine(world)
    engine.settle()
    return engine


def rolling(surge: int | str, unavailable: int | str) -> Obj:
    return {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable},
    }


counts = st.integers(0, 6)
percents = st.sampled_from(["0%", "1%", "25%", "34%", "50%", "100%"])
limits = counts | percents


@st.composite
def strategies(draw: st.DrawFn) -> Obj:
    surge, unavailable = draw(limits), draw(limits)
    assume(not (surge in (0, "0%") and unavailable in (0, "0%")))
    return rolling(surge, unavailable)


class Watcher:
    """Asserts floor and ceiling after every single write, once it is told to ``attend``.

    When a user changes ``replicas`` or the strategy, what was decided and ordered under the former
    settings may still be carried out; the looser of both bounds holds until the world is at rest.
    A new template, an undo and a pause change no bound, so nothing is loosened by them.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.world = engine.world
        self.seen = (self.world.available(), len(self.world.active_pods()))
        view = deployment_view(self.world.deployment())
        self.bounds = {(view.min_available, view.max_pods)}

    def attend(self) -> None:
        """Look at every write from now on."""
        store = self.world._store

        def watched(obj: Obj) -> Obj:
            stored = store(obj)
            self.check()
            return stored

        self.world._store = watched  # type: ignore[method-assign]  # watched from outside

    def check(self) -> None:
        view = deployment_view(self.world.deployment())
        if self._at_rest():
            self.bounds.clear()
        self.bounds.add((view.min_available, view.max_pods))
        floor = min(low for low, _ in self.bounds)
        ceiling = max(high for _, high in self.bounds)
        available, pods = self.world.available(), len(self.world.active_pods())
        assert pods <= max(ceiling, self.seen[1]), "ceiling"
        assert available >= min(floor, self.seen[0]), "floor"
        self.seen = (available, pods)

    def _at_rest(self) -> bool:
        sizes = [
            (one["spec"]["replicas"], len([*self.world.controlled_by(POD, one["metadata"]["uid"])]))
            for one in self.world.list(REPLICASET)
        ]
        return not self.engine.waiting and all(wanted == there for wanted, there in sizes)


ROLLS = ["roll", "back", "pause"]


def act(
    engine: Engine, data: st.DataObject, version: list[int], changes: list[str] = ROLLS
) -> None:
    """One thing happens, anywhere in the world."""
    world = engine.world
    what = data.draw(
        st.sampled_from(["decide"] * 6 + ["apply"] * 6 + ["ready"] * 4 + ["gone", "time", "user"])
    )
    if what == "decide":
        free = [key for key in engine.reconciled() if key not in engine.waiting]
        if free:
            engine.decide(data.draw(st.sampled_from(free)))
    elif what == "apply" and engine.waiting:
        engine.apply(data.draw(st.sampled_from(list(engine.waiting))))
    elif what == "ready":
        waiting = [pod for pod in world.active_pods() if not pod["status"]]
        if waiting:
            world.make_ready(data.draw(st.sampled_from(waiting)))
    elif what == "gone":
        ending = [pod for pod in world.list(POD) if pod["metadata"].get("deletionTimestamp")]
        if ending:
            world.finish(data.draw(st.sampled_from(ending)))
    elif what == "time":
        world.now += timedelta(seconds=data.draw(st.integers(1, 8)))
    elif what == "user":
        change(world, data.draw(st.sampled_from(changes)), data, version)


def change(world: World, what: str, data: st.DataObject, version: list[int]) -> None:
    if what == "roll":
        version[0] += 1
        world.edit(template=template(version[0]))
    elif what == "back":
        world.edit(template=template(data.draw(st.integers(1, version[0]))))
    elif what == "scale":
        world.edit(replicas=data.draw(st.integers(1, 8)))
    elif what == "pause":
        world.edit(paused=not world.deployment()["spec"].get("paused"))
    elif what == "strategy":
        world.edit(strategy=data.draw(strategies()))


def assert_converged(engine: Engine) -> None:
    """All pods are of the present template; deciding again finds nothing to do."""
    world = engine.world
    spec = world.deployment()["spec"]
    images = [pod["spec"]["containers"][0]["image"] for pod in world.active_pods()]
    assert images == [spec["template"]["spec"]["containers"][0]["image"]] * spec["replicas"]
    for key in engine.reconciled():
        assert engine.decide(key).actions == ()
    engine.waiting.clear()
    status = world.deployment()["status"]
    counted = [status.get(name, 0) for name in ("updatedReplicas", "replicas")]
    assert counted == [spec["replicas"]] * 2
    progressing = next(c for c in status["conditions"] if c["type"] == "Progressing")
    assert progressing["reason"] == "NewReplicaSetAvailable"
    assert len(world.list(REPLICASET)) <= spec["revisionHistoryLimit"] + 1
