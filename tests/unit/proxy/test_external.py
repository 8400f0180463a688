"""Where an Ingress that names an ExternalName sends its requests (semantics 4.3, 4.4)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.meta import Obj
from nodrop.proxy.external import Answer, Place, plan_externals, plan_troubles
from nodrop.proxy.protocol import Backend, BackendTls, RoutingTable, ServicePort
from nodrop.proxy.routing import plan_table
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import endpoint, endpoint_slice, ingress, path, service

AWAY = ServicePort("default", "away", 80)
THERE = Answer(("192.0.2.1", "192.0.2.2"))


def away(name: str = "db.example.org", ports: list[Obj] | None = None) -> Obj:
    made = service("away", type="ExternalName", externalName=name, ports=ports or [])
    del made["spec"]["clusterIP"]
    return made


def table(external: Obj, *others: Obj, port: int = 80, **sources: Any) -> RoutingTable:
    rules = [ingress(path("/", "away", port={"number": port}))]
    services = [external, service(), *others]
    return plan_table(Sources(services=services, ingresses=rules, **sources))


@pytest.mark.parametrize(
    ("ports", "asked", "port", "protocol"),
    [
        ([], 80, 80, "http"),
        ([], 443, 443, "https"),
        ([{"port": 80, "targetPort": 8080}], 80, 8080, "http"),
        ([{"port": 80, "targetPort": 443}], 80, 443, "https"),
        ([{"port": 80, "name": "https", "targetPort": 8443}], 80, 8443, "https"),
        ([{"port": 443, "name": "http"}], 443, 443, "http"),
        ([{"port": 80, "appProtocol": "kubernetes.io/h2c"}], 80, 80, "h2c"),
        ([{"port": 81}], 82, 82, "http"),
    ],
)
def test_the_port_there_and_what_is_spoken(
    ports: list[Obj], asked: int, port: int, protocol: str
) -> None:
    """A port that is not listed is taken as it is, and 443 without a word speaks TLS."""
    pool = AWAY._replace(port=asked)
    found = plan_externals([away("DB.example.org.", ports)], [pool])
    assert found.places == {pool: Place("db.example.org", port)}
    assert found.protocols == {pool: protocol}
    assert found.hosts() == {"db.example.org"}


def test_a_port_is_found_by_its_name() -> None:
    external = away(ports=[{"name": "sql", "port": 15432, "targetPort": 5432}])
    rules = [ingress(path("/", "away", port={"name": "sql"}))]
    sources = Sources(services=[external], ingresses=rules, answers={"db.example.org": THERE})
    (backends,) = plan_table(sources).pools.values()
    assert {backend.port for backend in backends} == {5432}


def test_addresses_are_backends_that_speak_as_the_port_says() -> None:
    plain = table(away(), answers={"db.example.org": THERE})
    assert plain.pools[AWAY] == {
        Backend(at, "db.example.org", at, 80) for at in ("192.0.2.1", "192.0.2.2")
    }
    assert AWAY not in plain.listeners.values()
    secure = table(away(), port=443, answers={"db.example.org": THERE})
    assert {one.tls for one in secure.pools[AWAY._replace(port=443)]} == {
        BackendTls("db.example.org")
    }


def test_requests_wait_for_the_first_answer_and_for_no_later_one() -> None:
    assert AWAY in table(away()).waiting
    failed = table(away(), answers={"db.example.org": Answer(trouble="no such name")})
    assert failed.pools[AWAY] == frozenset()
    assert AWAY not in failed.waiting


def test_a_name_of_a_service_means_its_pods() -> None:
    """Across namespaces, as DNS in a cluster has it; what is spoken is that Service's business."""
    for name in ("web.default.svc", "web.default.svc.cluster.local."):
        found = table(
            away(name),
            slices=[endpoint_slice(endpoint("a"), endpoint("b", ready=False))],
        )
        assert {backend.name for backend in found.pools[AWAY]} == {"a"}
    grpc = service("calls", ip="127.9.1.3", ports=[{"port": 80, "name": "grpc"}])
    assert table(away("calls.default.svc"), grpc).protocols[AWAY] == "h2c"
    assert (
        AWAY
        in table(
            away("web.default.svc"), slices=[endpoint_slice(endpoint("b", ready=False))]
        ).waiting
    )


@pytest.mark.parametrize(
    ("external", "port", "said"),
    [
        (away("192.0.2.7"), 80, "is an address, not a name; make a Service without selector"),
        (away(ports=[{"port": 80, "targetPort": "sql"}]), 80, "needs a port number"),
        (away(), 0, "needs a port number"),
        (away("gone.default.svc"), 80, "there is no Service default/gone"),
        (away("web.default.svc"), 81, "Service default/web has no port 81"),
        (away("away.default.svc"), 80, "leads back to default/away:80: a circle"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(
    external: Obj, port: int, said: str
) -> None:
    pool = AWAY._replace(port=port)
    found = plan_externals([external, service()], [pool, ServicePort("default", "web", 80)])
    (why,) = plan_troubles(found, {}, ()).values()
    assert why.startswith("spec.externalName")
    assert said in why
    assert table(external, port=port).pools[pool] == frozenset()


def test_our_own_ingress_is_no_place_to_send_requests_to() -> None:
    here = {"db.example.org": Answer(("127.0.0.1", "192.0.2.1"), frozenset({"127.0.0.1"}))}
    both = table(away(), answers=here, ingress_ports={80, 443})
    assert {backend.address for backend in both.pools[AWAY]} == {"192.0.2.1"}
    only = {"db.example.org": Answer(("127.0.0.1",), frozenset({"127.0.0.1"}))}
    assert table(away(), answers=only, ingress_ports={80}).pools[AWAY] == frozenset()
    externals = plan_externals([away()], [AWAY])
    (why,) = plan_troubles(externals, only, {80}).values()
    assert why.endswith("is this Ingress itself: requests would go round in a circle")
    assert len(table(away(), answers=only, ingress_ports={8080}).pools[AWAY]) == 1


def test_a_lookup_that_fails_is_told_and_keeps_what_it_had() -> None:
    externals = plan_externals([away()], [AWAY])
    answer = Answer(("192.0.2.1",), trouble="temporary failure in name resolution")
    assert plan_troubles(externals, {"db.example.org": answer}, ()) == {
        AWAY: "spec.externalName db.example.org: temporary failure in name resolution; "
        "its last addresses stay in use"
    }
    assert table(away(), answers={"db.example.org": answer}).pools[AWAY]


def test_only_what_an_ingress_asks_for_is_looked_up() -> None:
    assert plan_externals([away()], ()).hosts() == frozenset()
    assert plan_table(Sources(services=[away()])).pools == {}
