"""Scaling in mid-rollout: share a new size among the sets in proportion; pure (semantics 1.9)."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.controllers.deployment.rolling import Resize, settled
from nodrop.controllers.deployment.snapshot import (
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    DeploymentView,
    SetView,
)


def is_scaling(view: DeploymentView, sets: Sequence[SetView]) -> bool:
    """Whether spec.replicas changed since the active sets were sized.

    Under Recreate only while one set is active: with several (the strategy was switched in
    mid-rollout) the old ones go first, whatever they remember; upstream would stand still.
    """
    active = [one for one in sets if one.desired > 0]
    if view.recreate and len(active) > 1 and not view.paused:
        return False
    known = [one.number(DESIRED_REPLICAS) for one in active]
    return any(size is not None and size != view.replicas for size in known)


def plan_scaling(
    view: DeploymentView, new: SetView | None, old: Sequence[SetView]
) -> tuple[Resize, ...]:
    """The sizes for a changed ``replicas``.

    A Resize to the present size is meaningful: it rewrites the set's annotations, so that the
    next sync knows the scaling is over.
    """
    everyone = [*old, new] if new else list(old)
    if (only := _active_or_latest(new, old)) is not None:
        resizes: tuple[Resize, ...] = (Resize(only, view.replicas),)
    elif new is not None and _is_saturated(view, new):
        resizes = tuple(Resize(one, 0) for one in old if one.desired > 0)
    elif view.recreate:
        return ()
    else:
        resizes = _share(view, [one for one in everyone if one.desired > 0])
    grows = any(resize.to > resize.target.desired for resize in resizes)
    if (grows and not _may_grow(everyone)) or (len(resizes) > 1 and not settled(everyone)):
        return ()
    return resizes


# Private


def _may_grow(sets: Sequence[SetView]) -> bool:
    """Growing waits until no set has pods left over from a larger size: they take up room."""
    return settled(sets) and all(one.replicas <= one.desired for one in sets)


def _active_or_latest(new: SetView | None, old: Sequence[SetView]) -> SetView | None:
    """The only active set; without one the new set or else the newest; None if several."""
    everyone = [*old, new] if new else list(old)
    active = [one for one in everyone if one.desired > 0]
    if len(active) > 1:
        return None
    if active:
        return active[0]
    return new or max(old, key=lambda one: one.age_key, default=None)


def _is_saturated(view: DeploymentView, new: SetView) -> bool:
    wanted = view.replicas
    return (
        new.observed
        and new.desired == wanted
        and new.number(DESIRED_REPLICAS) == wanted
        and new.available == wanted
    )


def _share(view: DeploymentView, active: Sequence[SetView]) -> tuple[Resize, ...]:
    """Split the difference in proportion to size, largest first; the largest gets the remainder.

    Example: 8 + 5 pods of a stuck rollout, replicas 10 → 30, surge 3. 33 may exist instead of 13,
    so 20 are added: 8 · 33/13 = 20.3 → 20, 5 · 33/13 = 12.7 → 13.
    """
    allowed = view.max_pods if view.replicas > 0 else 0
    to_add = allowed - sum(one.desired for one in active)
    ordered = _largest_first(active, growing=to_add > 0)
    sizes, added = [], 0
    for one in ordered:
        share = _clip(_fraction(view, one), to_add - added) if to_add else 0
        sizes.append(one.desired + share)
        added += share
    if ordered and to_add:
        sizes[0] = max(0, sizes[0] + to_add - added)
    if to_add < 0:
        _spare_available(view, ordered, sizes)
    return tuple(Resize(one, size) for one, size in zip(ordered, sizes, strict=True))


def _largest_first(sets: Sequence[SetView], *, growing: bool) -> list[SetView]:
    """By size; between equals the newest grows first and the oldest shrinks first."""
    by_age = sorted(sets, key=lambda one: one.age_key, reverse=growing)
    return sorted(by_age, key=lambda one: -one.desired)


def _fraction(view: DeploymentView, one: SetView) -> int:
    """How many pods to add to this set (negative: remove) if it were alone with its share."""
    if view.replicas == 0:
        return -one.desired
    status = view.obj.get("status") or {}
    before = one.number(MAX_REPLICAS) or status.get("replicas") or 0
    if before == 0:
        return 0
    return _round_half_away(one.desired * view.max_pods, before) - one.desired


def _round_half_away(numerator: int, denominator: int) -> int:
    """Round a quotient of non-negative numbers, halves up, as Go's math.Round does."""
    return (2 * numerator + denominator) // (2 * denominator)


def _clip(share: int, left: int) -> int:
    """Keep a share between 0 and what is left, which may be negative.

    Beyond upstream: while there is something to add, no set shrinks. A set that was sized for
    a larger surge would, and with it available pods that the floor needs (S5).
    """
    return max(0, min(share, left)) if left > 0 else min(0, max(share, left))


def _spare_available(view: DeploymentView, sets: Sequence[SetView], sizes: list[int]) -> None:
    """Shift the cut from available pods to others where the floor would break.

    Proportions alone can break it: replicas 4 → 3, surge 100 %, unavailable 0, sets of 4
    (available), 2 and 2 (not): upstream's shares are 2 + 2 + 2, which leaves 2 of 3.
    """
    kept = [min(one.sure_available, size) for one, size in zip(sets, sizes, strict=True)]
    possible = sum(one.sure_available for one in sets)
    missing = min(possible, view.min_available) - sum(kept)
    for at, one in enumerate(sets):
        for other, donor in enumerate(sets):
            if missing <= 0:
                return
            moved = min(
                missing,
                max(0, one.sure_available - sizes[at]),
                max(0, sizes[other] - donor.sure_available),
            )
            sizes[at] += moved
            sizes[other] -= moved
            missing -= moved
