"""Which old ReplicaSets may go: those beyond revisionHistoryLimit; pure (semantics 1.11)."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.controllers.deployment.snapshot import DeploymentView, SetView
from nodrop.model.meta import is_deleting


def plan_cleanup(view: DeploymentView, old: Sequence[SetView]) -> tuple[SetView, ...]:
    """The oldest revisions in excess; one that still has pods is kept and not replaced by another.

    Example: limit 2, revisions 1 (still one pod), 2, 3, 4 → the excess is 1 and 2; only 2 goes.
    """
    if view.history_limit is None:
        return ()
    alive = [one for one in old if not is_deleting(one.obj)]
    excess = len(alive) - view.history_limit
    by_revision = sorted(alive, key=lambda one: one.revision)
    return tuple(
        one
        for one in by_revision[: max(0, excess)]
        if one.desired == 0 and one.replicas == 0 and one.observed
    )
