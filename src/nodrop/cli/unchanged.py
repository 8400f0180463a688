"""What an apply does not do: pods keep what they started with. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from nodrop.check.cluster import Name
from nodrop.model.meta import Obj


def restart_hints(
    deployments: Iterable[Obj], still: Iterable[Name], changed: Iterable[Name]
) -> list[str]:
    """A hint for each Deployment of ``still``: its pods do not see new code or settings.

    Those are the ones whose template an apply has left as it was, though perhaps not their size.
    ``changed`` are the objects that an apply has changed; of interest are the ConfigMaps and
    Secrets that a pod's environment was made of when it started.
    """
    stay, new, hints = set(still), set(changed), []
    for deployment in deployments:
        namespace, name = deployment["metadata"]["namespace"], deployment["metadata"]["name"]
        if Name("Deployment", namespace, name) not in stay:
            continue
        pod_spec = deployment["spec"]["template"].get("spec") or {}
        used = dict.fromkeys(Name(kind, namespace, of) for kind, of in _environment(pod_spec))
        told = [f"{one.kind} {one.name}" for one in used if one in new]
        why = f"{' and '.join(told)} changed, but " if told else ""
        where = "" if namespace == "default" else f" -n {namespace}"
        hints.append(
            f"{why}pods of {name} still run what they started with; to restart them as a rolling "
            f"update: nodrop rollout restart {name}{where}"
        )
    return hints


# Private


def _environment(pod_spec: Obj) -> Iterator[tuple[str, str]]:
    """(kind, name) of every ConfigMap and Secret that environments are made of."""
    for container in (*(pod_spec.get("initContainers") or ()), *(pod_spec.get("containers") or ())):
        for source in container.get("envFrom") or ():
            yield from _named(source, "configMapRef", "secretRef")
        for variable in container.get("env") or ():
            yield from _named(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")


def _named(source: Obj, config_map: str, secret: str) -> Iterator[tuple[str, str]]:
    for kind, field in (("ConfigMap", config_map), ("Secret", secret)):
        if name := (source.get(field) or {}).get("name"):
            yield kind, name
