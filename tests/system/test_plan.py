"""A plan and the same rollout done for real agree; explain tells what a rollout waits for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import pytest

from nodrop.agent.plan.rhythm import pause_s
from nodrop.check.source import read_files
from nodrop.cli.apply import apply_all, prepare
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import EVENT, POD
from nodrop.model.meta import Obj, is_deleting, key_of, uid_of
from nodrop.plan.assumptions import Assumptions, StartUp
from nodrop.plan.run import Change, play
from nodrop.plan.spans import Course
from nodrop.plan.world import PlanApi
from tests.system.harness import HELLO, Engine, Watching, apply, hello, is_ready, write

_NAP_S = 0.01


@dataclass
class Life:
    """When a pod was first seen in each state, by the test's clock."""

    version: str
    seen: dict[str, float] = field(default_factory=dict)

    def note(self, what: str, at_s: float) -> None:
        self.seen.setdefault(what, at_s)


class Times:
    """The lives of all pods, as a watch tells them."""

    def __init__(self, watching: Watching) -> None:
        self.lives: dict[str, Life] = {}
        watching.cache.subscribe(self._note)

    def _note(self, event: WatchEvent, _before: Obj | None) -> None:
        if event.obj["kind"] != POD.kind:
            return
        image = event.obj["spec"]["containers"][0]["image"]
        life = self.lives.setdefault(uid_of(event.obj), Life(image.partition(":")[2]))
        now_s = asyncio.get_running_loop().time()
        life.note("created", now_s)
        for container in (event.obj.get("status") or {}).get("containerStatuses") or ():
            if container["state"].get("running"):
                life.note("started", now_s)
        if is_ready(event.obj):
            life.note("ready", now_s)
        if is_deleting(event.obj):
            life.note("deleted", now_s)
        if event.type == "DELETED":
            life.note("gone", now_s)

    def of(self, version: str) -> list[Life]:
        """The pods of a version, oldest first."""
        lives = [life for life in self.lives.values() if life.version == version]
        return sorted(lives, key=lambda life: life.seen["created"])


def covered_s(intervals: list[tuple[float, float]]) -> float:
    """The time during which at least one interval is open."""
    total_s, until_s = 0.0, float("-inf")
    for begin_s, end_s in sorted(intervals):
        total_s += max(0.0, end_s - max(begin_s, until_s))
        until_s = max(until_s, end_s)
    return total_s


@asynccontextmanager
async def lateness() -> AsyncIterator[list[float]]:
    """By how many seconds naps beside the block took longer: the part of it that others had."""
    late_s: list[float] = []
    loop = asyncio.get_running_loop()

    async def nap() -> None:
        while True:
            asked_s = loop.time()
            await asyncio.sleep(_NAP_S)
            late_s.append(loop.time() - asked_s - _NAP_S)

    task = asyncio.ensure_future(nap())
    try:
        yield late_s
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def scalings(messages: list[str]) -> list[tuple[str, str]]:
    """(up or down, "to N from M") of what a Deployment's controller did, in order."""
    found = []
    for message in messages:
        for part in message.split("; "):
            if part.startswith("Scaled "):
                words = part.split()
                found.append((words[1], " ".join(words[-4:])))
    return found


async def planned(old: str, new: str, assumed: Assumptions) -> Course:
    before, after = (prepare(read_files([_path(file)]), "default") for file in (old, new))
    keys = [key_of(obj) for obj in after if obj["kind"] == "Deployment"]

    async def bring(api: PlanApi, objects: list[Obj]) -> None:
        await apply_all(api, objects)

    change = Change(
        before=lambda api: bring(api, before),
        apply=lambda api: bring(api, after),
        deployments=keys,
    )
    (course,) = await asyncio.to_thread(play, change, assumed)
    return course


