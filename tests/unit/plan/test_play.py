"""Plans from the real controllers on virtual time: floor, ceiling, order, determinism."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from nodrop.model.meta import Obj, key_of
from nodrop.plan.assumptions import Assumptions, StartUp
from nodrop.plan.run import Change, play
from nodrop.plan.spans import Course
from nodrop.plan.summary import stuck_of, summarize
from nodrop.plan.world import PlanApi

_ASSUMED = Assumptions(startup=StartUp((2.5,), "given"))


def _objects(replicas: int, *, probe: bool = True, **spec: Any) -> list[Obj]:
    container: Obj = {"name": "app", "image": "app:1", "command": ["/app"]}
    container["ports"] = [{"containerPort": 8080}]
    if probe:
        container["readinessProbe"] = {"httpGet": {"port": 8080}, "periodSeconds": 1}
    pod_spec: Obj = {"containers": [container], **spec.pop("pod", {})}
    labels = {"app": "web"}
    web: Obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod_spec},
            **spec,
        },
    }
    service: Obj = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [web, service]


def _plan(objects: list[Obj], *, never_ready: bool = False, **changed: Any) -> Course:
    """Roll ``objects`` out, then with another image and what is ``changed`` in the spec."""
    web = copy.deepcopy(objects[0])
    web["spec"]["template"]["spec"]["containers"][0]["image"] = "app:2"
    web["spec"].update(changed)

    async def before(api: PlanApi) -> None:
        for obj in objects:
            await api.create(obj)

    async def apply(api: PlanApi) -> None:
        await api.patch_strategic(key_of(web), {"spec": web["spec"]})

    change = Change(before=before, apply=apply, deployments=[key_of(web)])
    (course,) = play(change, _ASSUMED, never_ready=never_ready)
    return course


def _rolling(surge: int | str, unavailable: int | str) -> Obj:
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"type": "RollingUpdate", "rollingUpdate": rolling}


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "least", "most"),
    [(1, 0, 3, 3, 4), (0, 1, 3, 2, 3), ("50%", "50%", 4, 2, 6), ("25%", "25%", 10, 8, 13),
     (3, 0, 3, 3, 6)],
)  # fmt: skip
def test_s3_s4_s5_least_and_most_are_what_was_promised(
    surge: int | str, unavailable: int | str, replicas: int, least: int, most: int
) -> None:
    summary = summarize(_plan(_objects(replicas, strategy=_rolling(surge, unavailable))))
    assert (summary.least, summary.floor) == (least, least)
    assert (summary.most, summary.ceiling) == (most, most)
    assert summary.complete_s is not None


def test_one_by_one_takes_a_start_each() -> None:
    course = _plan(_objects(3, strategy=_rolling(1, 0)))
    summary = summarize(course)
    assert len(summary.waves) == 3
    # 2.5 s each; the probe sees it within an eighth of that
    assert summary.complete_s is not None
    assert 3 * 2.5 < summary.complete_s < 3 * 2.5 * 9 / 8 + 0.5
    for pod in course.pods:
        if pod.version == "old":
            assert pod.deleted_s is not None
            assert pod.signalled_s is not None
            assert pod.signalled_s - pod.deleted_s == pytest.approx(_ASSUMED.drain_s, abs=0.1)


def test_recreate_has_a_gap() -> None:
    summary = summarize(_plan(_objects(2, strategy={"type": "Recreate"})))
    assert summary.least == 0
    assert 2.5 < summary.reduced_s < 5


def test_s9_a_pod_without_a_probe_gets_no_traffic_for_min_ready_seconds() -> None:
    course = _plan(_objects(1, probe=False, minReadySeconds=7, strategy=_rolling(1, 0)))
    (fresh,) = [pod for pod in course.pods if pod.version == "new"]
    assert fresh.ready_s is not None
    assert fresh.routed_s is not None
    assert 7 <= fresh.routed_s - fresh.ready_s < 8.5


def test_never_ready_stands_still_at_its_bounds_until_the_deadline() -> None:
    objects = _objects(4, strategy=_rolling(1, 1), progressDeadlineSeconds=30)
    stuck = stuck_of(_plan(objects, never_ready=True))
    assert (stuck.old, stuck.new, stuck.available) == (3, 2, 3)
    assert stuck.deadline_s == pytest.approx(31, abs=2)
    assert "timed out" in stuck.message


def test_scaling_and_rolling_at_once() -> None:
    summary = summarize(_plan(_objects(2, strategy=_rolling(1, 0)), replicas=4))
    assert summary.desired == 2
    assert summary.least >= summary.floor == 2
    assert summary.most <= summary.ceiling == 5


def test_init_containers_hooks_and_long_ends_take_their_time() -> None:
    init = {"name": "migrate", "image": "app:1", "command": ["/migrate"]}
    objects = _objects(1, strategy=_rolling(1, 0), pod={"initContainers": [init]})
    hook = {"preStop": {"sleep": {"seconds": 4}}}
    objects[0]["spec"]["template"]["spec"]["containers"][0]["lifecycle"] = hook
    course = _plan(objects)
    (fresh,) = [pod for pod in course.pods if pod.version == "new"]
    (gone,) = [pod for pod in course.pods if pod.version == "old"]
    assert fresh.ready_s == pytest.approx(_ASSUMED.init_s + 2.7, abs=0.6)
    assert gone.deleted_s is not None
    assert gone.gone_s is not None
    assert gone.gone_s - gone.deleted_s == pytest.approx(4.4, abs=0.3)


def test_twice_the_same_plan() -> None:
    objects = _objects(5, strategy=_rolling("30%", "30%"))
    assert _plan(objects) == _plan(objects)


def test_a_deployment_that_only_the_old_manifests_hold_disturbs_nothing() -> None:
    (other,) = _objects(3, strategy=_rolling(1, 0))[:1]
    (fresh,) = _objects(2, strategy=_rolling(1, 0))[:1]
    fresh["metadata"] = {**fresh["metadata"], "name": "fresh"}

    async def before(api: PlanApi) -> None:
        await api.create(other)

    async def apply(api: PlanApi) -> None:
        await api.create(fresh)

    key = key_of(fresh)
    (course,) = play(Change(before=before, apply=apply, deployments=[key]), _ASSUMED)
    assert len([pod for pod in course.pods if pod.ready_s is not None]) == 2


def test_each_pod_can_have_its_own_start() -> None:
    objects = _objects(2, strategy=_rolling(2, 0))
    web = key_of(objects[0])
    assumed = replace(_ASSUMED, observed={web: StartUp((0.5, 5.5), "measured")})

    async def before(api: PlanApi) -> None:
        for obj in objects:
            await api.create(obj)

    async def apply(api: PlanApi) -> None:
        await api.patch_strategic(web, {"spec": {"template": {"metadata": {"labels": {"v": "2"}}}}})

    (course,) = play(Change(before=before, apply=apply, deployments=[web]), assumed)
    took_s = sorted((p.ready_s or 0) - p.created_s for p in course.pods if p.version == "new")
    assert took_s == [pytest.approx(0.55, abs=0.1), pytest.approx(5.8, abs=0.4)]
