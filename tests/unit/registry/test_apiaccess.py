"""Which pods find a token of their account, and how it gets into them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from nodrop.model.kinds import CONFIGMAP, POD
from nodrop.model.meta import Obj
from nodrop.registry.apiaccess import mounts_token
from nodrop.registry.interface import Allocation
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore
from tests.unit.registry.world import StandingClock, World

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def world() -> Iterator[World]:
    store, clock = SqliteStore(":memory:"), StandingClock()
    allocation = Allocation(pod_cidr="127.64.0.0/16", service_cidr="127.65.0.0/29")
    registry = Registry(store, clock, allocation, random.Random(1), root_ca="PEM")
    yield World(store, clock, registry)
    store.close()


def named(kind: str, name: str, **fields: Any) -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, **fields}


def pod(name: str = "web", **spec: Any) -> Obj:
    containers = [{"name": "app", "image": "i"}]
    return named("Pod", name, spec={"containers": containers, **spec})


def test_a_pod_of_an_account_finds_token_authority_and_namespace(world: World) -> None:
    world.create(named("ServiceAccount", "bot"))
    made = world.create(pod(serviceAccountName="bot"))["spec"]
    [volume], [mount] = made["volumes"], made["containers"][0]["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": TOKEN_FOLDER, "readOnly": True}
    assert volume["name"].startswith("kube-api-access-")
    sources = volume["projected"]["sources"]
    assert [next(iter(source)) for source in sources] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    assert world.get(CONFIGMAP, "kube-root-ca.crt")["data"] == {"ca.crt": "PEM"}


def test_ordinary_pods_stay_as_they_are(world: World) -> None:
    """No account, or none that exists: no volume, so no mount namespace, and no ConfigMap."""
    for name, spec in (("one", {}), ("two", {"serviceAccountName": "robot"})):
        made = world.create(pod(name, **spec))["spec"]
        assert "volumes" not in made
        assert "volumeMounts" not in made["containers"][0]
    assert not world.exists(CONFIGMAP, "kube-root-ca.crt")


def test_a_dry_run_stores_nothing(world: World) -> None:
    world.create(named("ServiceAccount", "bot"))
    assert world.create(pod(serviceAccountName="bot"), dry_run=True)["spec"]["volumes"]
    assert not world.exists(CONFIGMAP, "kube-root-ca.crt")
    assert not world.exists(POD, "web")


def test_a_container_that_mounts_something_there_keeps_it(world: World) -> None:
    world.create(named("ServiceAccount", "default"))
    own = {"name": "own", "emptyDir": {}}
    mounts = [{"name": "own", "mountPath": TOKEN_FOLDER}]
    containers = [
        {"name": "one", "image": "i", "volumeMounts": mounts},
        {"name": "two", "image": "i"},
    ]
    made = world.create(pod(containers=containers, volumes=[own]))["spec"]
    first, second = (container["volumeMounts"] for container in made["containers"])
    assert [mount["name"] for mount in first] == ["own"]
    assert second[0]["name"] == made["volumes"][1]["name"]
    [only] = world.create(pod("lone", containers=containers[:1], volumes=[own]))["spec"]["volumes"]
    assert only["name"] == "own"


@pytest.mark.parametrize(
    ("of_pod", "of_account", "wanted"),
    [
        (None, None, True),
        (False, None, False),
        (None, False, False),
        (True, False, True),
        (False, True, False),
    ],
)
def test_automount(of_pod: bool | None, of_account: bool | None, wanted: bool) -> None:
    """The pod's own word counts before its account's."""
    name = "automountServiceAccountToken"
    account = {"metadata": {}, **({} if of_account is None else {name: of_account})}
    spec = {} if of_pod is None else {name: of_pod}
    assert mounts_token({"spec": spec}, account) == wanted


def test_an_account_that_ends_gives_none() -> None:
    ending = {"metadata": {"deletionTimestamp": "2026-11-23T10:00:00Z"}}
    assert not mounts_token({"spec": {}}, ending)
    assert not mounts_token({"spec": {}}, None)
