"""Options, defaults, canaries and certificates of Ingresses in the routing table."""

from __future__ import annotations

import base64

import pytest
import trustme

from nodrop.events import Reason
from nodrop.model.ingresspaths import Rewrite
from nodrop.model.meta import Obj
from nodrop.proxy.protocol import (
    UNMATCHED,
    Canary,
    Certificate,
    Route,
    RouteOptions,
    RoutingTable,
    ServicePort,
)
from nodrop.proxy.routes import Routes, plan_routes
from nodrop.proxy.routing import diff_tables
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import ingress, path, service
from tests.unit.proxy.tls import pem_of

WEB, API = ServicePort("default", "web", 80), ServicePort("default", "api", 80)
SERVICES = [service(), service("api", ip="127.9.1.2")]
AUTHORITY = trustme.CA()
TO_WEB = {"service": {"name": "web", "port": {"number": 80}}}
TO_API = {"service": {"name": "api", "port": {"number": 80}}}


def plan(*ingresses: Obj, secrets: tuple[Obj, ...] = (), before: Routes | None = None) -> Routes:
    return plan_routes(
        Sources(
            services=SERVICES,
            ingresses=ingresses,
            secrets=secrets,
            certificates=before.certificates if before else (),
        )
    )


def annotated(obj: Obj, **annotations: str) -> Obj:
    named = {f"nodrop.dev/{n.replace('_', '-')}": value for n, value in annotations.items()}
    return {**obj, "metadata": {**obj["metadata"], "annotations": named}}


def secret(*names: str, name: str = "shop", **changed: str | None) -> Obj:
    leaf = AUTHORITY.issue_cert(*names)
    data = {
        "tls.crt": "".join(blob.bytes().decode() for blob in leaf.cert_chain_pems),
        "tls.key": leaf.private_key_pem.bytes().decode(),
    } | {f"tls.{key}": value or "" for key, value in changed.items()}
    return {
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "default"},
        "type": "kubernetes.io/tls",
        "data": {k: base64.b64encode(v.encode()).decode() for k, v in data.items() if v},
    }


def tls(*hosts: str, secret: str = "shop") -> Obj:
    return {"hosts": list(hosts), "secretName": secret}


# Default backends


def test_a_default_backend_beside_rules_serves_the_rest_of_their_hosts() -> None:
    """Semantics 4.4; ingress-nginx does the same."""
    routes = plan(ingress(path("/a", "api"), host="x.example", defaultBackend=TO_WEB))
    assert routes.pools == {
        Route("x.example", "/a", False): API,
        Route("x.example", "/", False): WEB,
    }
    assert routes.default == WEB


def test_another_ingress_rule_for_the_root_goes_before_a_default_backend() -> None:
    old = ingress(path("/a"), host="x", created="2026-01-01", defaultBackend=TO_WEB)
    young = ingress(path("/", "api"), host="x", name="b", created="2026-02-02")
    assert plan(old, young).pools[Route("x", "/", False)] == API


def test_an_ingress_without_rules_is_the_default_of_all() -> None:
    old = ingress(path("/a"), host="x", created="2026-01-01", defaultBackend=TO_WEB)
    catch_all = ingress(name="all", created="2026-02-02", defaultBackend=TO_API)
    assert plan(old, catch_all).default == API


def test_options_of_the_default_backend_are_those_of_its_ingress() -> None:
    obj = annotated(ingress(defaultBackend=TO_WEB), proxy_body_size="1k")
    assert plan(obj).options == {UNMATCHED: RouteOptions(body_limit_bytes=1024)}


def test_a_resource_backend_is_told() -> None:
    entry = {"path": "/", "pathType": "Prefix", "backend": {"resource": {"kind": "Bucket"}}}
    routes = plan(ingress(entry))
    assert routes.pools == {}
    assert [(f.ingress, f.reason) for f in routes.findings] == [("ing", Reason.UNSUPPORTED)]


# Options


