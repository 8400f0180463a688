"""Semantics of writes: identity, generation, subresources, namespaces, dry runs, patches."""

from __future__ import annotations

import re
from typing import Any

import pytest

from nodrop.client.protocol import ALL
from nodrop.model.errors import ApiError
from nodrop.model.kinds import (
    CONFIGMAP,
    DEPLOYMENT,
    EVENT,
    INGRESSCLASS,
    NAMESPACE,
    NODE,
    POD,
    REPLICASET,
    Kind,
)
from nodrop.model.meta import Obj
from nodrop.registry.interface import DeleteOptions, FieldValidation, PatchType, WriteOptions
from tests.unit.registry.world import World, key


def config(name: str = "settings") -> Obj:
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "1"}}


def pod(name: str = "web") -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "app:1", "command": ["app"]}]},
    }


def workload(kind: str = "Deployment", name: str = "web") -> Obj:
    template = {"metadata": {"labels": {"app": name}}, "spec": pod()["spec"]}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template},
    }


def namespace(name: str) -> Obj:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def refused(code: int, text: str) -> Any:
    def check(error: ApiError) -> bool:
        return error.code == code

    return pytest.raises(ApiError, match=re.escape(text), check=check)


def test_the_engine_finds_what_it_needs(world: World) -> None:
    for name in ("default", "kube-system"):
        assert world.get(NAMESPACE, name)["status"] == {"phase": "Active"}
    ingress_class = world.get(INGRESSCLASS, "nodrop")
    assert ingress_class["spec"]["controller"] == "nodrop.dev/ingress"
    node = world.get(NODE, "localhost")
    assert node["spec"]["podCIDR"] == "127.64.0.0/16"
    assert node["status"]["capacity"] == {"cpu": "4", "memory": "8Gi", "pods": "110"}
    [ready] = node["status"]["conditions"]
    assert (ready["type"], ready["status"]) == ("Ready", "True")


@pytest.mark.parametrize(
    ("change", "code", "text"),
    [
        ({"metadata": {"resourceVersion": "7"}}, 400, "resourceVersion should not be set"),
        ({"metadata": {"namespace": "other"}}, 400, "does not match the namespace"),
        ({"metadata": {"name": ""}}, 422, "metadata.name: Required value: name or generateName"),
        ({"metadata": {"name": "Not_A_Name"}}, 422, "metadata.name: Invalid value"),
        ({"kind": "Secret"}, 400, "the object provided is v1 Secret"),
        ({"data": {"a": 1}}, 400, "data.a"),
    ],
)
def test_create_refuses(world: World, change: Obj, code: int, text: str) -> None:
    obj = config()
    obj |= {**change, "metadata": {**obj["metadata"], **change.get("metadata", {})}}
    with refused(code, text):
        world.registry.create(CONFIGMAP, "default", obj)
    assert world.registry.list(CONFIGMAP, ALL).items == ()


def test_create_decides_identity_itself(world: World) -> None:
    obj = config()
    obj["metadata"] |= {
        "uid": "mine",
        "creationTimestamp": "1999-01-01T00:00:00Z",
        "deletionTimestamp": "1999-01-01T00:00:00Z",
        "generation": 99,
    }
    meta = world.create(obj)["metadata"]
    assert re.fullmatch(
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", meta["uid"]
    )
    assert meta["creationTimestamp"] == "2026-11-23T10:00:00Z"
    assert "deletionTimestamp" not in meta
    assert "generation" not in meta


def test_long_generated_names_are_cut(world: World) -> None:
    obj = config()
    obj["metadata"] = {"generateName": "n" * 63, "namespace": "default"}
    name = world.create(obj)["metadata"]["name"]
    assert re.fullmatch(r"n{58}[bcdfghjklmnpqrstvwxz2456789]{5}", name)


def test_a_new_pod_is_bound_to_the_node(world: World) -> None:
    written = world.create(pod() | {"status": {"phase": "Running"}})
    assert written["spec"]["nodeName"] == "localhost"
    assert written["status"]["phase"] == "Pending"
    assert written["status"]["qosClass"] == "BestEffort"
    [scheduled] = written["status"]["conditions"]
    assert (scheduled["type"], scheduled["status"]) == ("PodScheduled", "True")


