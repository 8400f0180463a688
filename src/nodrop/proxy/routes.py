"""Ingresses → routes with their options: which requests go to which pool (semantics 4.4); pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from nodrop.events import Reason
from nodrop.model.ingressclass import is_ours
from nodrop.model.ingressoptions import CanaryRule, IngressOptions, read_options
from nodrop.model.ingresspaths import BadPath, RulePath, read_path
from nodrop.model.meta import Obj
from nodrop.proxy.backendtls import PlannedTls, plan_backend_tls
from nodrop.proxy.certificates import plan_certificates
from nodrop.proxy.external import plan_externals
from nodrop.proxy.findings import Finding
from nodrop.proxy.pools import plan_protocols, port_numbers
from nodrop.proxy.protocol import (
    UNMATCHED,
    Canary,
    Certificate,
    Route,
    RouteOptions,
    ServicePort,
)
from nodrop.proxy.sources import Sources

_PLAIN = RouteOptions()

Ports = Mapping[tuple[str, str, str], int]


@dataclass(slots=True)
class Routes:
    """What all Ingresses together ask for. ``findings`` are what was asked for in vain."""

    pools: dict[Route, ServicePort] = field(default_factory=dict)
    default: ServicePort | None = None
    options: dict[Route, RouteOptions] = field(default_factory=dict)
    certificates: tuple[Certificate, ...] = ()
    tls: PlannedTls = field(default_factory=PlannedTls)
    findings: list[Finding] = field(default_factory=list)


def plan_routes(sources: Sources) -> Routes:
    """All routes. Of two rules for the same host and path the older Ingress wins."""
    ours = sorted((one for one in sources.ingresses if is_ours(one, sources.classes)), key=_age)
    asked = [(ingress, read_options(ingress)) for ingress in ours]
    plain = [pair for pair in asked if pair[1].canary is None]
    ports = port_numbers(sources.services)
    certificates, secure, findings = plan_certificates(ours, sources.secrets, sources.certificates)
    routes = Routes(certificates=certificates, findings=findings)
    for ingress, options in asked:
        _report_problems(routes, ingress, options)
    for ingress, options in plain:
        _add_rules(routes, ingress, options, ports, secure)
    for ingress, options in plain:
        _add_own_default(routes, ingress, options, ports, secure)
    _choose_default(routes, plain, ports, secure)
    for ingress, options in asked:
        if options.canary is not None:
            _add_canary(routes, ingress, options.canary, ports)
    routes.tls = _plan_tls(asked, ports, sources)
    routes.findings += routes.tls.findings
    return routes


# Private


def _age(ingress: Obj) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp", ""), meta.get("namespace", ""), meta["name"]


def _report_problems(routes: Routes, ingress: Obj, options: IngressOptions) -> None:
    for problem in options.problems:
        reason = Reason.UNSUPPORTED if problem.unknown else Reason.INVALID_ANNOTATION
        routes.findings.append(Finding.about(ingress, reason, str(problem)))


def _add_rules(
    routes: Routes, ingress: Obj, options: IngressOptions, ports: Ports, secure: Collection[str]
) -> None:
    namespace = _namespace(ingress)
    for field_path, host, entry in _paths(ingress):
        try:
            read = read_path(entry.get("path") or "/", entry.get("pathType") or "", options)
        except BadPath as wrong:
            text = f'{field_path}.path: Invalid value: "{entry.get("path")}": {wrong}'
            routes.findings.append(Finding.about(ingress, Reason.UNSUPPORTED, text))
            continue
        pool = _pool_of(entry.get("backend"), namespace, ports)
        if pool is None:
            text = f"{field_path}.backend.resource: only Services can be backends here"
            routes.findings.append(Finding.about(ingress, Reason.UNSUPPORTED, text))
            continue
        _add(routes, Route(host, read.prefix, read.exact), pool, _of(options, read, host, secure))


def _add_own_default(
    routes: Routes, ingress: Obj, options: IngressOptions, ports: Ports, secure: Collection[str]
) -> None:
    """The default backend of an Ingress serves what its rules leave of their hosts."""
    spec = ingress.get("spec") or {}
    pool = _pool_of(spec.get("defaultBackend"), _namespace(ingress), ports)
    if pool is None:
        return
    for rule in spec.get("rules") or ():
        host = (rule.get("host") or "").lower()
        _add(routes, Route(host, "/", False), pool, _of(options, None, host, secure))


def _choose_default(
    routes: Routes,
    plain: Sequence[tuple[Obj, IngressOptions]],
    ports: Ports,
    secure: Collection[str],
) -> None:
    """What no rule matches: an Ingress without rules is made for that, so it goes first."""
    for ingress, options in sorted(plain, key=lambda pair: bool(pair[0]["spec"].get("rules"))):
        pool = _pool_of(ingress["spec"].get("defaultBackend"), _namespace(ingress), ports)
        if pool is None:
            continue
        routes.default = pool
        special = _of(options, None, "", secure)
        if special != _PLAIN:
            routes.options[UNMATCHED] = special
        return


def _add(routes: Routes, route: Route, pool: ServicePort, options: RouteOptions) -> None:
    if route in routes.pools:
        return
    routes.pools[route] = pool
    if options != _PLAIN:
        routes.options[route] = options


def _of(
    options: IngressOptions, path: RulePath | None, host: str, secure: Collection[str]
) -> RouteOptions:
    has_tls = host in secure or "*." + host.partition(".")[2] in secure
    return RouteOptions(
        server_timeout_ms=options.server_timeout_ms,
        body_limit_bytes=options.body_limit_bytes,
        redirect=options.force_ssl_redirect or (has_tls and options.ssl_redirect),
        hsts_max_age_s=options.hsts_max_age_s,
        rewrite=path.rewrite if path else None,
        cookie=options.cookie,
        upstream_host=options.upstream_host,
        single_try=options.single_try,
    )


def _add_canary(routes: Routes, ingress: Obj, rule: CanaryRule, ports: Ports) -> None:
    for field_path, host, entry in _paths(ingress):
        pool = _pool_of(entry.get("backend"), _namespace(ingress), ports)
        route = _same_route(routes, host, entry)
        if pool is None or route is None:
            text = (
                f"{field_path}: no other Ingress has host {host or '*'} path "
                f"{entry.get('path') or '/'}: this canary has no effect"
            )
            routes.findings.append(Finding.about(ingress, Reason.UNSUPPORTED, text))
            continue
        special = routes.options.get(route, _PLAIN)
        if special.canary is None:
            canary = Canary(
                pool=pool, weight=rule.weight, header=rule.header, header_value=rule.header_value
            )
            routes.options[route] = replace(special, canary=canary)


def _same_route(routes: Routes, host: str, entry: Obj) -> Route | None:
    """The route that a canary's path means; a regular expression as its Ingress understood it."""
    text, kind = entry.get("path") or "/", entry.get("pathType") or ""
    for options in (IngressOptions(), IngressOptions(use_regex=True)):
        try:
            read = read_path(text, kind, options)
        except BadPath:
            continue
        route = Route(host, read.prefix, read.exact)
        if route in routes.pools:
            return route
    return None