def test_options_go_with_every_route_of_their_ingress_and_no_other() -> None:
    special = annotated(ingress(path("/a"), path("/b"), host="x"), proxy_read_timeout="5")
    routes = plan(special, ingress(path("/"), host="y", name="plain"))
    expected = RouteOptions(server_timeout_ms=5000)
    assert routes.options == {
        Route("x", "/a", False): expected,
        Route("x", "/b", False): expected,
    }


def test_a_rewrite_is_routed_by_the_literal_beginning() -> None:
    entry = path("/shop(/|$)(.*)", kind="ImplementationSpecific")
    routes = plan(annotated(ingress(entry), rewrite_target="/$2"))
    rewrite = Rewrite(r"/shop(/|$)(.*)", r"/\2")
    assert routes.options == {Route("", "/shop", False): RouteOptions(rewrite=rewrite)}


def test_what_is_wrong_is_found_and_the_rest_serves() -> None:
    obj = annotated(
        ingress(path("/(a+)+"), path("/b")), use_regex="true", proxy_body_size="big", typo="1"
    )
    routes = plan(obj)
    assert list(routes.pools) == [Route("", "/b", False)]
    assert sorted((f.reason, f.text.partition(":")[0]) for f in routes.findings) == [
        (Reason.INVALID_ANNOTATION, "metadata.annotations[nodrop.dev/proxy-body-size]"),
        (Reason.UNSUPPORTED, "metadata.annotations[nodrop.dev/typo]"),
        (Reason.UNSUPPORTED, "spec.rules[0].http.paths[0].path"),
    ]


# Canaries


@pytest.mark.parametrize("kind", ["Prefix", "ImplementationSpecific"])
def test_a_canary_adds_to_the_route_of_another_ingress(kind: str) -> None:
    main = annotated(ingress(path("/x", kind=kind), host="h"), proxy_body_size="1k")
    canary = annotated(
        ingress(path("/x", "api", kind), host="h", name="c"), canary="true", canary_weight="10"
    )
    routes = plan(canary, main)
    route = Route("h", "/x", False)
    assert routes.pools == {route: WEB}
    chosen = Canary(pool=API, weight=1000)
    assert routes.options == {route: RouteOptions(body_limit_bytes=1024, canary=chosen)}
    table = RoutingTable(routes=routes.pools, options=routes.options)
    assert table.reached() == {WEB, API}


def test_a_canary_of_a_rewritten_path_and_one_of_nothing() -> None:
    entry = path("/s(/|$)(.*)", kind="ImplementationSpecific")
    main = annotated(ingress(entry), rewrite_target="/$2")
    canary = annotated(
        ingress({**entry, "backend": TO_API}, path("/none", "api"), name="c"), canary="true"
    )
    routes = plan(main, canary)
    assert routes.options[Route("", "/s", False)].canary == Canary(pool=API)
    (finding,) = routes.findings
    assert (finding.ingress, finding.reason) == ("c", Reason.UNSUPPORTED)
    assert "path /none" in finding.text


# TLS


def test_a_certificate_serves_the_hosts_of_its_entry_and_http_is_redirected() -> None:
    obj = ingress(path("/"), host="Shop.example", tls=[tls("Shop.example", "*.w.example")])
    routes = plan(obj, secrets=(secret("shop.example", "*.w.example"),))
    (found,) = routes.certificates
    assert (found.secret, found.hosts) == ("default/shop", ("*.w.example", "shop.example"))
    assert found.pem.count("BEGIN CERTIFICATE") >= 1
    assert found.pem.count("PRIVATE KEY") == 2
    assert routes.options == {Route("shop.example", "/", False): RouteOptions(redirect=True)}
    assert routes.findings == []


def test_without_hosts_the_names_in_the_certificate_count() -> None:
    routes = plan(ingress(path("/"), tls=[tls()]), secrets=(secret("a.example", "b.example"),))
    assert routes.certificates[0].hosts == ("a.example", "b.example")


