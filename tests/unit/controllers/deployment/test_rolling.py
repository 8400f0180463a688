"""S3, S4, S5: the arithmetic of a rolling update, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.controllers.deployment.rolling import next_new_size, plan_rolling
from nodrop.controllers.deployment.scaling import plan_scaling
from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    DeploymentView,
    SetView,
)


def view(replicas: int, surge: int, unavailable: int, *, recreate: bool = False) -> DeploymentView:
    return DeploymentView(
        obj={"metadata": {"name": "web"}, "status": {}},
        name="web",
        replicas=replicas,
        recreate=recreate,
        surge=surge,
        unavailable=unavailable,
        min_ready_s=0,
        paused=False,
        deadline_s=600,
        history_limit=10,
    )


def one_set(
    name: str,
    desired: int,
    available: int,
    *,
    replicas: int | None = None,
    observed: bool = True,
    annotations: dict[str, Any] | None = None,
) -> SetView:
    return SetView(
        obj={"metadata": {"name": name, "annotations": annotations or {}}},
        name=name,
        uid=name,
        created=name,
        desired=desired,
        replicas=desired if replicas is None else replicas,
        ready=available,
        available=available,
        observed=observed,
    )


def sizes(resizes: tuple[Any, ...]) -> dict[str, int]:
    return {resize.target.name: resize.to for resize in resizes}


@pytest.mark.parametrize(
    ("numbers", "new", "old", "expected"),
    [
        # (replicas, surge, unavailable), (new desired, available), (old …), what changes
        ((10, 3, 2), (0, 0), (10, 10), {"new": 3}),  # the first surge
        ((10, 3, 2), (3, 0), (10, 10), {"old": 8}),  # the floor leaves two to take
        ((10, 3, 2), (3, 0), (8, 8), {"new": 5}),  # which makes room for two more
        ((10, 3, 2), (5, 0), (8, 8), {}),  # a stuck template rests at 8 and 5
        ((10, 3, 2), (5, 5), (8, 8), {"old": 3}),  # five new ones serve: five old may go
        ((10, 3, 2), (10, 10), (3, 3), {"old": 0}),  # everything is new
        ((1, 1, 0), (0, 0), (1, 1), {"new": 1}),  # one replica: the new one first
        ((1, 1, 0), (1, 0), (1, 1), {}),  # wait until it can serve
        ((1, 1, 0), (1, 1), (1, 1), {"old": 0}),  # only then the old one goes
        ((3, 0, 1), (0, 0), (3, 3), {"old": 2}),  # no surge: one old pod makes room
        ((3, 0, 1), (0, 0), (2, 2), {"new": 1}),
        ((3, 0, 1), (1, 1), (2, 2), {"old": 1}),
        ((5, 0, 5), (0, 0), (5, 5), {"old": 0}),  # all may be missing
        ((10, 3, 2), (12, 10), (0, 0), {"new": 10}),  # too large: cut to replicas
        ((4, 1, 0), (1, 1), (4, 0), {"old": 3}),  # dead old pods make room, one in excess
    ],
)
def test_one_step(
    numbers: tuple[int, int, int],
    new: tuple[int, int],
    old: tuple[int, int],
    expected: dict[str, int],
) -> None:
    found = plan_rolling(view(*numbers), one_set("new", *new), [one_set("old", *old)])
    assert sizes(found) == expected


def test_a_roll_over_ends_unavailable_pods_at_once_oldest_set_first() -> None:
    old = [one_set("a", 8, 8), one_set("b", 5, 0)]
    assert sizes(plan_rolling(view(10, 3, 2), one_set("c", 0, 0), old)) == {"b": 0}


def test_the_floor_takes_from_the_oldest_set_first() -> None:
    old = [one_set("b", 4, 4), one_set("a", 4, 4)]
    assert sizes(plan_rolling(view(10, 3, 2), one_set("c", 5, 5), old)) == {"a": 0, "b": 3}


def test_a_report_older_than_the_size_is_not_acted_upon() -> None:
    new, old = one_set("new", 5, 5), one_set("old", 8, 8, observed=False)
    assert plan_rolling(view(10, 3, 2), new, [old]) == ()


def test_pods_not_deleted_yet_still_take_up_room() -> None:
    old = one_set("old", 8, 8, replicas=10)
    assert plan_rolling(view(10, 3, 2), one_set("new", 3, 0), [old]) == ()


def test_available_pods_beyond_the_size_do_not_count() -> None:
    """Old 4 (status still says 8) and new 5: 9 serve, the floor is 8, one may go and not five."""
    old = one_set("old", 4, 8, replicas=4)
    found = plan_rolling(view(10, 0, 2), one_set("new", 10, 5), [old])
    assert sizes(found) == {"old": 3}


@pytest.mark.parametrize(
    ("numbers", "others", "expected"),
    [
        ((10, 3, 2), [10], 3),  # what the surge allows
        ((10, 3, 2), [13], 0),  # a roll-over without room
        ((10, 3, 2), [], 10),  # nothing there: all at once
        ((2, 9, 0), [1], 2),  # never more than replicas
    ],
)
def test_a_new_set_starts_with_the_room_there_is(
    numbers: tuple[int, int, int], others: list[int], expected: int
) -> None:
    sets = [one_set(str(at), size, size) for at, size in enumerate(others)]
    assert next_new_size(view(*numbers), 0, sets) == expected


def scaled_set(name: str, desired: int, available: int, before: int, maximum: int) -> SetView:
    annotations = {DESIRED_REPLICAS: str(before), MAX_REPLICAS: str(maximum)}
    return one_set(name, desired, available, annotations=annotations)


@pytest.mark.parametrize(
    ("numbers", "old", "new", "expected"),
    [
        # upstream's figure: 8 + 5 stuck, 10 → 30 with surge 3
        ((30, 3, 2), (8, 8, 10, 13), (5, 0, 10, 13), {"old": 20, "new": 13}),
        # and back
        ((10, 3, 2), (20, 20, 30, 33), (13, 0, 30, 33), {"old": 8, "new": 5}),
        # to nothing
        ((0, 3, 0), (8, 8, 10, 13), (5, 0, 10, 13), {"old": 0, "new": 0}),
        # only annotations are behind: sizes stay, and are rewritten with them
        ((10, 3, 2), (8, 8, 9, 13), (5, 0, 9, 13), {"old": 8, "new": 5}),
        # equal sizes shrink oldest first
        ((4, 0, 1), (3, 3, 6, 6), (3, 3, 6, 6), {"old": 2, "new": 2}),
        # the new set has all it needs: old ones go
        ((5, 1, 0), (1, 1, 4, 5), (5, 5, 5, 6), {"old": 0}),
    ],
)
def test_scaling_in_mid_rollout_shares_in_proportion(
    numbers: tuple[int, int, int],
    old: tuple[int, int, int, int],
    new: tuple[int, int, int, int],
    expected: dict[str, int],
) -> None:
    found = plan_scaling(view(*numbers), scaled_set("new", *new), [scaled_set("old", *old)])
    assert sizes(found) == expected


def test_the_only_active_set_takes_it_all() -> None:
    assert sizes(plan_scaling(view(7, 1, 0), one_set("new", 3, 3), [one_set("old", 0, 0)])) == {
        "new": 7
    }


def test_s5_shares_never_cut_below_the_floor() -> None:
    """Upstream's shares would be 2, 2 and 2, with 2 of the promised 3 available."""
    old = [scaled_set("a", 4, 4, 4, 8), scaled_set("b", 2, 0, 4, 8)]
    found = sizes(plan_scaling(view(3, 3, 0), scaled_set("c", 2, 0, 4, 8), old))
    assert found["a"] == 3
    assert sum(found.values()) == 6
