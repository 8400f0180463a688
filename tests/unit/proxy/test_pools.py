"""Which pods a Service port has, where ports differ from pod to pod (semantics 4.2, 4.3)."""

from __future__ import annotations

from nodrop.proxy.routing import plan_table
from nodrop.proxy.sources import Sources
from tests.unit.proxy.objects import endpoint, endpoint_slice, ingress, path, service

PORTS = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]


def test_a_named_target_port_that_differs_per_pod_and_one_that_a_pod_lacks() -> None:
    """Slices of one Service with different ports; the second pod has no port named metrics."""
    both = endpoint_slice(endpoint("a", ip="127.9.2.1"), port=8080, port_name="http")
    both["ports"].append({"name": "metrics", "port": 9100, "protocol": "TCP"})
    one = endpoint_slice(endpoint("b", ip="127.9.2.2"), port=3000, port_name="http")
    one["metadata"]["name"] = "web-b"
    table = plan_table(Sources(services=[service(ports=PORTS)], slices=[both, one]))
    found = {
        pool.port: sorted((b.name, b.address, b.port) for b in backends)
        for pool, backends in table.pools.items()
    }
    assert found == {
        80: [("a", "127.9.2.1", 8080), ("b", "127.9.2.2", 3000)],
        9090: [("a", "127.9.2.1", 9100)],
    }


def test_who_is_published_though_not_ready_gets_traffic_until_it_is_being_ended() -> None:
    """publishNotReadyAddresses: the slice says ready, serving is what the probe says."""
    published = endpoint("a", ready=True, serving=False)
    slices = [endpoint_slice(published)]
    assert plan_table(Sources(services=[service()], slices=slices)).pods() == {"uid-a"}
    ending = Sources(services=[service()], slices=slices, terminating={"uid-a"})
    assert plan_table(ending).pods() == frozenset()


def test_a_headless_service_has_endpoints_for_an_ingress_and_no_listener() -> None:
    sources = Sources(
        services=[service(clusterIP="None")],
        slices=[endpoint_slice(endpoint("a"))],
        ingresses=[ingress(path("/"))],
    )
    table = plan_table(sources)
    assert table.pods() == {"uid-a"}
    assert not table.listeners
    assert plan_table(Sources(services=sources.services, slices=sources.slices)).pools == {}
