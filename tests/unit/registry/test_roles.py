"""The engine's own roles over versions of it, and what else it keeps in order."""

from __future__ import annotations

import pytest

from nodrop.model.kinds import CLUSTERROLE, CONFIGMAP, ROLE
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.roles import initial_roles
from tests.unit.registry.world import World

EDIT = ObjectKey(CLUSTERROLE, "", "edit")
OWN: Obj = {"verbs": ["get"], "apiGroups": ["example.com"], "resources": ["widgets"]}


def rules(world: World) -> list[Obj]:
    found: list[Obj] = world.registry.get(EDIT)["rules"]
    return found


@pytest.mark.parametrize("autoupdate", ["", "false"])
def test_a_role_of_an_older_version_gets_what_it_lacks(world: World, autoupdate: str) -> None:
    """What somebody has added stays; the annotation keeps all of it as it is."""
    world.registry.ensure(initial_roles())
    whole = rules(world)
    annotations = {"rbac.authorization.kubernetes.io/autoupdate": autoupdate}
    older = {"metadata": {"annotations": annotations}, "rules": [OWN, *whole[2:]]}
    world.registry.patch(EDIT, older, "merge")
    world.registry.ensure(initial_roles())
    if autoupdate:
        assert rules(world) == older["rules"]
        return
    assert rules(world) == [OWN, *whole[2:], *whole[:2]]
    revision = world.registry.revision()
    world.registry.ensure(initial_roles())
    assert world.registry.revision() == revision, "what is as it shall be is not written again"


def test_what_is_mended_and_what_stays(world: World) -> None:
    metadata = {"name": "own", "namespace": "default"}
    wanted: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    world.registry.ensure([{**wanted, "data": {"a": "1"}}])
    key = ObjectKey(CONFIGMAP, "default", "own")
    world.registry.patch(key, {"data": {"a": "2"}}, "merge")
    world.registry.ensure([{**wanted, "data": {"a": "1"}}])
    assert world.registry.get(key)["data"] == {"a": "1"}
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata}
    for given in ([OWN], []):
        world.registry.ensure([{**role, "rules": given}])
    assert world.registry.get(ObjectKey(ROLE, "default", "own"))["rules"] == [OWN]
