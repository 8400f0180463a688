"""What becomes of dependents, owners that wait, and namespaces."""

from __future__ import annotations

from typing import Any

from nodrop.client.actions import Delete, Update
from nodrop.controllers.garbage.namespaces import plan_namespace
from nodrop.controllers.garbage.owners import Owner, plan_dependent, plan_owner
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import Obj, ObjectKey

OWNER_KEY = ObjectKey(CONFIGMAP, "default", "owner")


def config(name: str, *owners: str, **metadata: Any) -> Obj:
    references = [{"uid": uid, "blockOwnerDeletion": True} for uid in owners]
    base = {"name": name, "namespace": "default", "uid": name, "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**base, **metadata}}


def owner(uid: str, state: Any) -> Owner:
    return Owner({"uid": uid}, OWNER_KEY, state)


def test_without_owners_left_it_goes_once_the_api_confirms() -> None:
    plan = plan_dependent(config("a", "x"), [owner("x", "gone")])
    assert isinstance(plan.actions[0], Delete)
    assert plan.only_if_gone == ((OWNER_KEY, "x"),)


def test_one_living_owner_keeps_it_and_the_dead_reference_goes() -> None:
    plan = plan_dependent(config("a", "x", "y"), [owner("x", "gone"), owner("y", "present")])
    (update,) = plan.actions
    assert isinstance(update, Update)
    assert [ref["uid"] for ref in update.obj["metadata"]["ownerReferences"]] == ["y"]


def test_living_owners_and_ending_dependents_need_nothing() -> None:
    assert plan_dependent(config("a", "x"), [owner("x", "present")]).actions == ()
    ending = config("a", "x", deletionTimestamp="2026-11-23T10:00:00Z")
    assert plan_dependent(ending, [owner("x", "gone")]).actions == ()


def test_a_foreground_owner_waits_for_what_blocks_it() -> None:
    waiting = config("x", finalizers=["foregroundDeletion"])
    assert plan_owner(waiting, [config("a", "x")]).actions == ()
    (update,) = plan_owner(waiting, []).actions
    assert isinstance(update, Update)
    assert "finalizers" not in update.obj["metadata"]


def test_an_orphaning_owner_frees_its_dependents_first() -> None:
    first, last = plan_owner(config("x", finalizers=["orphan"]), [config("a", "x")]).actions
    assert isinstance(first, Update)
    assert isinstance(last, Update)
    assert "ownerReferences" not in first.obj["metadata"]
    assert "finalizers" not in last.obj["metadata"]


def test_a_namespace_goes_after_its_content() -> None:
    namespace: Obj = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "uid": "n", "deletionTimestamp": "2026-11-23T10:00:00Z"},
        "spec": {"finalizers": ["kubernetes"]},
    }
    assert isinstance(plan_namespace(namespace, [config("a")]).actions[0], Delete)
    (update,) = plan_namespace(namespace, []).actions
    assert isinstance(update, Update)
    assert update.subresource == "finalize"
    assert update.obj["spec"]["finalizers"] == []
