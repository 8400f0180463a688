"""Where an Ingress can be reached. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from urllib.parse import urlsplit

from nodrop.check.cluster import Cluster, Name, backends_of, selected_specs
from nodrop.check.routes import DEFAULT, claim_of, owners_of
from nodrop.model.ingressclass import is_ours
from nodrop.model.ingressoptions import read_options
from nodrop.model.meta import Obj


def urls_of(
    ingresses: Iterable[Obj],
    bases: Sequence[str],
    *,
    tls_bases: Sequence[str] = (),
    among: Sequence[Obj] = (),
    classes: Sequence[Obj] = (),
) -> list[str]:
    """One URL a host and path, on the first of ``bases`` (``http://127.0.0.1:8080``).

    A rule with a host is printed with that host; ``*.localhost`` and real names resolve by
    themselves, others need an entry in /etc/hosts or a Host header. One that is served with TLS
    is printed on the first of ``tls_bases``. What an older Ingress ``among`` all has already is
    left out: another application would answer.
    """
    if not bases:
        return []
    wanted = list(ingresses)
    owners = {claim: _id(one) for claim, one in owners_of([*among, *wanted], classes).items()}
    secure = _hosts_with_tls([*among, *wanted]) if tls_bases else frozenset()
    found: list[str] = []
    for ingress in (one for one in wanted if is_ours(one, classes)):
        spec, options = ingress["spec"], read_options(ingress)
        if spec.get("defaultBackend") and owners.get(DEFAULT) == _id(ingress):
            found.append(_url(bases[0], "", "/"))
        for rule in spec.get("rules") or ():
            host = rule.get("host") or ""
            base = tls_bases[0] if _has_tls(host.lower(), secure) else bases[0]
            for path in (rule.get("http") or {}).get("paths") or ():
                claim = claim_of(host, path, options)
                if owners.get(claim) == _id(ingress):
                    plain = not options.rewrite_target and not options.use_regex
                    found.append(_url(base, host, path.get("path") or "/" if plain else claim.path))
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

_USUAL_PORTS = {"http": 80, "https": 443}


def _url(base: str, host: str, path: str) -> str:
    parts = urlsplit(base)
    port = "" if parts.port in (None, _USUAL_PORTS[parts.scheme]) else f":{parts.port}"
    here = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host or here}{port}{path}"


def _hosts_with_tls(ingresses: Iterable[Obj]) -> frozenset[str]:
    """Hosts that ``tls`` names; without any, those of the Ingress's own rules."""
    found: set[str] = set()
    for ingress in ingresses:
        spec = ingress.get("spec") or {}
        own = [rule.get("host") or "" for rule in spec.get("rules") or ()]
        for entry in spec.get("tls") or ():
            found.update(host.lower() for host in entry.get("hosts") or own if host)
    return frozenset(found)


def _has_tls(host: str, secure: Collection[str]) -> bool:
    return host in secure or "*." + host.partition(".")[2] in secure


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
