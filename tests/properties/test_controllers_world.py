"""S5, S3, S4: floor and ceiling hold at every instant, however controllers and pods interleave."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.model.kinds import POD
from nodrop.model.meta import Obj
from tests.properties.controllers_world import (
    ROLLS,
    Engine,
    Watcher,
    act,
    assert_converged,
    new_engine,
    strategies,
    template,
)


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 8),
    strategy=strategies(),
    min_ready_s=st.sampled_from([0, 0, 5]),
    changes=st.sampled_from([ROLLS, [*ROLLS, "scale", "strategy"]]),
    data=st.data(),
)
def test_s5_floor_and_ceiling_hold_at_every_instant_of_any_interleaving(
    replicas: int, strategy: Obj, min_ready_s: int, changes: list[str], data: st.DataObject
) -> None:
    engine = new_engine(replicas, strategy, min_ready_s=min_ready_s)
    engine.world.edit(template=template(2))
    version = [2]
    Watcher(engine).attend()
    for _ in range(data.draw(st.integers(10, 80))):
        act(engine, data, version, changes)
    engine.waiting.clear()
    engine.world.edit(paused=False)
    engine.settle()
    assert_converged(engine)


@settings(max_examples=30, deadline=None)
@given(replicas=st.integers(1, 6), data=st.data())
def test_recreate_never_lets_two_versions_run_together(replicas: int, data: st.DataObject) -> None:
    engine = new_engine(replicas, {"type": "Recreate"})
    engine.world.edit(template=template(2))
    for _ in range(data.draw(st.integers(5, 60))):
        act_without_user(engine, data)
        images = {pod["spec"]["containers"][0]["image"] for pod in engine.world.list(POD)}
        assert len(images) <= 1
    engine.waiting.clear()
    engine.settle()
    assert_converged(engine)


def act_without_user(engine: Engine, data: st.DataObject) -> None:
    keys = engine.reconciled()
    what = data.draw(st.sampled_from(["decide", "apply", "gone", "ready"]))
    if what == "decide":
        key = data.draw(st.sampled_from(keys))
        if key not in engine.waiting:
            engine.decide(key)
    elif what == "apply" and engine.waiting:
        engine.apply(data.draw(st.sampled_from(list(engine.waiting))))
    elif what == "gone":
        for pod in engine.world.list(POD):
            if pod["metadata"].get("deletionTimestamp"):
                engine.world.finish(pod)
                return
    else:
        for pod in engine.world.active_pods():
            if not pod["status"]:
                engine.world.make_ready(pod)
                return


@settings(max_examples=30, deadline=None)
@given(replicas=st.integers(1, 8), strategy=strategies(), data=st.data())
def test_decide_is_idempotent_on_its_own_result(
    replicas: int, strategy: Obj, data: st.DataObject
) -> None:
    """While nothing else moves, a controller soon has nothing more to do."""
    engine = new_engine(replicas, strategy)
    engine.world.edit(template=template(2))
    for _ in range(data.draw(st.integers(0, 30))):
        act(engine, data, [2])
    engine.waiting.clear()
    for key in engine.reconciled():
        for _ in range(6):
            engine.step(key)
            if key not in engine.world.objects:
                break
        if key in engine.world.objects:
            assert engine.decide(key).actions == ()
