"""Where an Ingress says it is served (status.loadBalancer), and whose status is left alone."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.client.actions import Update
from nodrop.controllers.ingress.controller import IngressController, Snapshot
from nodrop.model.ingressclass import CONTROLLER
from nodrop.model.meta import Obj

OURS: Obj = {"metadata": {"name": "nodrop"}, "spec": {"controller": CONTROLLER}}
THEIRS: Obj = {"metadata": {"name": "theirs"}, "spec": {"controller": "x.example/y"}}
POINT: Obj = {"ip": "192.0.2.7", "ports": [{"port": 8080, "protocol": "TCP"}]}
FOREIGN: Obj = {"ip": "198.51.100.1"}


def ingress(name: str | None, *points: Obj) -> Obj:
    spec = {"ingressClassName": name} if name else {}
    balancer = {"ingress": list(points)} if points else {}
    return {"metadata": {"name": "web"}, "spec": spec, "status": {"loadBalancer": balancer}}


def written(obj: Obj, address: str = "192.0.2.7") -> Any:
    """The points that are written, or None if nothing is."""
    controller = IngressController(address=address, ports=(8080,))
    plan = controller.decide(Snapshot(obj, (OURS, THEIRS)))
    if not plan.actions:
        return None
    (update,) = plan.actions
    assert isinstance(update, Update)
    assert update.subresource == "status"
    assert update.obj["spec"] == obj["spec"]
    return update.obj["status"]["loadBalancer"].get("ingress", [])


@pytest.mark.parametrize("name", [None, "nodrop", "nginx"])
def test_what_the_proxy_serves_gets_our_address(name: str | None) -> None:
    assert written(ingress(name)) == [POINT]
    assert written(ingress(name, FOREIGN)) == [POINT]


def test_it_is_written_once() -> None:
    assert written(ingress("nodrop", POINT)) is None


def test_another_controllers_ingress_is_left_alone() -> None:
    assert written(ingress("theirs")) is None
    assert written(ingress("theirs", FOREIGN)) is None


def test_our_address_goes_when_the_class_is_no_longer_ours() -> None:
    assert written(ingress("theirs", POINT)) == []


def test_a_name_instead_of_an_address_is_a_hostname() -> None:
    assert written(ingress("nodrop"), "box.example")[0]["hostname"] == "box.example"
