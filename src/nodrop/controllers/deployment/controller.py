"""The Deployment controller: the order of one sync, and the actions a step turns into."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from nodrop.client.actions import NOTHING, Action, Create, Delete, Emit, Plan, Update
from nodrop.client.cache import Cache
from nodrop.controllers.claims import plan_claims
from nodrop.controllers.deployment import history, progress, recreate, revision, rollback, status
from nodrop.controllers.deployment.rolling import Resize, next_new_size, plan_rolling
from nodrop.controllers.deployment.scaling import is_scaling, plan_scaling
from nodrop.controllers.deployment.snapshot import (
    REVISION,
    DeploymentView,
    SetView,
    Snapshot,
    deployment_view,
    set_view,
)
from nodrop.controllers.interface import Outcome, Watch
from nodrop.controllers.refusals import namespace_is_ending
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, POD, REPLICASET
from nodrop.model.meta import (
    Obj,
    ObjectKey,
    annotations_of,
    controller_of,
    is_deleting,
    key_of,
    labels_of,
    selector_from_object,
    uid_of,
)


@dataclass(frozen=True, slots=True)
class Step:
    """What one sync does to ReplicaSets: at most one of these changes anything."""

    resizes: tuple[Resize, ...] = ()
    create: Obj | None = None
    collided: bool = False
    cleanup: tuple[SetView, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """A snapshot read in the controller's terms. ``old`` is sorted oldest first.

    ``conditions`` are the deployment's, after a pause or resume. ``fresh`` is the new set's object
    with the annotations it should have.
    """

    snapshot: Snapshot
    view: DeploymentView
    new: SetView | None
    old: list[SetView]
    fresh: Obj | None
    conditions: list[Obj]
    now: datetime
    sets: list[SetView] = field(default_factory=list)


class DeploymentController:
    """Rolls ReplicaSets; see semantics.md section 1 for the rules."""

    name = "deployment"

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (
            Watch(DEPLOYMENT, lambda _cache, obj: (key_of(obj),)),
            Watch(REPLICASET, _deployments_of_set),
            Watch(POD, _deployments_of_pod),
        )

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Snapshot | None:
        deployment = cache.get(key)
        if deployment is None:
            return None
        uid = uid_of(deployment)
        owned = tuple(cache.controlled_by(REPLICASET, uid))
        others = [
            one
            for one in cache.list(REPLICASET, key.namespace)
            if (controller_of(one) or {}).get("uid") != uid
        ]
        recreates = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
        pods = (
            tuple(pod for one in owned for pod in cache.controlled_by(POD, uid_of(one)))
            if recreates
            else ()
        )
        return Snapshot(
            deployment=deployment,
            sets=owned,
            orphans=tuple(one for one in others if controller_of(one) is None),
            taken=frozenset(one["metadata"]["name"] for one in others),
            pods=pods,
            now=now,
        )

    def decide(self, snapshot: Snapshot) -> Plan:
        deployment = snapshot.deployment
        selector = selector_from_object(deployment["spec"].get("selector") or {})
        if selector.empty:
            message = "This deployment is selecting all pods. A non-empty selector is required."
            warning = Emit(deployment, "Warning", Reason.SELECTING_ALL, message)
            return Plan((warning,), (message,))
        claims = plan_claims(deployment, selector, owned=snapshot.sets, orphans=snapshot.orphans)
        if claims:
            return Plan(claims, ("adopt or release replica sets",))
        world = _read_world(snapshot)
        if is_deleting(deployment):
            return _render(world, Step(), rolling_out=False)
        asked = rollback.asked_revision(world.view)
        if asked is not None and not world.view.paused:
            actions = rollback.plan_rollback(world.view, world.sets, asked)
            return Plan(actions, (f"rollback to revision {asked} is asked for",))
        if world.view.paused or is_scaling(world.view, world.sets):
            step = Step(resizes=plan_scaling(world.view, world.new, world.old))
            if world.view.paused and asked is None:
                step = _or_cleanup(world, step)
            return _render(world, step, rolling_out=False)
        return _render(world, _next_step(world), rolling_out=True)

    def follow_up(self, snapshot: Snapshot, outcome: Outcome) -> tuple[Action, ...]:
        """A new set that could not be created is told as a condition and an Event."""
        error, action = outcome.result, outcome.action
        if not isinstance(action, Create) or not isinstance(error, ApiError):
            return ()
        if error.reason == "AlreadyExists" or namespace_is_ending(error):
            return ()  # the cache is about to show it: reuse it, count a collision, or end
        deployment, name = snapshot.deployment, action.obj["metadata"]["name"]
        message = f'Failed to create new replica set "{name}": {error.message}'
        event = Emit(deployment, "Warning", Reason.REPLICA_SET_CREATE_ERROR, message)
        condition = progress.progressing("False", progress.CREATE_ERROR, message)
        told = progress.with_error(
            deployment_view(deployment), _conditions_of(deployment), condition, snapshot.now
        )
        if told == _conditions_of(deployment):
            return (event,)
        before = deployment.get("status") or {}
        changed = {**deployment, "status": {**before, "conditions": told}}
        return (event, Update(changed, "status"))


# Private: which keys


def _deployments_of_set(cache: Cache, replicaset: Obj) -> Iterable[ObjectKey]:
    """The controlling deployment; for an orphan every deployment that may adopt it."""
    namespace = replicaset["metadata"]["namespace"]
    if (owner := controller_of(replicaset)) is not None:
        if owner["kind"] == DEPLOYMENT.kind:
            yield ObjectKey(DEPLOYMENT, namespace, owner["name"])
        return
    labels = labels_of(replicaset)
    for deployment in cache.list(DEPLOYMENT, namespace):
        selector = selector_from_object(deployment["spec"].get("selector") or {})
        if not selector.empty and selector.matches(labels):
            yield key_of(deployment)


def _deployments_of_pod(cache: Cache, pod: Obj) -> Iterable[ObjectKey]:
    """Only Recreate waits for pods to be gone; others hear of pods through their sets."""
    owner = controller_of(pod)
    if owner is None or owner["kind"] != REPLICASET.kind or cache.get(key_of(pod)) is not None:
        return
    key = ObjectKey(REPLICASET, pod["metadata"]["namespace"], owner["name"])
    replicaset = cache.get(key)
    if replicaset is not None:
        yield from _deployments_of_set(cache, replicaset)


# Private: what to do


def _conditions_of(deployment: Obj) -> list[Obj]:
    return list((deployment.get("status") or {}).get("conditions") or ())


def _read_world(snapshot: Snapshot) -> World:
    view = deployment_view(snapshot.deployment)
    sets = [set_view(one) for one in snapshot.sets]
    new, old = revision.split(view, sets)
    conditions = _conditions_of(snapshot.deployment)
    if not is_deleting(snapshot.deployment):
        conditions = progress.with_pause(view, conditions, snapshot.now)
    return World(
        snapshot=snapshot,
        view=view,
        new=new,
        old=old,
        fresh=revision.renewed(view, new, old) if new else None,
        conditions=conditions,
        now=snapshot.now,
        sets=[*old, new] if new else old,
    )


def _next_step(world: World) -> Step:
    step = _recreate_step(world) if world.view.recreate else _rolling_step(world)
    return _or_cleanup(world, step)


def _rolling_step(world: World) -> Step:
    if world.new is None:
        return _create_step(world)
    return Step(resizes=plan_rolling(world.view, world.new, world.old))


def _recreate_step(world: World) -> Step:
    if down := recreate.plan_scale_down(world.old):
        return Step(resizes=down)
    if recreate.old_pods_left(world.old, world.snapshot.pods):
        return Step()
    if world.new is None:
        return _create_step(world)
    if world.new.desired != world.view.replicas:
        return Step(resizes=(Resize(world.new, world.view.replicas),))
    return Step()


def _create_step(world: World) -> Step:
    size = next_new_size(world.view, 0, world.old)
    created = revision.new_set(world.view, world.old, size)
    name = created["metadata"]["name"]
    taken = world.snapshot.taken | {one.name for one in world.old}
    return Step(collided=True) if name in taken else Step(create=created)


def _or_cleanup(world: World, step: Step) -> Step:
    """History is cleaned up when the rollout is over, or paused, and no size is to change."""
    if step.create is not None or step.collided or any(one.changes for one in step.resizes):
        return step
    stored = world.view.obj.get("status") or {}
    if not world.view.paused and not status.is_complete(world.view, stored):
        return step
    return replace(step, cleanup=history.plan_cleanup(world.view, world.old))


# Private: actions


def _render(world: World, step: Step, *, rolling_out: bool) -> Plan:
    actions: list[Action] = []
    because: list[str] = []
    if step.create is not None:
        _add_creation(world, step.create, actions, because)
    _add_set_updates(world, step.resizes, actions, because)
    for one in step.cleanup:
        actions.append(Delete(key_of(one.obj), uid=uid_of(one.obj)))
        because.append(f"revision {one.revision} ({one.name}) is beyond the history limit")
    if step.collided:
        because.append("the name of the new replica set is taken")
    told = _next_deployment(world, step, rolling_out=rolling_out)
    if told != world.view.obj:
        actions.append(Update(told, "status"))
        because.append("the status has changed")
    again = progress.look_again_after_s(world.view, told["status"], world.now)
    if not actions and again is None:
        return NOTHING
    return Plan(tuple(actions), tuple(because), again)


def _add_creation(world: World, created: Obj, actions: list[Action], because: list[str]) -> None:
    name, size = created["metadata"]["name"], created["spec"]["replicas"]
    actions.append(Create(created))
    because.append(f"no replica set has the template yet: create {name} with {size}")
    if size:
        message = f"Scaled up replica set {name} from 0 to {size}"
        actions.append(Emit(world.view.obj, "Normal", Reason.SCALING_REPLICA_SET, message))


def _add_set_updates(
    world: World, resizes: Sequence[Resize], actions: list[Action], because: list[str]
) -> None:
    """One Update a set, whether its size, its annotations or both change."""
    sizes = {resize.target.uid: resize.to for resize in resizes}
    for one in world.sets:
        base = world.fresh if one is world.new and world.fresh else one.obj
        size = sizes.get(one.uid)
        wanted = base if size is None else _resized(world.view, base, size)
        if wanted != one.obj:
            actions.append(Update(wanted))
            if size is None or size == one.desired:
                because.append(f"{one.name} gets the deployment's annotations")
        if size is not None and size != one.desired:
            message = _scaling_message(one, size)
            actions.append(Emit(world.view.obj, "Normal", Reason.SCALING_REPLICA_SET, message))
            because.append(message)


def _resized(view: DeploymentView, obj: Obj, size: int) -> Obj:
    annotations = {**annotations_of(obj), **revision.replica_annotations(view)}
    return {
        **obj,
        "metadata": {**obj["metadata"], "annotations": annotations},
        "spec": {**obj["spec"], "replicas": size},
    }


def _scaling_message(one: SetView, size: int) -> str:
    direction = "up" if size > one.desired else "down"
    return f"Scaled {direction} replica set {one.name} to {size} from {one.desired}"


def _next_deployment(world: World, step: Step, *, rolling_out: bool) -> Obj:
    """The deployment with its next status and the revision it is at."""
    view, now = world.view, world.now
    before = view.obj.get("status") or {}
    counters = status.next_counters(view, world.sets, world.new)
    conditions = world.conditions
    new_name = _new_name(world, step)
    if new_name and not is_deleting(view.obj):
        created = step.create is not None
        conditions = progress.with_new_set(view, conditions, new_name, now, created=created)
    conditions = status.with_availability(view, conditions, counters["availableReplicas"], now)
    if rolling_out:
        subject = progress.Subject(view.name, new_name)
        conditions = progress.with_progress(view, conditions, counters, subject=subject, now=now)
        conditions = status.with_replica_failure(conditions, world.sets, world.new, now)
    told = status.render_status(before, counters, conditions)
    if step.collided:
        told["collisionCount"] = (before.get("collisionCount") or 0) + 1
    result = {**view.obj, "status": told}
    number = _revision_annotation(world, step)
    if number and annotations_of(view.obj).get(REVISION) != number:
        annotations = {**annotations_of(view.obj), REVISION: number}
        result["metadata"] = {**view.obj["metadata"], "annotations": annotations}
    return result


def _new_name(world: World, step: Step) -> str | None:
    if step.create is not None:
        name: str = step.create["metadata"]["name"]
        return name
    return world.new.name if world.new else None


def _revision_annotation(world: World, step: Step) -> str | None:
    source = step.create or world.fresh
    return annotations_of(source).get(REVISION) if source else None
