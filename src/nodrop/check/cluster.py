"""Warnings about objects that the API takes and that lead nowhere. Pure.

A Service that selects nothing and an Ingress to a Service that is not there are legal, because
the other half may still come; whoever has just applied them wants to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nodrop.check.routes import shadowed
from nodrop.model.ingressclass import is_ours
from nodrop.model.meta import Obj, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the API serves now."""

    deployments: Sequence[Obj] = ()
    pods: Sequence[Obj] = ()
    services: Sequence[Obj] = ()
    ingresses: Sequence[Obj] = ()
    classes: Sequence[Obj] = ()


class Name(NamedTuple):
    """An object as a person names it."""

    kind: str
    namespace: str
    name: str


def cluster_warnings(applied: Collection[Name], cluster: Cluster) -> list[str]:
    """What of the ``applied`` objects leads nowhere, one sentence each."""
    found: list[str] = []
    for service in cluster.services:
        if _name("Service", service) in applied:
            found.extend(_of_service(service, cluster))
    for ingress in cluster.ingresses:
        if _name("Ingress", ingress) in applied and is_ours(ingress, cluster.classes):
            found.extend(_of_ingress(ingress, cluster))
    found.extend(
        str(one)
        for one in shadowed(cluster.ingresses, cluster.classes)
        if _name("Ingress", one.ingress) in applied
    )
    return list(dict.fromkeys(found))


def selected_specs(service: Obj, cluster: Cluster) -> list[Obj]:
    """The pod specs, of templates and of pods, that ``service`` selects."""
    selector = (service.get("spec") or {}).get("selector") or {}
    if not selector:
        return []
    namespace = service["metadata"].get("namespace")
    templates = [
        (one["metadata"].get("namespace"), one["spec"]["template"]) for one in cluster.deployments
    ]
    candidates = [*templates, *((pod["metadata"].get("namespace"), pod) for pod in cluster.pods)]
    return [
        candidate.get("spec") or {}
        for where, candidate in candidates
        if where == namespace and selector.items() <= _labels(candidate).items()
    ]


def backends_of(ingress: Obj) -> Iterator[Obj]:
    """Every ``service`` backend: {name, port}."""
    spec = ingress.get("spec") or {}
    if service := (spec.get("defaultBackend") or {}).get("service"):
        yield service
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            if service := (path.get("backend") or {}).get("service"):
                yield service


# Private


def _name(kind: str, obj: Obj) -> Name:
    return Name(kind, obj["metadata"].get("namespace") or "", obj["metadata"]["name"])


def _labels(obj: Obj) -> dict[str, str]:
    return labels_of(obj) if obj.get("metadata") else {}


def _of_service(service: Obj, cluster: Cluster) -> Iterator[str]:
    spec, name = service["spec"], service["metadata"]["name"]
    selector = spec.get("selector") or {}
    if not selector:
        return  # endpoints made by hand
    selected = selected_specs(service, cluster)
    if not selected:
        labels = ", ".join(f"{key}={value}" for key, value in sorted(selector.items()))
        yield f"Service {name} selects no pod: no Deployment's pods have the labels {labels}"
        return
    declared = {
        port.get("name")
        for pod_spec in selected
        for container in pod_spec.get("containers") or ()
        for port in container.get("ports") or ()
    }
    for port in spec.get("ports") or ():
        target = port.get("targetPort")
        if isinstance(target, str) and not target.isdigit() and target not in declared:
            yield f'Service {name}: targetPort "{target}" is declared by no container it selects'


def _of_ingress(ingress: Obj, cluster: Cluster) -> Iterator[str]:
    namespace, name = ingress["metadata"].get("namespace"), ingress["metadata"]["name"]
    services = {
        one["metadata"]["name"]: one
        for one in cluster.services
        if one["metadata"].get("namespace") == namespace
    }
    for backend in backends_of(ingress):
        service = services.get(backend["name"])
        if service is None:
            yield (
                f'Ingress {name}: there is no Service "{backend["name"]}" in namespace '
                f"{namespace}, so its requests are answered with an error"
            )
            continue
        asked = backend.get("port") or {}
        wanted = asked.get("name") or asked.get("number")
        ports = (service.get("spec") or {}).get("ports") or ()
        if wanted not in {value for port in ports for value in (port.get("name"), port["port"])}:
            yield f'Ingress {name}: Service "{backend["name"]}" has no port {wanted}'
