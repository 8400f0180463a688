"""How TLS is spoken to pods, by annotations and Secrets."""

from __future__ import annotations

import base64

import pytest
import trustme

from nodrop.model.meta import Obj
from nodrop.proxy.haproxy.authorities import parse_loaded
from nodrop.proxy.haproxy.layout import SlotClass
from nodrop.proxy.haproxy.plan import authorities_of
from nodrop.proxy.haproxy.slots import server_addresses, server_name
from nodrop.proxy.protocol import Backend, BackendTls, RoutingTable, ServicePort
from nodrop.proxy.routes import plan_routes
from nodrop.proxy.routing import plan_table
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import endpoint, endpoint_slice, ingress, path, service

WEB = ServicePort("default", "web", 443)
PEM = trustme.CA().cert_pem.bytes().decode()
HTTPS = service(port=443, ports=[{"port": 443, "name": "https"}])


def asking(name: str = "ing", created: str = "", **annotations: str) -> Obj:
    rules = ingress(path("/", port={"number": 443}), name=name, created=created)
    named = {f"nodrop.dev/{key.replace('_', '-')}": text for key, text in annotations.items()}
    return {**rules, "metadata": {**rules["metadata"], "annotations": named}}


def secret(pem: str = PEM, name: str = "ca") -> Obj:
    data = {"ca.crt": base64.b64encode(pem.encode()).decode()} if pem else {}
    return {"kind": "Secret", "metadata": {"name": name, "namespace": "default"}, "data": data}


def sources(*ingresses: Obj, secrets: tuple[Obj, ...] = (), before: str = "") -> Sources:
    return Sources(
        services=[HTTPS],
        slices=[endpoint_slice(endpoint("a"), port_name="https", port=8443)],
        ingresses=ingresses,
        secrets=secrets,
        authorities={"default/ca": before} if before else {},
    )


CHECKED = asking(proxy_ssl_verify="on", proxy_ssl_secret="ca")


@pytest.mark.parametrize(
    ("ingress", "expected"),
    [
        (asking(), None),
        (asking(proxy_ssl_verify="off", proxy_ssl_secret="ca"), None),
        (CHECKED, BackendTls("web.default.svc", PEM)),
        (
            asking(proxy_ssl_verify="on", proxy_ssl_secret="default/ca", proxy_ssl_name="A.b"),
            BackendTls("a.b", PEM),
        ),
        (asking(proxy_ssl_name="a.b"), BackendTls("a.b")),
        (asking(proxy_ssl_server_name="on"), BackendTls("web.default.svc")),
    ],
)
def test_what_annotations_mean(ingress: Obj, expected: BackendTls | None) -> None:
    table = plan_table(sources(ingress, secrets=(secret(),)))
    assert [backend.tls for backend in table.pools[WEB]] == [expected]
    assert plan_routes(sources(ingress, secrets=(secret(),))).findings == []


def test_to_a_port_without_tls_none_of_it_applies() -> None:
    plain = sources(CHECKED, secrets=(secret(),))
    table = plan_table(
        Sources(services=[service(port=443)], slices=plain.slices, ingresses=[CHECKED])
    )
    assert {backend.tls for backend in table.pools[WEB]} <= {None}
    unsafe = Sources(services=[service(port=443)], ingresses=[CHECKED], secrets=(secret(),))
    (finding,) = plan_routes(unsafe).findings
    assert "its port speaks no TLS; say so in the Service's port" in finding.text


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ((), "there is no Secret default/ca"),
        ((secret(""),), "Secret default/ca, data.ca.crt: missing"),
        ((secret("no"),), "data.ca.crt: not a certificate in PEM"),
        ((secret(PEM * 30),), "ca.crt is larger than 15000 bytes"),
    ],
)
def test_without_an_authority_nothing_is_sent_unless_there_was_one(
    secrets: tuple[Obj, ...], said: str
) -> None:
    """Who asked for a check must never be given an answer that was not checked."""
    table = plan_table(sources(CHECKED, secrets=secrets))
    assert [b.tls for b in table.pools[WEB]] == [BackendTls("web.default.svc", "", closed=True)]
    (finding,) = plan_routes(sources(CHECKED, secrets=secrets)).findings
    assert said in finding.text
    assert finding.text.endswith("nothing is sent to pods that can't be checked: 503")
    kept = sources(CHECKED, secrets=secrets, before=PEM)
    assert [b.tls for b in plan_table(kept).pools[WEB]] == [BackendTls("web.default.svc", PEM)]
    assert plan_routes(kept).findings[0].text.endswith("the one before stays in use")


def test_of_two_ingresses_the_one_that_checks_decides_then_the_older() -> None:
    old = asking("old", "2026-01-01T00:00:00Z", proxy_ssl_name="a.example")
    new = asking(
        "new", "2026-02-01T00:00:00Z", proxy_ssl_verify="on", proxy_ssl_secret="ca",
        proxy_ssl_name="b.example",
    )  # fmt: skip
    routes = plan_routes(sources(old, new, secrets=(secret(),)))
    assert routes.tls.tls == {WEB: BackendTls("b.example", PEM)}
    (finding,) = routes.findings
    assert (finding.ingress, "as another Ingress asks for" in finding.text) == ("old", True)


def test_servers_are_named_after_how_they_are_spoken_to() -> None:
    """So that a change is another server, and requests in hand go on with the old one."""
    plain = Backend("u1", "a", "127.9.0.1", 8443)
    ways = (None, BackendTls("a.b"), BackendTls("a.b", PEM), BackendTls("a.c", PEM))
    names = [server_name(plain._replace(tls=tls)) for tls in ways]
    assert len(set(names)) == len(ways)
    assert names[0] == "u1_127.9.0.1_8443"
    closed = plain._replace(tls=BackendTls("a.b", closed=True))
    assert server_addresses([closed], SlotClass("https")) == {}
    assert len(server_addresses([closed], SlotClass("tcp"))) == 1, "its bytes are passed on as is"
    checked = plain._replace(tls=ways[2])
    (address,) = server_addresses([checked], SlotClass("https")).values()
    (file,) = authorities_of(RoutingTable(pools={WEB: frozenset({checked, plain})}))
    assert f"ssl verify required ca-file {file} verifyhost a.b sni str(a.b)" in address


def test_loaded_files_are_read() -> None:
    shown = (
        "# filename\n@system-ca - 144 certificate(s)\n"
        "authorities/x.pem - 1 certificate(s)\nauthorities/y.pem - 0 certificate(s)\n"
    )
    assert parse_loaded(shown) == {"authorities/x.pem"}