@pytest.mark.parametrize(
    ("host", "hosts", "annotations", "redirected"),
    [
        ("a.w.example", ("*.w.example",), {}, True),
        ("a.b.w.example", ("*.w.example",), {}, False),
        ("*.w.example", ("*.w.example",), {}, True),
        ("other.example", ("*.w.example",), {}, False),
        ("a.w.example", ("*.w.example",), {"ssl_redirect": "false"}, False),
        ("other.example", (), {"force_ssl_redirect": "true"}, True),
    ],
)
def test_who_is_redirected(
    host: str, hosts: tuple[str, ...], annotations: dict[str, str], redirected: bool
) -> None:
    entries = [tls(*hosts)] if hosts else []
    obj = annotated(ingress(path("/"), host=host, tls=entries), **annotations)
    routes = plan(obj, secrets=(secret("*.w.example"),))
    assert routes.options.get(Route(host, "/", False), RouteOptions()).redirect is redirected


def test_the_older_ingress_has_a_host_first() -> None:
    old = ingress(path("/"), host="h.example", created="2026-01-01", tls=[tls("h.example")])
    young = ingress(
        path("/x"), host="h.example", name="y", created="2026-02-02",
        tls=[tls("h.example", "g.example", secret="second")],
    )  # fmt: skip
    both = (secret("h.example"), secret("h.example", "g.example", name="second"))
    found = {one.secret: one.hosts for one in plan(young, old, secrets=both).certificates}
    assert found == {"default/shop": ("h.example",), "default/second": ("g.example",)}


BROKEN: dict[str, tuple[Obj | None, str]] = {
    "missing": (None, "there is no Secret default/shop"),
    "type": ({**secret("h.example"), "type": "Opaque"}, "must be kubernetes.io/tls"),
    "no certificate": (secret("h.example", crt="nonsense"), "data.tls.crt: not a certificate"),
    "no key": (secret("h.example", key="very secret"), "data.tls.key: not a private key"),
    "empty": (secret("h.example", key=None), "data.tls.key: missing"),
    "another's key": (
        secret("h.example", key=AUTHORITY.issue_cert("x").private_key_pem.bytes().decode()),
        "does not belong to the first certificate",
    ),
    "too large": (
        secret("h.example", crt=AUTHORITY.cert_pem.bytes().decode() * 30),
        "does not belong",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_secret_is_told_and_the_certificate_before_stays(case: str) -> None:
    obj = ingress(path("/"), host="h.example", tls=[tls("h.example")])
    before = plan(obj, secrets=(secret("h.example"),))
    broken, why = BROKEN[case]
    secrets = () if broken is None else (broken,)
    after = plan(obj, secrets=secrets, before=before)
    assert after.certificates == before.certificates
    (finding,) = after.findings
    assert finding.reason == Reason.CERTIFICATE_UNAVAILABLE
    assert finding.text.startswith('spec.tls[0].secretName: Invalid value: "shop": ')
    assert why in finding.text
    assert "very secret" not in finding.text
    assert "stays in use" in finding.text
    first = plan(obj, secrets=secrets)
    assert first.certificates == ()
    assert first.options == {}
    assert "self-signed" in first.findings[0].text


def test_a_host_that_the_certificate_is_not_for_is_told() -> None:
    obj = ingress(path("/"), host="h.example", tls=[tls("h.example")])
    (finding,) = plan(obj, secrets=(secret("other.example"),)).findings
    assert finding.text.startswith('spec.tls[0].hosts[0]: Invalid value: "h.example"')
    assert "other.example" in finding.text


def test_the_log_names_certificates_and_options_but_no_key() -> None:
    obj = annotated(
        ingress(path("/"), host="h.example", tls=[tls("h.example")]), proxy_body_size="1k"
    )
    routes = plan(obj, secrets=(secret("h.example"),))
    table = RoutingTable(options=routes.options, certificates=routes.certificates)
    lines = "\n".join(diff_tables(RoutingTable(), table))
    assert "certificate default/shop → h.example" in lines
    assert "body_limit_bytes=1024" in lines
    assert "KEY" not in lines
    assert "KEY" not in repr(table)


def test_a_certificate_is_one_pem_text() -> None:
    leaf = AUTHORITY.issue_cert("h.example")
    assert "KEY" not in repr(Certificate("d/s", ("h.example",), pem_of(leaf)))
