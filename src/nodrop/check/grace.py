"""Warnings about hooks that can't fit into the grace period (S20). Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.model.meta import Obj

_DEFAULT_GRACE_S = 30
_FLOOR_S = 2  # what upstream leaves between SIGTERM and SIGKILL when the hook used it all up


def hook_warnings(pod_spec: Obj, path: str) -> Iterator[str]:
    """One sentence for each preStop hook whose known length reaches the grace period.

    >>> list(hook_warnings({"terminationGracePeriodSeconds": 5, "containers": [
    ...     {"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 8}}}}]}, "spec"))[0][:60]
    'spec.containers[0].lifecycle.preStop takes 8 s, but terminat'
    """
    grace = pod_spec.get("terminationGracePeriodSeconds", _DEFAULT_GRACE_S)
    if not isinstance(grace, int):
        return
    for index, container in enumerate(pod_spec.get("containers") or ()):
        hook = ((container.get("lifecycle") or {}).get("preStop")) or {}
        seconds = hook_length_s(hook)
        if seconds is not None and seconds >= grace:
            yield (
                f"{path}.containers[{index}].lifecycle.preStop takes {seconds:g} s, but "
                f"terminationGracePeriodSeconds is {grace}: a hook does not extend it, so SIGTERM "
                f"comes at {grace} s and SIGKILL at {grace + _FLOOR_S} s; set "
                f"terminationGracePeriodSeconds to at least {seconds + 10:g}"
            )


def hook_length_s(hook: Obj) -> float | None:
    """How long a hook surely takes: a ``sleep`` action, or a command that is just ``sleep N``."""
    sleep = hook.get("sleep")
    if isinstance(sleep, dict) and isinstance(sleep.get("seconds"), int | float):
        return float(sleep["seconds"])
    command = list((hook.get("exec") or {}).get("command") or ())
    if len(command) == 3 and command[0].rsplit("/", 1)[-1] in {"sh", "bash"}:
        command = command[2].split() if command[1] == "-c" else []
    if len(command) == 2 and command[0].rsplit("/", 1)[-1] == "sleep":
        try:
            return float(command[1].removesuffix("s"))
        except ValueError:
            return None
    return None
