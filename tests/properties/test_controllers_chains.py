"""S5: chains of roll-overs, broken versions, scaling, pauses and switches of the strategy."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.controllers.deployment.scaling import plan_scaling
from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    DeploymentView,
    SetView,
)
from nodrop.model.intstr import resolve_fenceposts
from nodrop.model.meta import Obj
from tests.properties.controllers_world import (
    Engine,
    Watcher,
    act,
    assert_converged,
    new_engine,
    strategies,
    template,
)

CALM: list[str] = ["none"]
RECREATE: Obj = {"type": "Recreate"}


def pass_time(engine: Engine, data: st.DataObject, most: int) -> None:
    """Decisions, writes and pods, in any order, without a user."""
    for _ in range(data.draw(st.integers(0, most))):
        act(engine, data, [0], CALM)


def finish(engine: Engine, version: int) -> None:
    """The user's last word is a version that works, not paused; then everything comes to rest."""
    engine.waiting.clear()
    engine.world.edit(template=template(version), paused=False)
    engine.settle()
    assert_converged(engine)


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 8),
    strategy=strategies(),
    broken=st.lists(st.booleans(), min_size=2, max_size=6),
    data=st.data(),
)
def test_s5_a_chain_of_roll_overs_keeps_floor_and_ceiling(
    replicas: int, strategy: Obj, broken: list[bool], data: st.DataObject
) -> None:
    """Each version comes before the one before it is out; some never become ready."""
    engine = new_engine(replicas, strategy)
    engine.world.broken = {at for at, is_broken in enumerate(broken, start=2) if is_broken}
    Watcher(engine).attend()
    for at in range(len(broken)):
        engine.world.edit(template=template(at + 2))
        pass_time(engine, data, 25)
    finish(engine, 100)


@settings(max_examples=40, deadline=None)
@given(
    replicas=st.integers(1, 10),
    strategy=strategies(),
    changes=st.lists(
        st.sampled_from(["roll", "break", "back", "scale", "pause", "resume"]),
        min_size=3,
        max_size=10,
    ),
    data=st.data(),
)
def test_s5_scaling_and_pausing_in_the_middle_of_broken_rollouts(
    replicas: int, strategy: Obj, changes: list[str], data: st.DataObject
) -> None:
    engine = new_engine(replicas, strategy)
    world, version = engine.world, 1
    Watcher(engine).attend()
    for change in changes:
        match change:
            case "roll" | "break":
                version += 1
                if change == "break":
                    world.broken.add(version)
                world.edit(template=template(version))
            case "back":
                world.edit(template=template(1))
            case "scale":
                world.edit(replicas=data.draw(st.integers(0, 12)))
            case _:
                world.edit(paused=change == "pause")
        pass_time(engine, data, 20)
    finish(engine, 100)


@settings(max_examples=30, deadline=None)
@given(
    replicas=st.integers(1, 8),
    kinds=st.lists(st.booleans(), min_size=1, max_size=5),
    data=st.data(),
)
def test_switching_to_recreate_and_back_always_comes_to_an_end(
    replicas: int, kinds: list[bool], data: st.DataObject
) -> None:
    """Neither bound holds across a switch, but nothing may stand still, scaled or not."""
    engine = new_engine(replicas, data.draw(strategies()))
    for at, recreate in enumerate(kinds):
        engine.world.edit(template=template(at + 2))
        pass_time(engine, data, 20)
        strategy = RECREATE if recreate else data.draw(strategies())
        engine.world.edit(strategy=strategy, replicas=data.draw(st.integers(1, 8)))
        pass_time(engine, data, 20)
    engine.waiting.clear()
    engine.settle()
    assert_converged(engine)


def sized_set(at: int, desired: int, available: int, before: int, most: int) -> SetView:
    annotations = {DESIRED_REPLICAS: str(before), MAX_REPLICAS: str(most)}
    return SetView(
        obj={"metadata": {"name": f"s{at}", "annotations": annotations}},
        name=f"s{at}",
        uid=f"s{at}",
        created=f"{at:03}",
        desired=desired,
        replicas=desired,
        ready=available,
        available=available,
        observed=True,
    )


@settings(max_examples=300, deadline=None)
@given(
    before=st.integers(1, 40),
    after=st.integers(0, 40),
    surge=st.integers(0, 60),
    unavailable=st.integers(1, 60),
    data=st.data(),
)
def test_s5_shares_add_up_and_keep_the_floor(
    before: int, after: int, surge: int, unavailable: int, data: st.DataObject
) -> None:
    """Several active sets that fill the old size: together they fill a larger one exactly.

    Shrinking may leave more, as upstream's rounding does: 1 + 1 + 1 + 1 of 4, made 2, keep half a
    pod each, which is one; the first gives the remainder of 2 but has only one. The rollout takes
    what is too much afterwards.
    """
    percent_surge, percent_unavailable = f"{surge}%", f"{unavailable}%"
    most_before = before + resolve_fenceposts(percent_surge, percent_unavailable, before).surge
    if most_before < 2:
        return
    cuts = sorted(data.draw(st.sets(st.integers(1, most_before - 1), min_size=1, max_size=3)))
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, most_before], strict=True)]
    sets = [
        sized_set(at, size, data.draw(st.integers(0, size)), before, most_before)
        for at, size in enumerate(parts)
    ]
    posts = resolve_fenceposts(percent_surge, percent_unavailable, after)
    view = DeploymentView(
        obj={"metadata": {"name": "web"}, "status": {}},
        name="web",
        replicas=after,
        recreate=False,
        surge=posts.surge,
        unavailable=posts.unavailable,
        min_ready_s=0,
        paused=False,
        deadline_s=600,
        history_limit=10,
    )
    *old, new = sets
    new_is_saturated = new.available == new.desired == after == before
    resizes = plan_scaling(view, new, old)
    sizes = {resize.target.uid: resize.to for resize in resizes}
    assert all(size >= 0 for size in sizes.values())
    if new_is_saturated:
        assert all(sizes[one.uid] == 0 for one in old)
        return
    wanted = view.max_pods if after else 0
    assert wanted <= sum(sizes.values()) <= max(wanted, most_before)
    if wanted >= most_before or not after:
        assert sum(sizes.values()) == wanted
    available = sum(one.available for one in sets)
    kept = sum(min(one.available, sizes[one.uid]) for one in sets)
    assert kept >= min(available, view.min_available)
