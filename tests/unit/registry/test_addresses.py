"""Which addresses and node ports Services get, keep and give back."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nodrop.model.errors import ApiError
from nodrop.model.kinds import SERVICE
from nodrop.model.meta import Obj
from tests.unit.registry.world import World, key


def service(name: str = "web", **spec: Any) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}], **spec},
    }


def refused(text: str) -> Any:
    return pytest.raises(ApiError, match=re.escape(text), check=lambda error: error.code == 422)


def test_six_services_fill_a_range_of_eight_addresses_and_one_freed_is_found(world: World) -> None:
    specs = [world.create(service(f"web{number}"))["spec"] for number in range(6)]
    addresses = {spec["clusterIP"] for spec in specs}
    assert addresses == {f"127.65.0.{last}" for last in range(1, 7)}
    assert all(spec["clusterIPs"] == [spec["clusterIP"]] for spec in specs)
    with refused("failed to allocate IP : range is full"):
        world.create(service("more"))
    world.delete(SERVICE, "web3")
    assert world.create(service("more"))["spec"]["clusterIP"] == specs[3]["clusterIP"]


def test_a_requested_address_is_given_once(world: World) -> None:
    wanted = "127.65.0.5"
    assert world.create(service(clusterIP=wanted))["spec"]["clusterIP"] == wanted
    with refused(
        f'spec.clusterIPs: Invalid value: ["{wanted}"]: failed to allocate IP {wanted}: '
        "provided IP is already allocated"
    ):
        world.create(service("other", clusterIP=wanted))


def test_an_address_outside_the_range_is_refused(world: World) -> None:
    with refused(
        "the provided IP (10.0.0.1) is not in the valid range. "
        "The range of valid IPs is 127.65.0.0/29"
    ):
        world.create(service(clusterIP="10.0.0.1"))


def test_headless_and_external_services_take_no_address(world: World) -> None:
    headless = world.create(service(clusterIP="None"))["spec"]
    assert (headless["clusterIP"], headless["clusterIPs"]) == ("None", ["None"])
    assert world.create(service("other", clusterIP="None"))["spec"]["clusterIP"] == "None"
    external = service("outside", type="ExternalName", externalName="example.com")
    assert "clusterIP" not in world.create(external)["spec"]


def test_an_update_keeps_what_it_does_not_name(world: World) -> None:
    first = world.create(service(type="NodePort"))["spec"]
    sent = service(type="NodePort", selector={"app": "new"})
    second = world.registry.update(key(SERVICE, "web"), sent).obj["spec"]
    assert second["selector"] == {"app": "new"}
    assert second["clusterIP"] == first["clusterIP"]
    assert second["ports"][0]["nodePort"] == first["ports"][0]["nodePort"]


def test_a_cluster_ip_can_not_be_changed(world: World) -> None:
    world.create(service(clusterIP="127.65.0.1"))
    with refused("may not change once set"):
        change = {"spec": {"clusterIP": "127.65.0.2", "clusterIPs": ["127.65.0.2"]}}
        world.patch(SERVICE, "web", change)


def test_node_ports_are_allocated_and_given_back(world: World) -> None:
    names = [{"name": f"p{number}", "port": number} for number in (80, 81)]
    ports = world.create(service(type="NodePort", ports=names))["spec"]["ports"]
    taken = {port["nodePort"] for port in ports}
    assert len(taken) == 2
    assert taken < {30000, 30001, 30002}
    world.patch(SERVICE, "web", {"spec": {"type": "ClusterIP"}})
    assert all("nodePort" not in port for port in world.get(SERVICE, "web")["spec"]["ports"])
    for number in range(3):
        world.create(service(f"other{number}", type="NodePort"))
    with refused("spec.ports[0].nodePort: Invalid value: 0: range is full"):
        world.create(service("more", type="NodePort"))


def test_requested_node_ports(world: World) -> None:
    wanted = [{"port": 80, "nodePort": 30001}]
    assert world.create(service(type="NodePort", ports=wanted))["spec"]["ports"][0]["nodePort"]
    with refused(
        "spec.ports[0].nodePort: Invalid value: 30001: provided port is already allocated"
    ):
        world.create(service("other", type="NodePort", ports=wanted))
    with refused(
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
        "The range of valid ports is 30000-30002"
    ):
        world.create(service("third", type="NodePort", ports=[{"port": 80, "nodePort": 80}]))


def test_a_service_may_change_its_type(world: World) -> None:
    world.create(service(type="ExternalName", externalName="example.com"))
    change: Obj = {"spec": {"type": "ClusterIP", "externalName": None}}
    assert world.patch(SERVICE, "web", change)["spec"]["clusterIP"].startswith("127.65.0.")
