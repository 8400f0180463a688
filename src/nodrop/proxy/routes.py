"""Ingresses → routes: which requests go to which pool (semantics 4.4); pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodrop.model.ingressclass import is_ours
from nodrop.model.meta import Obj
from nodrop.proxy.pools import port_numbers
from nodrop.proxy.protocol import Route, ServicePort
from nodrop.proxy.sources import Sources


@dataclass(slots=True)
class _Rules:
    routes: dict[Route, ServicePort] = field(default_factory=dict)
    default: ServicePort | None = None


def plan_routes(sources: Sources) -> tuple[dict[Route, ServicePort], ServicePort | None]:
    """Route → pool, and the default backend.

    Of two rules for the same host and path the older Ingress wins.
    """
    rules = _Rules()
    numbers = port_numbers(sources.services)
    ours = [obj for obj in sources.ingresses if is_ours(obj, sources.classes)]
    for ingress in sorted(ours, key=_age):
        _add_ingress(rules, ingress, numbers)
    return rules.routes, rules.default


def _age(ingress: Obj) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp", ""), meta.get("namespace", ""), meta["name"]


def _add_ingress(rules: _Rules, ingress: Obj, numbers: Mapping[tuple[str, str, str], int]) -> None:
    namespace, spec = ingress["metadata"].get("namespace", ""), ingress.get("spec", {})
    default = _pool_of(spec.get("defaultBackend"), namespace, numbers)
    if default and rules.default is None:
        rules.default = default
    for rule in spec.get("rules") or ():
        for path in (rule.get("http") or {}).get("paths") or ():
            pool = _pool_of(path.get("backend"), namespace, numbers)
            if pool:
                rules.routes.setdefault(_route(rule.get("host", ""), path), pool)


def _route(host: str, path: Obj) -> Route:
    text = path.get("path") or "/"
    if path.get("pathType") == "Exact":
        return Route(host.lower(), text, True)
    return Route(host.lower(), text.rstrip("/") or "/", False)


def _pool_of(
    backend: Obj | None, namespace: str, numbers: Mapping[tuple[str, str, str], int]
) -> ServicePort | None:
    """The pool of an Ingress backend; one that can't be found is an empty pool: 503, not 404."""
    service = (backend or {}).get("service")
    if not service:
        return None
    port = service.get("port") or {}
    number = port.get("number") or numbers.get((namespace, service["name"], port.get("name", "")))
    return ServicePort(namespace, service["name"], number or 0)