@pytest.mark.parametrize(
    ("patch", "subresource", "generation"),
    [
        ({"spec": {"replicas": 2}}, None, 2),
        ({"spec": {"replicas": 1}}, None, 1),  # the default, so nothing changes
        ({"metadata": {"annotations": {"a": "b"}}}, None, 2),
        ({"metadata": {"labels": {"a": "b"}}}, None, 1),
        ({"status": {"replicas": 2}}, None, 1),
        ({"status": {"replicas": 2}}, "status", 1),
        ({"metadata": {"annotations": {"a": "b"}}}, "status", 1),
        ({"spec": {"replicas": 2}}, "scale", 2),
    ],
)
def test_generation_of_a_deployment(
    world: World, patch: Obj, subresource: str | None, generation: int
) -> None:
    world.create(workload())
    world.patch(DEPLOYMENT, "web", patch, subresource)
    assert world.get(DEPLOYMENT, "web")["metadata"]["generation"] == generation


def test_annotations_pass_through_a_deployments_status_and_labels_do_not(world: World) -> None:
    world.create(workload())
    change = {"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}}
    meta = world.patch(DEPLOYMENT, "web", change, "status")["metadata"]
    assert meta["annotations"] == {"a": "b"}
    assert "labels" not in meta


def test_a_status_without_annotations_drops_a_deployments(world: World) -> None:
    first = world.create(workload())
    world.patch(DEPLOYMENT, "web", {"metadata": {"annotations": {"a": "b"}}})
    first["metadata"] = {"name": "web"}
    written = world.registry.update(key(DEPLOYMENT, "web"), first, subresource="status").obj
    assert "annotations" not in written["metadata"]


def test_update_keeps_identity_and_status(world: World) -> None:
    first = world.create(workload())
    world.patch(DEPLOYMENT, "web", {"status": {"replicas": 1}}, "status")
    sent = workload() | {"status": {"replicas": 9}}
    sent["metadata"]["creationTimestamp"] = None
    written = world.registry.update(key(DEPLOYMENT, "web"), sent).obj
    assert written["metadata"]["uid"] == first["metadata"]["uid"]
    assert written["metadata"]["creationTimestamp"] == first["metadata"]["creationTimestamp"]
    assert written["status"] == {"replicas": 1}


@pytest.mark.parametrize(
    ("meta", "code", "text"),
    [
        ({"name": "other"}, 400, "the name of the object (other) does not match the name on the"),
        ({"uid": "other"}, 409, "Precondition failed: UID in precondition: other"),
        ({"resourceVersion": "1"}, 409, "the object has been modified"),
        ({"namespace": "kube-system"}, 400, "does not match the namespace"),
    ],
)
def test_update_refuses(world: World, meta: Obj, code: int, text: str) -> None:
    world.create(config())
    sent = config()
    sent["metadata"] |= meta
    with refused(code, text):
        world.registry.update(key(CONFIGMAP, "settings"), sent)


def test_update_of_what_is_missing_is_404(world: World) -> None:
    with refused(404, 'configmaps "settings" not found'):
        world.registry.update(key(CONFIGMAP, "settings"), config())


def test_no_finalizer_comes_to_an_object_being_deleted(world: World) -> None:
    held = config()
    held["metadata"]["finalizers"] = ["a.b/c"]
    world.create(held)
    world.delete(CONFIGMAP, "settings")
    with refused(422, "no new finalizers can be added if the object is being deleted"):
        world.patch(CONFIGMAP, "settings", {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}})


def test_foreground_deletion_ends_with_its_finalizer(world: World) -> None:
    world.create(workload())
    marked = world.delete(DEPLOYMENT, "web", DeleteOptions(propagation="Foreground"))
    assert marked is not None
    assert marked["metadata"]["generation"] == 2
    world.patch(DEPLOYMENT, "web", {"metadata": {"labels": {"still": "here"}}})
    assert world.exists(DEPLOYMENT, "web")
    world.patch(DEPLOYMENT, "web", {"metadata": {"finalizers": []}})
    assert not world.exists(DEPLOYMENT, "web")


