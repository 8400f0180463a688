"""RollingUpdate: how large the new and the old ReplicaSets should be next; pure.

The arithmetic is upstream's (semantics 1.7). It is done on what ReplicaSets *should* have and on
what they last *reported*, so it is only as true as those reports. Two rules beyond upstream keep
floor and ceiling at every instant, at the price of a few milliseconds:

- a report older than the set's present size is not acted upon (``settled``);
- a pod that a set has not deleted yet still takes up room (``footprint``), and pods beyond a set's
  size do not count as available (``sure_available``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nodrop.controllers.deployment.snapshot import DeploymentView, SetView


@dataclass(frozen=True, slots=True)
class Resize:
    """Set ``target`` to ``to`` replicas."""

    target: SetView
    to: int

    @property
    def changes(self) -> bool:
        """Whether the size differs; otherwise only annotations are brought up to date."""
        return self.to != self.target.desired


def settled(sets: Iterable[SetView]) -> bool:
    """Whether every set's report is about its present size."""
    return all(one.observed for one in sets)


def next_new_size(view: DeploymentView, current: int, others: Sequence[SetView]) -> int:
    """How large the new set, now ``current``, may be beside ``others``.

    Worked example, replicas 10, surge 3: old 10, new 0 → 3 (13 may exist). Old 8, new 3 → 5.
    With three pods of room but one missing → 10, never more than replicas.
    """
    if view.recreate:
        return view.replicas
    if not settled(others):
        return current
    room = view.max_pods - sum(one.footprint for one in others) - current
    return current + max(0, min(room, view.replicas - current))


def plan_rolling(view: DeploymentView, new: SetView, old: Sequence[SetView]) -> tuple[Resize, ...]:
    """One step of a rolling update: grow the new set, or else shrink old ones, or nothing."""
    return _plan_new(view, new, old) or _plan_old(view, new, old)


# Private


def _plan_new(view: DeploymentView, new: SetView, old: Sequence[SetView]) -> tuple[Resize, ...]:
    if new.desired == view.replicas:
        return ()
    if new.desired > view.replicas:
        return (Resize(new, view.replicas),)
    if not new.observed or new.replicas > new.desired:
        return ()  # it still deletes pods from an earlier, larger size
    size = next_new_size(view, new.desired, old)
    return (Resize(new, size),) if size != new.desired else ()


def _plan_old(view: DeploymentView, new: SetView, old: Sequence[SetView]) -> tuple[Resize, ...]:
    """Shrink old sets: first pods that are not available anyway, then what the floor leaves.

    How many at most: all pods, less the floor, less the new pods that can't serve yet.

    Example, replicas 10, surge 3, unavailable 2 (floor 8), crash-looping new pods: old 8 and new
    5 with 0 available: 13 - 8 - 5 = 0, so the old 8 stay for ever.
    Example, a roll-over: the 5 crash-looping ones are now old too, and a third set has 0:
    old 8 + 5, 13 - 8 - 0 = 5 may go, and the 5 unavailable ones go at once.
    """
    everyone = [*old, new]
    if not any(one.desired for one in old) or not settled(everyone):
        return ()
    total = sum(one.desired for one in everyone)
    spare = total - view.min_available - (new.desired - new.sure_available)
    if spare <= 0:
        return ()
    oldest_first = sorted(old, key=lambda one: one.age_key)
    sizes = {one.uid: one.desired for one in oldest_first}
    _drop_unavailable(oldest_first, sizes, spare)
    budget = sum(one.sure_available for one in everyone) - view.min_available
    _drop(oldest_first, sizes, budget)
    return tuple(
        Resize(one, sizes[one.uid]) for one in oldest_first if sizes[one.uid] != one.desired
    )


def _drop_unavailable(sets: Sequence[SetView], sizes: dict[str, int], spare: int) -> None:
    """Take up to ``spare`` pods that are not available: ending them costs nothing."""
    for one in sets:
        taken = min(spare, one.desired - one.sure_available)
        sizes[one.uid] -= taken
        spare -= taken


def _drop(sets: Sequence[SetView], sizes: dict[str, int], budget: int) -> None:
    """Take up to ``budget`` pods, available ones too."""
    for one in sets:
        taken = min(max(budget, 0), sizes[one.uid])
        sizes[one.uid] -= taken
        budget -= taken
