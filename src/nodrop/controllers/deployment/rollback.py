"""The old server-side rollback: an annotation that names a revision; pure (semantics 1.10).

``kubectl rollout undo`` doesn't use it: it patches the template itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from nodrop.client.actions import Action, Emit, Update
from nodrop.controllers.deployment.revision import NOT_COPIED, without_hash
from nodrop.controllers.deployment.snapshot import ROLLBACK_TO, DeploymentView, SetView
from nodrop.events import Reason
from nodrop.model.meta import Obj, annotations_of

_WHOLE = re.compile(r"[+-]?[0-9]+")


def asked_revision(view: DeploymentView) -> int | None:
    """The revision to go back to, 0 = the one before the last; None = nobody asks."""
    text = annotations_of(view.obj).get(ROLLBACK_TO, "")
    return int(text) if _WHOLE.fullmatch(text) else None


def plan_rollback(view: DeploymentView, sets: Sequence[SetView], asked: int) -> tuple[Action, ...]:
    """Take that revision's template, or say why not; in any case nobody asks any more."""
    if asked == 0:
        asked = _last_but_one(sets)
        if asked == 0:
            return _refuse(view, "Unable to find last revision.")
    target = next((one for one in sets if one.revision == asked), None)
    if target is None:
        return _refuse(view, "Unable to find the revision to rollback to.")
    template = without_hash(target.obj["spec"]["template"])
    if template == without_hash(view.template):
        message = (
            f'The rollback revision contains the same template as current deployment "{view.name}"'
        )
        event = Emit(view.obj, "Warning", Reason.ROLLBACK_TEMPLATE_UNCHANGED, message)
        return (_cleared(view, annotations_of(view.obj)), event)
    message = f'Rolled back deployment "{view.name}" to revision {asked}'
    return (
        _cleared(view, _restored(view, target), template),
        Emit(view.obj, "Normal", Reason.ROLLBACK_DONE, message),
    )


# Private


def _last_but_one(sets: Sequence[SetView]) -> int:
    revisions = sorted({one.revision for one in sets})
    return revisions[-2] if len(revisions) > 1 else 0


def _refuse(view: DeploymentView, message: str) -> tuple[Action, ...]:
    event = Emit(view.obj, "Warning", Reason.ROLLBACK_REVISION_NOT_FOUND, message)
    return (_cleared(view, annotations_of(view.obj)), event)


def _restored(view: DeploymentView, target: SetView) -> dict[str, str]:
    """The annotations that revision had; those that are never copied stay the deployment's own."""
    own = {key: value for key, value in annotations_of(view.obj).items() if key in NOT_COPIED}
    theirs = {
        key: value for key, value in annotations_of(target.obj).items() if key not in NOT_COPIED
    }
    return {**own, **theirs}


def _cleared(
    view: DeploymentView, annotations: dict[str, str], template: Obj | None = None
) -> Update:
    kept = {key: value for key, value in annotations.items() if key != ROLLBACK_TO}
    obj = {**view.obj, "metadata": {**view.obj["metadata"], "annotations": kept}}
    if template is not None:
        obj["spec"] = {**view.obj["spec"], "template": template}
    return Update(obj)