@pytest.mark.parametrize("kind", [DEPLOYMENT, REPLICASET])
def test_scale(world: World, kind: Kind) -> None:
    obj = world.create(workload(kind.kind))
    target = key(kind, "web")
    shown = world.registry.get(target, subresource="scale")
    assert (shown["apiVersion"], shown["kind"]) == ("autoscaling/v1", "Scale")
    assert shown["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]
    shown = {**shown, "spec": {"replicas": 5}}
    written = world.registry.update(target, shown, subresource="scale").obj
    assert written["spec"]["replicas"] == 5
    with refused(409, "the object has been modified"):
        world.registry.update(target, shown, subresource="scale")
    with refused(422, "spec.replicas: Invalid value: -1: must be greater than or equal to 0"):
        world.patch(target.kind, "web", {"spec": {"replicas": -1}}, "scale")
    with refused(409, "UID zzz is not that of the object"):
        world.patch(target.kind, "web", {"metadata": {"uid": "zzz"}}, "scale")


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ({"spec": {"replicas": "x"}}, 'spec.replicas is "x", it must be a whole number'),
        ({"spec": {"replicas": 2**40}}, "cannot unmarshal number 1099511627776 into Go struct"),
        ({"spec": 5}, "spec is 5, it must be a mapping"),
        ({"spec": {"replcas": 3}}, 'strict decoding error: unknown field "spec.replcas"'),
        ({"spec": {"template": {}}}, 'strict decoding error: unknown field "spec.template"'),
        ({"kind": "Deployment"}, "this address serves autoscaling/v1 Scale"),
        ({"metadata": {"name": "other"}}, "does not match the name on the URL (web)"),
    ],
)
def test_a_scale_that_is_none_is_refused_also_by_a_dry_run(
    world: World, patch: Obj, words: str, dry_run: bool
) -> None:
    world.create(workload())
    options = WriteOptions(field_validation="Strict", dry_run=dry_run)
    with refused(400, words):
        world.registry.patch(
            key(DEPLOYMENT, "web"), patch, "merge", subresource="scale", options=options
        )


def test_a_subresource_that_is_not_there_is_404(world: World) -> None:
    world.create(config())
    with refused(404, "configmaps has no subresource scale"):
        world.patch(CONFIGMAP, "settings", {}, "scale")


@pytest.mark.parametrize(
    ("patch", "patch_type"),
    [
        ([{"op": "replace", "path": "/data/a", "value": "2"}], "json"),
        ({"data": {"a": "2"}}, "merge"),
        ({"data": {"a": "2"}}, "strategic"),
    ],
)
def test_patch_types(world: World, patch: object, patch_type: PatchType) -> None:
    world.create(config())
    written = world.registry.patch(key(CONFIGMAP, "settings"), patch, patch_type).obj
    assert written["data"] == {"a": "2"}


def test_a_strategic_patch_merges_containers_by_name(world: World) -> None:
    world.create(workload())
    container = {"name": "app", "image": "app:2"}
    change = {"spec": {"template": {"spec": {"containers": [container]}}}}
    written = world.registry.patch(key(DEPLOYMENT, "web"), change, "strategic").obj
    [merged] = written["spec"]["template"]["spec"]["containers"]
    assert (merged["image"], merged["command"]) == ("app:2", ["app"])


@pytest.mark.parametrize(
    ("strictness", "warnings"),
    [("Warn", 1), ("Ignore", 0)],
)
def test_unknown_fields(world: World, strictness: FieldValidation, warnings: int) -> None:
    options = WriteOptions(field_validation=strictness)
    obj = workload()
    obj["spec"]["replica"] = 3
    written = world.registry.create(DEPLOYMENT, "default", obj, options)
    assert len(written.warnings) == warnings
    assert "replica" not in written.obj["spec"], "dropped, as Kubernetes does"
    strict = WriteOptions(field_validation="Strict")
    change: Obj = {"spec": {"replicas": 3}}
    world.registry.patch(key(DEPLOYMENT, "web"), change, "merge", options=strict)
    with refused(400, 'strict decoding error: unknown field "spec.pausd"'):
        change = {"spec": {"pausd": True}}
        world.registry.patch(key(DEPLOYMENT, "web"), change, "merge", options=strict)


