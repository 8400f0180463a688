"""A simulator that finds nothing proves nothing: each planted bug must break an invariant.

Every mutation replaces one pure function, or one step of the agent, by a wrong one. The seeds are
without faults: the bug alone has to show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from nodrop.agent import container_run, pod_ending
from nodrop.agent.deadline import Deadline
from nodrop.agent.plan.termination import DrainPlan, plan_drain
from nodrop.controllers import pods
from nodrop.controllers.deployment import controller as deployment
from nodrop.controllers.deployment import rolling, snapshot
from nodrop.controllers.deployment.rolling import Resize
from nodrop.controllers.endpointslice import controller as slices
from nodrop.controllers.endpointslice import endpoints
from nodrop.controllers.replicaset import controller as replicaset
from nodrop.controllers.replicaset import status
from nodrop.model.drain import DrainWishes
from nodrop.model.intstr import Fenceposts, resolve
from nodrop.model.meta import Obj, ObjectKey
from nodrop.proxy.protocol import InFlight
from nodrop.registry.verbs import Registry
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.generate import scenario_of
from nodrop.sim.judge import Violation
from nodrop.sim.world import simulate

_TRIED = 60


def _first_violation(tried: int = _TRIED) -> tuple[int, Violation] | None:
    for seed in range(1, tried + 1):
        violation = simulate(scenario_of(seed, with_faults=False)).violation
        if violation is not None:
            return seed, violation
    return None


def _signal_before_drain(patch: pytest.MonkeyPatch) -> None:
    async def no_drain(self: object) -> None:
        return None

    patch.setattr(pod_ending.PodEnding, "_drain", no_drain)


def _ceil_and_floor_swapped(patch: pytest.MonkeyPatch) -> None:
    def swapped(surge: int | str, unavailable: int | str, replicas: int) -> Fenceposts:
        up, down = resolve(surge, replicas, "down"), resolve(unavailable, replicas, "up")
        return Fenceposts(up, min(down or (0 if up else 1), replicas))

    patch.setattr(snapshot, "resolve_fenceposts", swapped)


def _min_ready_ignored(patch: pytest.MonkeyPatch) -> None:
    def available(pod: Obj, min_ready_s: int, now: datetime) -> bool:
        return pods.is_ready(pod)

    patch.setattr(status, "is_available", available)


def _grace_after_pre_stop(patch: pytest.MonkeyPatch) -> None:
    run = container_run.ContainerRun
    original: Callable[..., Any] = run._pre_stop

    async def hook_is_free(self: container_run.ContainerRun) -> None:
        left_s = self._deadline.left_s
        await original(self)
        self._deadline = Deadline.in_s(left_s)

    patch.setattr(run, "_pre_stop", hook_is_free)


def _readiness_does_not_gate(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(endpoints, "is_ready", lambda pod: not pods.is_terminal(pod))


def _two_actions(patch: pytest.MonkeyPatch) -> None:
    def both(view: Any, new: Any, old: Sequence[Any]) -> tuple[Resize, ...]:
        return rolling._plan_new(view, new, old) + rolling._plan_old(view, new, old)

    patch.setattr(deployment, "plan_rolling", both)


def _terminating_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(replicaset, "is_active", lambda pod: not pods.is_terminal(pod))


def _streams_waited_for(patch: pytest.MonkeyPatch) -> None:
    original = SimProxy.drain

    async def drain(self: SimProxy, pod: str, timeout_s: float, *, answers_s: float) -> InFlight:
        if self.streams(pod):
            await asyncio.sleep(timeout_s)
        return await original(self, pod, timeout_s, answers_s=answers_s)

    patch.setattr(SimProxy, "drain", drain)


def _streams_cut_at_once(patch: pytest.MonkeyPatch) -> None:
    def plan(grace_s: float, sleep_hook_s: float, wishes: DrainWishes) -> DrainPlan:
        return replace(plan_drain(grace_s, sleep_hook_s, wishes), streams_s=0.0)

    patch.setattr(pod_ending, "plan_drain", plan)


def _no_budget_is_asked(patch: pytest.MonkeyPatch) -> None:
    def evict(self: Registry, key: ObjectKey, eviction: Obj) -> None:
        self.delete(key)

    patch.setattr(Registry, "evict", evict)


def _any_pod_is_selected(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(slices, "_selects", lambda selector, labels: True)


MUTATIONS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "signal before drain": (_signal_before_drain, "no signal before removal and drain (S12, S13)"),
    "ceil and floor swapped": (_ceil_and_floor_swapped, "ceiling (S3)|floor (S5)"),
    "minReadySeconds ignored": (_min_ready_ignored, "floor (S5)"),
    "grace counted after preStop": (_grace_after_pre_stop, "grace period (S15, S20)"),
    "readiness not gating": (_readiness_does_not_gate, "only ready backends (S8, S9)"),
    "two actions in one sync": (_two_actions, "one action a sync"),
    "streams waited for": (_streams_waited_for, "streams keep no pod from its signal"),
    "streams cut at once": (_streams_cut_at_once, "streams have their time"),
    "terminating pods counted": (_terminating_count, "a terminating pod counts nowhere"),
    "any pod is selected": (_any_pod_is_selected, "only ready backends (S8, S9)"),
    "an eviction asks no budget": (_no_budget_is_asked, "evictions keep the budget"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant, invariants = MUTATIONS[name]
    plant(monkeypatch)
    found = _first_violation()
    assert found is not None, f"{name}: {_TRIED} seeds found nothing"
    seed, violation = found
    assert violation.invariant in invariants.split("|"), f"seed {seed}: {violation}"
    print(f"{name}: seed {seed}: {violation}")


def test_without_a_planted_bug_nothing_is_found() -> None:
    assert _first_violation(18) is None
