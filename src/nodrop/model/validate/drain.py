"""Rules for the annotations about a pod's drain."""

from __future__ import annotations

from nodrop.model.drain import DRAIN_TIMEOUT, STREAM_DRAIN_TIMEOUT
from nodrop.model.duration import parse_duration_s
from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import invalid

_DEFAULT_GRACE_S = 30


def drain_causes(meta: Obj, spec: Obj, path: str) -> list[Cause]:
    """What is wrong with the annotations of a pod, or of a pod template at ``path``."""
    grace_s = spec.get("terminationGracePeriodSeconds")
    grace_s = _DEFAULT_GRACE_S if grace_s is None else grace_s
    causes = []
    for name in (DRAIN_TIMEOUT, STREAM_DRAIN_TIMEOUT):
        text = (meta.get("annotations") or {}).get(name)
        if text is None:
            continue
        at, seconds = f"{path}.annotations[{name}]", parse_duration_s(str(text))
        if seconds is None:
            causes.append(invalid(at, text, "must be a duration, such as 20s, 1m30s or 500ms"))
        elif seconds > grace_s:
            detail = (
                f"must be at most terminationGracePeriodSeconds ({grace_s}s): "
                "a drain does not extend the grace period"
            )
            causes.append(invalid(at, text, detail))
    return causes
