"""Evictions row by row (semantics 4.5)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.client.protocol import Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, PODDISRUPTIONBUDGET
from nodrop.model.meta import Obj, revision_of
from nodrop.registry.interface import DeleteOptions
from tests.unit.model import manifests
from tests.unit.registry.world import World, key

WEB = key(POD, "web")
NOW = "2026-11-23T10:00:00Z"


def eviction(**metadata: str) -> Obj:
    named = {"name": "web", "namespace": "default", **metadata}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}


def evict(world: World, options: DeleteOptions | None = None) -> None:
    world.registry.evict(WEB, eviction(), options or DeleteOptions())


def running(world: World, *, ready: bool = True, phase: str = "Running") -> Obj:
    pod = manifests.pod()
    pod["metadata"]["labels"] = {"app": "web"}
    world.create(pod)
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    status = {"phase": phase, "startTime": NOW, "conditions": [condition]}
    return world.patch(POD, "web", {"status": status}, "status")


def budget(world: World, name: str = "one", spec: Obj | None = None, **status: Any) -> Obj:
    """A budget whose controller has told ``status``."""
    selector = {"matchLabels": {"app": "web"}}
    world.create(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"minAvailable": 2, "selector": selector, **(spec or {})},
        }
    )
    told = {"observedGeneration": 1, **status}
    return world.patch(PODDISRUPTIONBUDGET, name, {"status": told}, "status")


def status_of(world: World, name: str = "one") -> Obj:
    status: Obj = world.get(PODDISRUPTIONBUDGET, name)["status"]
    return status


def refusal(world: World, options: DeleteOptions | None = None) -> ApiError:
    before = world.get(POD, "web")
    with pytest.raises(ApiError) as caught:
        evict(world, options)
    assert world.get(POD, "web") == before, "a refused eviction leaves no trace"
    return caught.value


def test_a_new_budget_allows_nothing_and_has_a_generation(world: World) -> None:
    budget(world, observedGeneration=0)
    zeros = {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0}
    assert status_of(world) == {**zeros, "observedGeneration": 0}
    changed = world.patch(PODDISRUPTIONBUDGET, "one", {"spec": {"minAvailable": 3}})
    assert changed["metadata"]["generation"] == 2


def test_without_a_budget_an_eviction_is_a_delete_that_says_why(world: World) -> None:
    running(world)
    evict(world)
    pod = world.get(POD, "web")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    assert pod["status"]["conditions"][-1] == {
        "type": "DisruptionTarget",
        "status": "True",
        "reason": "EvictionByEvictionAPI",
        "message": "Eviction API: evicting",
        "lastTransitionTime": NOW,
    }


def test_the_mark_is_stored_before_the_delete(world: World) -> None:
    running(world)
    since = world.store.revision
    evict(world)
    marked, deleted = world.store.after(since, POD)
    assert "deletionTimestamp" not in marked.obj["metadata"]
    assert marked.obj["status"]["conditions"][-1]["type"] == "DisruptionTarget"
    assert "deletionTimestamp" in deleted.obj["metadata"]


def test_an_eviction_uses_the_budget_up(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=1, currentHealthy=3, desiredHealthy=2)
    evict(world)
    status = status_of(world)
    assert status["disruptionsAllowed"] == 0
    assert status["disruptedPods"] == {"web": NOW}
    assert status["conditions"][0]["reason"] == "InsufficientPods"
    assert "deletionTimestamp" in world.get(POD, "web")["metadata"]


def test_one_of_several_allowed_keeps_the_condition(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=2, currentHealthy=4, desiredHealthy=2)
    evict(world)
    assert status_of(world)["disruptionsAllowed"] == 1
    assert "conditions" not in status_of(world)


def test_an_exhausted_budget_refuses_with_429(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=0, currentHealthy=2, desiredHealthy=2)
    error = refusal(world)
    assert (error.code, error.reason) == (429, "TooManyRequests")
    assert error.message == "Cannot evict pod as it would violate the pod's disruption budget."
    why = "The disruption budget one needs 2 healthy pods and has 2 currently"
    assert error.details == {"causes": [{"reason": "DisruptionBudget", "message": why}]}


def test_a_budget_that_nobody_has_looked_at_says_when_to_retry(world: World) -> None:
    running(world)
    budget(world, observedGeneration=0, disruptionsAllowed=5)
    error = refusal(world)
    assert (error.code, error.details["retryAfterSeconds"]) == (429, 10)
    assert error.details["causes"][0]["reason"] == "DisruptionBudget"
    assert "still being processed" in error.details["causes"][0]["message"]


def test_two_budgets_for_one_pod_are_an_error(world: World) -> None:
    running(world)
    for name in ("one", "two"):
        budget(world, name, disruptionsAllowed=1)
    error = refusal(world)
    assert error.code == 500
    assert "more than one PodDisruptionBudget" in error.message


def test_too_many_unconfirmed_evictions_are_refused(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=1, disruptedPods={f"p{n}": NOW for n in range(2001)})
    assert refusal(world).code == 403


def test_a_budget_of_other_pods_is_not_asked(world: World) -> None:
    running(world)
    budget(world, spec={"selector": {"matchLabels": {"app": "other"}}})
    evict(world)
    assert "deletionTimestamp" in world.get(POD, "web")["metadata"]


@pytest.mark.parametrize(("selector", "selected"), [({}, True), (None, False)])
def test_an_empty_selector_selects_all_and_none_nothing(
    world: World, selector: Obj | None, selected: bool
) -> None:
    running(world)
    budget(world, spec={"selector": selector})
    if selected:
        assert refusal(world).code == 429
    else:
        evict(world)


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed"])
def test_pods_that_do_not_serve_bypass_the_budget(world: World, phase: str) -> None:
    running(world, phase=phase)
    budget(world, disruptionsAllowed=0)
    evict(world)
    assert status_of(world).get("disruptedPods") is None


def test_a_pod_that_is_ending_already_bypasses_the_budget(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=0)
    world.delete(POD, "web")
    evict(world, DeleteOptions(grace_period_s=5))
    assert world.get(POD, "web")["metadata"]["deletionGracePeriodSeconds"] == 5


@pytest.mark.parametrize(
    ("policy", "healthy", "desired", "passes"),
    [
        (None, 2, 2, True),  # enough others are healthy
        ("IfHealthyBudget", 2, 2, True),
        (None, 1, 2, False),
        (None, 0, 0, False),  # nothing desired is no proof of health
        ("AlwaysAllow", 0, 2, True),
    ],
)
def test_unready_pods(
    world: World, policy: str | None, healthy: int, desired: int, passes: bool
) -> None:
    running(world, ready=False)
    spec = {"unhealthyPodEvictionPolicy": policy} if policy else None
    budget(world, spec=spec, currentHealthy=healthy, desiredHealthy=desired)
    if passes:
        evict(world)
        assert status_of(world).get("disruptedPods") is None
    else:
        assert refusal(world).code == 429


def test_a_dry_run_asks_and_changes_nothing(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=1)
    before = world.store.revision
    evict(world, DeleteOptions(dry_run=True))
    assert world.store.revision == before
    world.patch(PODDISRUPTIONBUDGET, "one", {"status": {"disruptionsAllowed": 0}}, "status")
    assert refusal(world, DeleteOptions(dry_run=True)).code == 429


def test_preconditions(world: World) -> None:
    pod = running(world)
    assert refusal(world, DeleteOptions(uid="other")).code == 409
    stale = DeleteOptions(revision=type(revision_of(pod))(1))
    assert refusal(world, stale).code == 409
    evict(world, DeleteOptions(revision=revision_of(pod), grace_period_s=1))
    assert world.get(POD, "web")["metadata"]["deletionGracePeriodSeconds"] == 1


def test_what_is_posted_must_be_an_eviction_of_this_pod(world: World) -> None:
    running(world)
    for wrong in (
        {**eviction(), "kind": "Pod"},
        eviction(name="other"),
        {**eviction(), "metadata": "web"},
        eviction(namespace="elsewhere"),
        {**eviction(), "deleteOptions": {"gracePeriodSeconds": "soon"}},
    ):
        with pytest.raises(ApiError) as caught:
            world.registry.evict(WEB, wrong, DeleteOptions())
        assert caught.value.code == 400


def test_no_pod_is_404(world: World) -> None:
    with pytest.raises(ApiError) as caught:
        evict(world)
    assert caught.value.code == 404


def test_a_plain_delete_asks_no_budget(world: World) -> None:
    running(world)
    budget(world, disruptionsAllowed=0)
    world.delete(POD, "web")
    assert "deletionTimestamp" in world.get(POD, "web")["metadata"]
    assert (
        world.registry.list(PODDISRUPTIONBUDGET, Scope()).items[0]["status"]["disruptionsAllowed"]
        == 0
    )