def _path(file: str) -> Path:
    return Path(file)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "exact"),
    [(1, 0, 3, True), ("50%", "50%", 4, False), (0, 1, 3, True)],
)
async def test_a_plan_and_the_real_rollout_agree(
    engine: Engine, surge: int | str, unavailable: int | str, replicas: int, exact: bool
) -> None:
    """Same decisions in the same order; the same duration within 10 % or 0.5 s.

    And what a busy machine has kept from this process, as it does from nodrop's. How long programs
    take to start and to end on this machine now is measured in the real run and assumed in the
    plan: what is compared is what nodrop itself does.
    """
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    spec = {"strategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}
    v1, v2 = (hello(v, replicas=replicas, spec=spec) for v in ("v1", "v2"))
    old, new = (write(engine.state.root / f"{n}.yaml", d) for n, d in (("old", v1), ("new", v2)))
    await asyncio.to_thread(engine.run, "up", old)
    async with engine.client() as client, Watching(client) as watching:
        times = Times(watching)
        for pod in watching.pods():
            times._note(WatchEvent("ADDED", pod, watching.cache.seen(POD)), None)
        async with lateness() as late_s:
            await asyncio.to_thread(engine.run, "up", new, "--no-wait")
            await watching.until(lambda: watching.rolled_out("v2"))
        events = list(watching.history)
    real_new, real_old = times.of("v2"), times.of("v1")
    startups = tuple(life.seen["ready"] - life.seen["started"] for life in real_new)
    assumed = Assumptions(
        # Ready is noticed by a probe, which asks again that often: it served up to that earlier.
        startup=StartUp(tuple(max(0.05, one - pause_s(one) / 2) for one in startups), "measured"),
        requests_per_s=0,
        runtime_s=mean(life.seen["started"] - life.seen["created"] for life in real_new),
        term_s=mean(life.seen["gone"] - life.seen["deleted"] for life in real_old),
    )
    course = await planned(old, new, assumed)
    plan_new = [pod for pod in course.pods if pod.version == "new"]
    plan_old = [pod for pod in course.pods if pod.version == "old"]
    assert len(plan_new) == len(real_new) == replicas
    assert len(plan_old) == len(real_old) == replicas

    # The order of events.
    done = [
        e.obj["message"]
        for e in events
        if e.obj["kind"] == "Event" and e.obj["reason"] == "ScalingReplicaSet"
    ]
    begin_s = real_new[0].seen["created"]
    decided = scalings([why for _, why in course.because])
    really = [one for one in scalings(done) if not one[1].startswith("from")]
    if exact:
        assert decided == really
        plan_order = sorted(
            [(p.created_s, "start") for p in plan_new]
            + [(p.ready_s or 0, "ready") for p in plan_new]
            + [(p.deleted_s or 0, "delete") for p in plan_old]
        )
        real_order = sorted(
            [(life.seen["created"], "start") for life in real_new]
            + [(life.seen["ready"], "ready") for life in real_new]
            + [(life.seen["deleted"], "delete") for life in real_old]
        )
        assert [what for _, what in plan_order] == [what for _, what in real_order]
    assert decided[0] == really[0]

    # The duration, beside what programs take.
    real_s = max(life.seen["deleted"] for life in real_old) - begin_s
    real_s = max([real_s, *(life.seen["ready"] - begin_s for life in real_new)])
    plan_begin_s = min(pod.created_s for pod in plan_new)
    plan_s = max(pod.deleted_s or 0 for pod in plan_old)
    plan_s = max([plan_s, *(pod.ready_s or 0 for pod in plan_new)]) - plan_begin_s
    real_starting_s = covered_s([(life.seen["created"], life.seen["ready"]) for life in real_new])
    plan_starting_s = covered_s([(p.created_s, p.ready_s or 0) for p in plan_new])
    differ_s = abs((real_s - real_starting_s) - (plan_s - plan_starting_s))
    allowed_s = max(0.5, 0.1 * real_s) + sum(late_s)
    assert differ_s <= allowed_s, (real_s, plan_s, real_starting_s, plan_starting_s)


async def test_a_plan_against_what_runs_touches_nothing_and_explain_tells_why(
    engine: Engine,
) -> None:
    """The start-up time comes from the pods that run; S9 is named while a pod is held back."""
    await apply(engine, hello("v1", replicas=2), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        before = [pod["metadata"]["resourceVersion"] for pod in watching.pods()]
        new = write(engine.state.root / "new.yaml", hello("v2", replicas=2))
        done = await asyncio.to_thread(engine.run, "plan", "-f", new, "--json")
        told = json.loads(done.stdout)
        (one,) = told["deployments"]
        assert "spec.template.spec.containers[hello].image" in [c["path"] for c in one["changes"]]
        assert one["summary"]["least"] == one["summary"]["floor"] == 2
        assert one["summary"]["most"] == one["summary"]["ceiling"] == 3
        assert (one["ifNeverReady"]["old"], one["ifNeverReady"]["new"]) == (2, 1)
        assert 600 <= one["ifNeverReady"]["deadline_s"] < 605
        assert any("observed on 2 pods" in line for line in told["assumed"])
        assert [pod["metadata"]["resourceVersion"] for pod in watching.pods()] == before

        done = await asyncio.to_thread(engine.run, "explain", "deployment/hello")
        assert "at rest: all 2 pods are up to date and available" in done.stdout

        starting: Obj = {
            "terminationGracePeriodSeconds": 2
        }  # it hears no SIGTERM until it has started
        await apply(engine, hello("v2", replicas=2, env={"START_S": "600"}, pod=starting))
        await watching.until(lambda: any(e["reason"] == "Unhealthy" for e in _events(watching)))
        done = await asyncio.to_thread(engine.run, "explain", "deploy/hello")
        assert "waiting: 1 of 1 new pods are not available:" in done.stdout
        assert "Readiness probe failed" in done.stdout
        assert "no old pod may go: 2 are available, and 2 − maxUnavailable 0 = 2" in done.stdout
        assert "deadline in" in done.stdout

        held = hello("v3", replicas=2, probe=None, spec={"minReadySeconds": 300})
        await apply(engine, held)
        await watching.until(lambda: any(map(is_ready, watching.pods("v3"))))
        (pod,) = watching.pods("v3")
        done = await asyncio.to_thread(engine.run, "explain", f"pod/{pod['metadata']['name']}")
        assert "is held back from traffic" in done.stdout
        assert "S9" in done.stdout


def _events(watching: Watching) -> list[Obj]:
    return list(watching.cache.list(EVENT))


def test_bad_input_is_told_as_elsewhere(empty_engine: Engine, tmp_path: Path) -> None:
    nothing = write(tmp_path / "service.yaml", [d for d in hello() if d["kind"] != "Deployment"])
    done = empty_engine.run("plan", "-f", nothing, check=False)
    assert done.returncode == 1
    assert "there is no Deployment in these manifests" in done.stderr
    zero = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}
    bad = write(tmp_path / "bad.yaml", hello(spec={"strategy": zero}))
    done = empty_engine.run("plan", "-f", bad, "--from", str(HELLO / "v1.yaml"), check=False)
    assert done.returncode == 1
    assert "may not be 0 when `maxSurge` is 0" in done.stderr
    assert empty_engine.run("explain", "service/hello", check=False).returncode == 2
    assert "there is no pod" in empty_engine.run("explain", "pod/none", check=False).stderr
