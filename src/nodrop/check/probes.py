"""Warnings about probes and hooks that name a port which no container declares. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.model.meta import Obj

_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_HOOKS = ("postStart", "preStop")


def port_warnings(pod_spec: Obj, path: str) -> Iterator[str]:
    """One sentence for each named port that a probe or hook asks for in vain.

    The API takes such a name; the probe then fails as long as the pod lives.

    >>> probe = {"httpGet": {"port": "htpp"}}
    >>> pod = {"containers": [{"name": "a", "readinessProbe": probe,
    ...                        "ports": [{"name": "http", "containerPort": 80}]}]}
    >>> list(port_warnings(pod, "spec"))[0][:59]
    'spec.containers[0].readinessProbe.httpGet.port: "htpp" is n'
    """
    for field in ("containers", "initContainers"):
        for index, container in enumerate(pod_spec.get(field) or ()):
            named = [port["name"] for port in container.get("ports") or () if port.get("name")]
            for place, port in _ports_asked_for(container):
                if port not in named:
                    known = ", ".join(named) or "none"
                    yield (
                        f'{path}.{field}[{index}].{place}.port: "{port}" is no port of container '
                        f"{container.get('name', '')} (named ports: {known}), so it always fails"
                    )


# Private


def _ports_asked_for(container: Obj) -> Iterator[tuple[str, str]]:
    """(where, port name) of every action that goes to a port by name."""
    lifecycle = container.get("lifecycle") or {}
    actions = [(name, container.get(name)) for name in _PROBES]
    actions += [(f"lifecycle.{name}", lifecycle.get(name)) for name in _HOOKS]
    for name, action in actions:
        for how in ("httpGet", "tcpSocket"):
            port = ((action or {}).get(how) or {}).get("port")
            if isinstance(port, str) and not port.isdigit():
                yield f"{name}.{how}", port
