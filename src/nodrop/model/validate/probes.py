"""Rules for probes and hooks: exactly one handler, and numbers that make sense."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.signals import signal_number
from nodrop.model.validate.causes import (
    MOST_INT32,
    forbidden,
    invalid,
    non_negative,
    one_of,
    required,
)
from nodrop.model.validate.names import header_name, port_number, port_number_or_name

_SCHEMES = ("HTTP", "HTTPS")
_HANDLERS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")
_NUMBERS = (
    "initialDelaySeconds",
    "timeoutSeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
)


def validate_probes(container: Obj, path: str) -> list[Cause]:
    """Causes for a container's three probes."""
    causes = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        where = f"{path}.{name}"
        causes += _probe(probe, where)
        grace_s = probe.get("terminationGracePeriodSeconds")
        if name == "readinessProbe":
            if grace_s is not None:
                at = f"{where}.terminationGracePeriodSeconds"
                causes.append(invalid(at, grace_s, "must not be set for readinessProbes"))
        elif probe.get("successThreshold", 1) != 1:
            at = f"{where}.successThreshold"
            causes.append(invalid(at, probe["successThreshold"], "must be 1"))
    return causes


def _probe(probe: Obj, path: str) -> list[Cause]:
    causes = _handler(probe, path, grace_s=None)
    for field in _NUMBERS:
        causes += non_negative(f"{path}.{field}", probe.get(field))
    grace_s = probe.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s <= 0:
        at = f"{path}.terminationGracePeriodSeconds"
        causes.append(invalid(at, grace_s, "must be greater than 0"))
    if grace_s is not None and grace_s > MOST_INT32:
        at = f"{path}.terminationGracePeriodSeconds"
        causes.append(invalid(at, grace_s, f"must be no more than {MOST_INT32}"))
    return causes


def validate_hooks(lifecycle: Obj, path: str, grace_s: int | None) -> list[Cause]:
    """Causes for postStart and preStop; a sleep may not outlast the pod's grace period."""
    causes = []
    for name in ("postStart", "preStop"):
        if name in lifecycle:
            causes += _handler(lifecycle[name], f"{path}.{name}", grace_s=grace_s)
    return causes + _stop_signal(lifecycle.get("stopSignal"), f"{path}.stopSignal")


def _stop_signal(name: str | None, path: str) -> list[Cause]:
    if not name or signal_number(name) is not None:
        return []
    text = "must be the name of a signal, such as SIGTERM, SIGUSR1, SIGRTMIN+3 or SIGRTMAX-2"
    return [invalid(path, name, text)]


def _handler(handler: Obj, path: str, *, grace_s: int | None) -> list[Cause]:
    found = [name for name in _HANDLERS if handler.get(name) is not None]
    if not found:
        return [required(path, "must specify a handler type")]
    causes = [
        forbidden(f"{path}.{name}", "may not specify more than 1 handler type")
        for name in found[1:]
    ]
    action, where = handler[found[0]], f"{path}.{found[0]}"
    match found[0]:
        case "exec":
            if not action.get("command"):
                causes.append(required(f"{where}.command"))
        case "httpGet":
            causes += _http_get(action, where)
        case "sleep":
            causes += _sleep(action.get("seconds", 0), where, grace_s)
        case "tcpSocket":
            causes += _port(action.get("port", 0), where)
        case _:
            port = action.get("port", 0)
            causes += [invalid(f"{where}.port", port, text) for text in port_number(port)]
    return causes


def _http_get(action: Obj, path: str) -> list[Cause]:
    causes = [] if action.get("path") else [required(f"{path}.path")]
    causes += _port(action.get("port", 0), path)
    causes += one_of(f"{path}.scheme", action.get("scheme"), _SCHEMES)
    for header in action.get("httpHeaders") or ():
        name = header.get("name", "")
        causes += [invalid(f"{path}.httpHeaders", name, text) for text in header_name(name)]
    return causes


def _port(port: int | str, path: str) -> list[Cause]:
    return [invalid(f"{path}.port", port, text) for text in port_number_or_name(port)]


def _sleep(seconds: int, path: str, grace_s: int | None) -> list[Cause]:
    """Zero is allowed as from Kubernetes 1.33, though the sentence still says otherwise."""
    if grace_s is None or 0 <= seconds <= grace_s:
        return []
    text = f"must be greater than 0 and less than terminationGracePeriodSeconds ({grace_s})"
    return [invalid(path, seconds, text)]