def _paths(ingress: Obj) -> Iterator[tuple[str, str, Obj]]:
    """(field path, host, path entry) of every rule."""
    for index, rule in enumerate((ingress.get("spec") or {}).get("rules") or ()):
        host = (rule.get("host") or "").lower()
        for at, entry in enumerate((rule.get("http") or {}).get("paths") or ()):
            yield f"spec.rules[{index}].http.paths[{at}]", host, entry


def _plan_tls(
    asked: Iterable[tuple[Obj, IngressOptions]], ports: Ports, sources: Sources
) -> PlannedTls:
    wishes = [(one, options, _pools_of(one, ports)) for one, options in asked if options.tls]
    if not wishes:
        return PlannedTls()
    pools = [pool for _, _, pools in wishes for pool in pools]
    external = plan_externals(sources.services, pools).protocols
    protocols = {**plan_protocols(sources.services), **external}
    speaking = {pool for pool, protocol in protocols.items() if protocol == "https"}
    return plan_backend_tls(wishes, speaking, sources.secrets, sources.authorities)


def _pools_of(ingress: Obj, ports: Ports) -> list[ServicePort]:
    """Every pool that an Ingress names."""
    backends = [entry.get("backend") for _, _, entry in _paths(ingress)]
    backends.append((ingress.get("spec") or {}).get("defaultBackend"))
    found = (_pool_of(backend, _namespace(ingress), ports) for backend in backends)
    return [pool for pool in found if pool is not None]


def _pool_of(backend: Obj | None, namespace: str, ports: Ports) -> ServicePort | None:
    """The pool of an Ingress backend; one that can't be found is an empty pool: 503, not 404."""
    service = (backend or {}).get("service")
    if not service:
        return None
    port = service.get("port") or {}
    number = port.get("number") or ports.get((namespace, service["name"], port.get("name", "")))
    return ServicePort(namespace, service["name"], number or 0)


def _namespace(ingress: Obj) -> str:
    namespace: str = ingress["metadata"].get("namespace", "")
    return namespace
