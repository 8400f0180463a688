"""Evictions never leave fewer healthy pods than the budget asks for, however things interleave."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.client.actions import Delete
from nodrop.client.protocol import Page, Scope
from nodrop.controllers.disruption.budget import expectation
from nodrop.model.disruption import is_healthy
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, PODDISRUPTIONBUDGET, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, is_deleting, key_of
from nodrop.registry.eviction import evict
from nodrop.registry.interface import Deleted, DeleteOptions, WriteOptions, Written
from tests.properties.controllers_world import Engine, World, act, new_engine, rolling

#: Less than the two minutes in which an eviction must be seen.
LAG = timedelta(seconds=60)
BUDGET = ObjectKey(PODDISRUPTIONBUDGET, "default", "web")


@dataclass(frozen=True)
class Verbs:
    """The registry's verbs over the world."""

    world: World

    def get(self, key: ObjectKey) -> Obj:
        return self.world.objects[key]

    def list(self, kind: Kind, scope: Scope) -> Page:
        return Page(tuple(self.world.list(kind)), Revision(self.world.revision))

    def update(
        self, key: ObjectKey, obj: Obj, *, subresource: str, options: WriteOptions
    ) -> Written:
        return Written(self.world._update(obj, subresource))

    def delete(self, key: ObjectKey, options: DeleteOptions) -> Deleted:
        left = self.world.apply(Delete(key))
        return Deleted(left or {}, gone=left is None)


@dataclass
class Lagging(Engine):
    """The budget's controller sees pods as they were; each kind has a watch of its own."""

    pods: dict[ObjectKey, Obj] = field(default_factory=dict)
    as_of: datetime | None = None

    def catch_up(self) -> None:
        self.pods = {key: obj for key, obj in self.world.objects.items() if key.kind == POD}
        self.as_of = self.world.now

    def seen_by(self, key: ObjectKey) -> World:
        if key.kind != PODDISRUPTIONBUDGET:
            return self.world
        if self.as_of is None or self.world.now - self.as_of > LAG:
            self.catch_up()
        others = {key: obj for key, obj in self.world.objects.items() if key.kind != POD}
        return World(self.world.now, {**others, **self.pods})


def guarded(replicas: int, limit: Obj) -> Lagging:
    """A deployment at rest and a budget that nobody has looked at."""
    engine = Lagging(new_engine(replicas, rolling(1, 0)).world)
    engine.world._create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"matchLabels": {"app": "web"}}, **limit},
        }
    )
    return engine


def healthy(world: World) -> int:
    return sum(is_healthy(pod) and not is_deleting(pod) for pod in world.list(POD))


limits = st.sampled_from(["minAvailable", "maxUnavailable"]).flatmap(
    lambda field: st.fixed_dictionaries(
        {field: st.integers(0, 6) | st.sampled_from(["0%", "25%", "34%", "50%", "99%", "100%"])}
    )
)


@settings(max_examples=60, deadline=None)
@given(replicas=st.integers(1, 8), limit=limits, data=st.data())
def test_evictions_keep_what_the_budget_asks_for(
    replicas: int, limit: Obj, data: st.DataObject
) -> None:
    engine = guarded(replicas, limit)
    world = engine.world
    needed = min(replicas, expectation({"spec": limit}, replicas, replicas).healthy)
    for _ in range(data.draw(st.integers(5, 80))):
        what = data.draw(st.sampled_from(["act"] * 4 + ["evict"] * 4 + ["catch up", "budget"]))
        if what == "act":
            act(engine, data, [1], ["none"])
        elif what == "catch up":
            engine.catch_up()
        elif what == "budget" and BUDGET not in engine.waiting:
            engine.step(BUDGET)
        elif what == "evict":
            pods = [pod for pod in world.list(POD) if is_healthy(pod)]
            if pods:
                try_to_evict(world, data.draw(st.sampled_from(pods)))
        assert healthy(world) >= needed


def try_to_evict(world: World, pod: Obj) -> None:
    try:
        evict(Verbs(world), key_of(pod), DeleteOptions(), world.now)
    except ApiError as error:
        if error.code != 429:
            raise


def test_a_budget_that_allows_one_lets_one_go_then_another() -> None:
    """The property above isn't true for want of evictions."""
    engine = guarded(3, {"maxUnavailable": 1})
    engine.step(BUDGET)
    first, second, _ = engine.world.list(POD)
    evict(Verbs(engine.world), key_of(first), DeleteOptions(), engine.world.now)
    with pytest.raises(ApiError):
        evict(Verbs(engine.world), key_of(second), DeleteOptions(), engine.world.now)
    engine.settle()
    engine.catch_up()
    engine.step(BUDGET)
    evict(Verbs(engine.world), key_of(second), DeleteOptions(), engine.world.now)
