"""Recreate: all old pods go before the first new one comes; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nodrop.controllers.deployment.rolling import Resize, settled
from nodrop.controllers.deployment.snapshot import SetView
from nodrop.controllers.pods import is_terminal
from nodrop.model.meta import Obj, controller_of


def plan_scale_down(old: Sequence[SetView]) -> tuple[Resize, ...]:
    """Every old set to zero."""
    return tuple(Resize(one, 0) for one in old if one.desired > 0)


def old_pods_left(old: Sequence[SetView], pods: Iterable[Obj]) -> bool:
    """Whether a pod of an old set may still run; one that is terminating does."""
    if not settled(old) or any(one.replicas for one in old):
        return True
    uids = {one.uid for one in old}
    return any(not is_terminal(pod) and _owner_uid(pod) in uids for pod in pods)


def _owner_uid(pod: Obj) -> str:
    owner = controller_of(pod)
    return owner["uid"] if owner else ""
