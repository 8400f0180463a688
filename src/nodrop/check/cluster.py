"""Warnings about objects that the API takes and that lead nowhere. Pure.

A Service that selects nothing and an Ingress to a Service that is not there are legal, because
the other half may still come; whoever has just applied them wants to know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from nodrop.check.bundle import Bundle
from nodrop.check.routes import shadowed
from nodrop.check.rules import traffic
from nodrop.check.rules.case import Case
from nodrop.check.settings import Settings
from nodrop.check.source import Document
from nodrop.model.ingressclass import is_ours
from nodrop.model.ingresspaths import ingress_remarks
from nodrop.model.meta import Obj, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What the API serves now."""

    deployments: Sequence[Obj] = ()
    pods: Sequence[Obj] = ()
    services: Sequence[Obj] = ()
    ingresses: Sequence[Obj] = ()
    classes: Sequence[Obj] = ()
    #: None: nobody has looked.
    secrets: Sequence[Obj] | None = None


#: Which rules are asked about what lives; paths that are taken are told with the older owner.
_LIVE_RULES = ("ND502", "ND503", "ND504")


class Name(NamedTuple):
    """An object as a person names it."""

    kind: str
    namespace: str
    name: str


def cluster_warnings(applied: Collection[Name], cluster: Cluster) -> list[str]:
    """What of the ``applied`` objects leads nowhere, one sentence each."""
    case = Case(Bundle(list(_documents(cluster)), complete=True), Settings())
    found = [
        f"{name.kind} {name.name}: {hit.message}"
        for rule in _LIVE_RULES
        for hit in traffic.RULES[rule](case)
        if (name := _name(hit.document.obj["kind"], hit.document.obj)) in applied
    ]
    found.extend(
        str(one)
        for one in shadowed(cluster.ingresses, cluster.classes)
        if _name("Ingress", one.ingress) in applied
    )
    found.extend(
        f"Ingress {ingress['metadata']['name']}: {remark}"
        for ingress in cluster.ingresses
        if is_ours(ingress, cluster.classes) and _name("Ingress", ingress) in applied
        for remark in ingress_remarks(ingress)
    )
    found.extend(
        f"Ingress {ingress['metadata']['name']}: {missing}"
        for ingress in cluster.ingresses
        if is_ours(ingress, cluster.classes) and _name("Ingress", ingress) in applied
        for missing in _missing_certificates(ingress, cluster.secrets)
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


def _missing_certificates(ingress: Obj, secrets: Sequence[Obj] | None) -> Iterator[str]:
    namespace = ingress["metadata"].get("namespace") or ""
    there = {_name("Secret", one) for one in secrets or ()}
    for index, entry in enumerate((ingress.get("spec") or {}).get("tls") or ()):
        name = entry.get("secretName")
        if secrets is not None and name and Name("Secret", namespace, name) not in there:
            yield (
                f"spec.tls[{index}].secretName: there is no Secret {namespace}/{name}; until there "
                f"is, a self-signed certificate is served (kubectl create secret tls {name} …)"
            )


def _name(kind: str, obj: Obj) -> Name:
    return Name(kind, obj["metadata"].get("namespace") or "", obj["metadata"]["name"])


def _labels(obj: Obj) -> dict[str, str]:
    return labels_of(obj) if obj.get("metadata") else {}


def _documents(cluster: Cluster) -> Iterator[Document]:
    """Every object as a document; an Ingress of another controller's class is none of ours."""
    ours = [one for one in cluster.ingresses if is_ours(one, cluster.classes)]
    kinds = {
        "Deployment": ("apps/v1", cluster.deployments),
        "Pod": ("v1", cluster.pods),
        "Service": ("v1", cluster.services),
        "Ingress": ("networking.k8s.io/v1", ours),
    }
    for kind, (version, objects) in kinds.items():
        for obj in objects:
            whole = {"apiVersion": version, "kind": kind, **obj}
            yield Document(whole, file="", line=0, folder=Path())
