"""Where an Ingress can be reached. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from nodrop.check.cluster import Cluster, Name, backends_of, selected_specs
from nodrop.check.routes import DEFAULT, claim_of, owners_of
from nodrop.model.ingressclass import is_ours
from nodrop.model.meta import Obj


def urls_of(
    ingresses: Iterable[Obj],
    bases: Sequence[str],
    *,
    among: Sequence[Obj] = (),
    classes: Sequence[Obj] = (),
) -> list[str]:
    """One URL a host and path, on the first of ``bases`` (``http://127.0.0.1:8080``).

    A rule with a host is printed with that host; ``*.localhost`` and real names resolve by
    themselves, others need an entry in /etc/hosts or a Host header. What an older Ingress
    ``among`` all has already is left out: another application would answer.
    """
    if not bases:
        return []
    base = urlsplit(bases[0])
    here = f"[{base.hostname}]" if ":" in (base.hostname or "") else base.hostname
    port = "" if base.port in (None, 80) else f":{base.port}"
    wanted = list(ingresses)
    owners = {claim: _id(one) for claim, one in owners_of([*among, *wanted], classes).items()}
    found: list[str] = []
    for ingress in (one for one in wanted if is_ours(one, classes)):
        spec = ingress["spec"]
        if spec.get("defaultBackend") and owners[DEFAULT] == _id(ingress):
            found.append(f"http://{here}{port}/")
        for rule in spec.get("rules") or ():
            host = rule.get("host") or here
            for path in (rule.get("http") or {}).get("paths") or ():
                if owners[claim_of(rule.get("host") or "", path)] == _id(ingress):
                    found.append(f"http://{host}{port}{path.get('path') or '/'}")
    return list(dict.fromkeys(found))


def ingresses_to(applied: Collection[Name], cluster: Cluster) -> list[Obj]:
    """The Ingresses that were applied, or that lead to what was: whose URLs are of interest."""
    services = {
        (one["metadata"].get("namespace"), one["metadata"]["name"])
        for one in cluster.services
        if _leads_to(one, applied, cluster)
    }
    return [
        ingress
        for ingress in cluster.ingresses
        if _name("Ingress", ingress) in applied
        or any(
            (ingress["metadata"].get("namespace"), backend["name"]) in services
            for backend in backends_of(ingress)
        )
    ]


# Private


def _id(obj: Obj) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"].get("name", "")


def _name(kind: str, obj: Obj) -> Name:
    return Name(kind, *_id(obj))


def _leads_to(service: Obj, applied: Collection[Name], cluster: Cluster) -> bool:
    return _name("Service", service) in applied or any(
        selected_specs(service, Cluster(deployments=[one]))
        for one in _applied_deployments(applied, cluster)
    )


def _applied_deployments(applied: Collection[Name], cluster: Cluster) -> Iterator[Obj]:
    return (one for one in cluster.deployments if _name("Deployment", one) in applied)
