"""A new Ingress without a class gets the default one, as DefaultIngressClass admits it."""

from __future__ import annotations

import pytest

from nodrop.model.kinds import INGRESS, INGRESSCLASS
from nodrop.model.meta import Obj
from tests.unit.model import manifests
from tests.unit.registry.world import World


def test_a_new_ingress_gets_the_default_class(world: World) -> None:
    assert world.create(manifests.ingress())["spec"]["ingressClassName"] == "nodrop"
    assert world.get(INGRESS, "web")["spec"]["ingressClassName"] == "nodrop"


@pytest.mark.parametrize("annotated", [False, True])
def test_a_class_that_is_asked_for_stays(world: World, annotated: bool) -> None:
    obj = manifests.ingress() if annotated else manifests.ingress(ingressClassName="nginx")
    if annotated:
        obj["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "nginx"}
    assert world.create(obj)["spec"].get("ingressClassName") == (None if annotated else "nginx")


def test_without_a_default_none_is_given(world: World) -> None:
    no_default: Obj = {"metadata": {"annotations": None}}
    world.patch(INGRESSCLASS, "nodrop", no_default)
    assert "ingressClassName" not in world.create(manifests.ingress())["spec"]


def test_an_update_gives_none(world: World) -> None:
    world.create(manifests.ingress())
    changed = world.patch(INGRESS, "web", {"spec": {"ingressClassName": None}})
    assert "ingressClassName" not in changed["spec"]