def test_s15_a_misspelt_field_changes_nothing_and_is_refused_again(world: World) -> None:
    """Stored, it would be another pod template, and no news to the next strict write."""
    before = world.registry.create(DEPLOYMENT, "default", workload()).obj
    misspelt = {"spec": {"template": {"spec": {"terminationGradePeriodSeconds": 60}}}}
    written = world.registry.patch(key(DEPLOYMENT, "web"), misspelt, "strategic")
    assert len(written.warnings) == 1
    assert written.obj["spec"] == before["spec"]
    assert written.obj["metadata"]["generation"] == before["metadata"]["generation"]
    strict = WriteOptions(field_validation="Strict")
    with refused(400, "terminationGradePeriodSeconds"):
        world.registry.patch(key(DEPLOYMENT, "web"), misspelt, "strategic", options=strict)


def test_a_strict_create_stores_nothing_it_does_not_know(world: World) -> None:
    obj = workload()
    obj["spec"]["replica"] = 3
    with refused(400, 'unknown field "spec.replica"'):
        strict = WriteOptions(field_validation="Strict")
        world.registry.create(DEPLOYMENT, "default", obj, strict)
    assert not world.exists(DEPLOYMENT, "web")


def test_a_dry_run_does_all_but_store(world: World) -> None:
    before = world.registry.revision()
    planned = world.create(pod(), dry_run=True)
    assert planned["spec"]["nodeName"] == "localhost"
    assert not world.exists(POD, "web")
    with refused(404, 'namespaces "nowhere" not found'):
        obj = pod()
        obj["metadata"]["namespace"] = "nowhere"
        world.create(obj, dry_run=True)
    assert world.registry.revision() == before
    world.create(config())
    deleted = world.registry.delete(key(CONFIGMAP, "settings"), DeleteOptions(dry_run=True))
    assert deleted.gone
    assert world.exists(CONFIGMAP, "settings")


def test_a_namespace_ends_when_it_is_finalized(world: World) -> None:
    assert world.create(namespace("shop"))["metadata"]["labels"] == {
        "kubernetes.io/metadata.name": "shop"
    }
    marked = world.delete(NAMESPACE, "shop")
    assert marked is not None
    assert marked["status"]["phase"] == "Terminating"
    obj = config()
    obj["metadata"]["namespace"] = "shop"
    with refused(403, "namespace shop because it is being terminated") as caught:
        world.create(obj)
    assert caught.value.details["causes"][0]["reason"] == "NamespaceTerminating"
    # A write to the object itself can't take the finalizers away, only /finalize can.
    world.patch(NAMESPACE, "shop", {"spec": {"finalizers": []}, "metadata": {"labels": {"a": "b"}}})
    assert world.exists(NAMESPACE, "shop")
    world.patch(NAMESPACE, "shop", {"spec": {"finalizers": []}}, "finalize")
    assert not world.exists(NAMESPACE, "shop")


@pytest.mark.parametrize("name", ["default", "kube-system"])
def test_the_engines_namespaces_stay(world: World, name: str) -> None:
    with refused(403, f'namespaces "{name}" is forbidden: this namespace may not be deleted'):
        world.delete(NAMESPACE, name)


def test_events_expire_after_an_hour(world: World) -> None:
    for name, seen in (("old", "2026-11-23T09:00:00Z"), ("new", "2026-11-23T09:30:00Z")):
        meta = {"name": name, "namespace": "default"}
        about = {"namespace": "default", "name": "web", "kind": "Pod"}
        event = {"apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": about}
        world.create({**event, "lastTimestamp": seen})
    world.clock.advance(1)
    assert world.registry.expire_events(world.clock.now()) == 1
    assert not world.exists(EVENT, "old")
    assert world.exists(EVENT, "new")


def test_a_status_that_nobody_could_read_is_refused(world: World) -> None:
    container = {"name": "c", "image": "i"}
    metadata = {"name": "p", "namespace": "default"}
    spec = {"containers": [container]}
    world.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    with pytest.raises(ApiError) as refused:
        world.patch(POD, "p", {"status": {"podIP": "garbage x"}}, "status")
    assert refused.value.code == 422


def test_what_json_cannot_hold_is_refused(world: World) -> None:
    half = config() | {"data": {"a": "\ud800"}}
    endless: Obj = config()
    endless["data"] = endless
    for obj in (half, endless):
        with pytest.raises(ApiError) as refused:
            world.create(obj)
        assert refused.value.code == 400
