"""One run of a scenario: a machine, control planes on it one after the other, users and faults."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nodrop.agent.runtime.protocol import ContainerSpec, ExecResult
from nodrop.model.kinds import KINDS
from nodrop.proxy.protocol import Backend, ServicePort
from nodrop.sim.behaviour import Behaviour
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.facts import Facts
from nodrop.sim.gate import Folders
from nodrop.sim.invariants import (
    LATE_S,
    TOLERANCE_S,
    lost_request,
    may_have_traffic,
    unused_pod,
)
from nodrop.sim.judge import Judge, Violation, of_service
from nodrop.sim.logs import listening
from nodrop.sim.loop import VirtualClock, run_virtual
from nodrop.sim.manifests import (
    INIT,
    NAMESPACE,
    SIDECAR,
    WEB,
    deployment_of,
    key_of,
    stories,
)
from nodrop.sim.plane import ControlPlane, Machine
from nodrop.sim.runtime import App, SimRuntime
from nodrop.sim.scenario import Scenario
from nodrop.sim.timeline import Timeline
from nodrop.sim.traffic import Requests
from nodrop.store.sqlite import SqliteStore

_LOOK_EVERY_S = 0.5
_QUIET_S = 3.0
#: Long enough for what backs off after faults, and for a roll-out pod by pod.
_PATIENCE_S = 240.0


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended. ``virtual_s`` is how long it took in the simulated world."""

    scenario: Scenario
    violation: Violation | None
    virtual_s: float
    sent: int
    answered: int
    timeline: Timeline

    def without_timeline(self) -> Result:
        """Small enough to be sent between processes."""
        return replace(self, timeline=Timeline(float))


class World:
    """The machine with everything on it. ``run`` plays the scenario to its end."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.stories = stories(scenario)
        loop = asyncio.get_running_loop()
        self.timeline = Timeline(loop.time)
        self.clock = VirtualClock()
        stale_s = TOLERANCE_S + 4 * (scenario.latencies.api_s + scenario.latencies.watch_s)
        self.facts = {
            name: Facts(stale_s=stale_s, min_available=story.min_available)
            for name, story in self.stories.items()
        }
        self.judge = Judge(self.timeline, self.clock, self.facts)
        self._rngs = {name: random.Random(f"{scenario.seed} {name}") for name in _CHANCES}
        self.store = SqliteStore(":memory:")
        self.refusing = 0.0
        self.plane: ControlPlane | None = None
        self.restart_after_s = 0.5
        self._plane_task: asyncio.Task[None] | None = None
        self.proxy = SimProxy(self.judge, latency_s=self._below("proxy", "proxy_s"))
        self.runtime = SimRuntime(
            self.clock,
            behave=self._behaviour,
            watcher=self.judge,
            rng=self._rngs["runtime"],
            latency_s=self._below("runtime", "runtime_s"),
            command=_command,
            in_flight=self.proxy.in_flight,
        )
        self.requests = {name: self._client_of(name) for name in self.stories}
        self.judge.serving = lambda: self.proxy.table
        self.judge.in_flight = self.proxy.in_flight
        self.judge.on_end = self._app_ended
        self._machine = Machine(
            store=self.store,
            runtime=self.runtime,
            proxy=self.proxy,
            folders=Folders(),
            clock=self.clock,
            rng=self._rngs["names"],
            on_change=self.judge.on_change,
            on_plan=self.judge.on_plan,
            refuses=lambda: (
                self._rngs["store"].random() < self.refusing if self.refusing else False
            ),
            api_s=self._below("api", "api_s"),
            watch_s=self._below("watch", "watch_s") if scenario.latencies.watch_s else None,
            probe_s=self._below("probe", "probe_s"),
        )

    # Control planes

    async def keep_running(self, group: asyncio.TaskGroup) -> None:
        """Start a control plane, and another whenever one has been killed."""
        while True:
            self.plane = plane = ControlPlane(self._machine, self.kill)
            self.timeline.add("world", "the control plane starts")
            self.judge.disturbed_s = self.judge.now_s
            self._plane_task = group.create_task(self._live(plane), name="control plane")
            await asyncio.wait({self._plane_task})
            self.plane = None
            await asyncio.sleep(self.restart_after_s)
            self.judge.disturbed -= 1

    def kill(self, why: str) -> None:
        """End the control plane between two instructions: from now on it does nothing."""
        if self.plane is None or self._plane_task is None:
            return
        self.timeline.add("world", "the control plane is killed", why)
        self.judge.disturbed += 1
        self.plane.gate.shut()
        self.plane = None
        self._plane_task.cancel()

    async def _live(self, plane: ControlPlane) -> None:
        try:
            await plane.run()
        except BaseExceptionGroup as errors:
            if plane.gate.open:
                self.judge.fail("the control plane lives", repr(errors))
        except asyncio.CancelledError:
            if plane.gate.open:
                raise

    # What happens

    def note(self, what: str, why: str = "") -> None:
        self.timeline.add("world", what, why)

    def unsettled(self) -> str | None:
        """Why the world isn't at rest where the user wants it, or None."""
        return _unsettled(self)

    async def until_settled(self) -> None:
        """Wait for convergence, and a little longer; the judge sweeps all the while."""
        last_s = self.scenario.disturbed_until_s
        replicas = sum(story.replicas for story in self.stories.values())
        give_up_s = last_s + _PATIENCE_S + 15.0 * replicas
        quiet_s = 0.0
        while quiet_s < _QUIET_S and not self.judge.over.is_set():
            await asyncio.sleep(_LOOK_EVERY_S)
            self.judge.sweep(list(self.runtime.apps.values()))
            why = "disturbed" if self.judge.now_s <= last_s else self.unsettled()
            quiet_s = 0.0 if why else quiet_s + _LOOK_EVERY_S
            if why and self.judge.now_s > give_up_s:
                self.judge.fail("convergence", why)

    # Private

    def _client_of(self, name: str) -> Requests:
        suffix = "" if name == WEB else f" {name}"
        return Requests(
            self.proxy,
            self.runtime,
            ServicePort(NAMESPACE, name, 80),
            rng=random.Random(f"{self.scenario.seed} requests{suffix}"),
            stream_rng=random.Random(f"{self.scenario.seed} streams{suffix}"),
            on_lost=partial(self._lost, name),
            on_cut=self.judge.on_cut,
        )

    def _app_ended(self, app: App, why: str) -> None:
        self.requests[_owner(app.spec)].app_ended(app, why)

    def _below(self, chance: str, what: str) -> Callable[[], float]:
        longest_s: float = getattr(self.scenario.latencies, what)
        rng = self._rngs[chance]
        if not longest_s:
            return lambda: 0.0
        return lambda: rng.random() * longest_s

    def _behaviour(self, spec: ContainerSpec) -> Behaviour:
        version = self.stories[_owner(spec)].versions[int(spec.argv[1])]
        if spec.name == INIT:  # it ends by itself: a crash with exit code 0
            return Behaviour(crash_after_s=version.init_s, crash_code=0, listens=False)
        if spec.name == SIDECAR:
            return Behaviour(term_s=0.1, listens=False)
        return version.behaviour

    def _lost(self, name: str, backend: Backend | None, why: str) -> None:
        self.timeline.add("client", f"lost: {why}", backend.name if backend else "")
        now_s, now, facts = self.judge.now_s, self.clock.now(), self.facts[name]
        if backend is None:
            if self.judge.calm_s > 2 * LATE_S:  # the proxy is asked again every 2 s
                idle = unused_pod(facts, now_s, now)
                self.judge.fail("ready pods get traffic (S5, S11)", idle)
            return
        pod = facts.pods.get(backend.pod)
        if pod is None or any(fault.what in _EXCUSES for fault in self.scenario.faults):
            return
        version = self.stories[name].versions[pod.version]
        if version.behaviour.well and may_have_traffic(version, pod.hold_s):
            self.judge.fail("no request is lost (S5)", lost_request(pod, why, now_s))


#: After these a request may be lost: nobody can tell the proxy, or when S9's seconds are over.
_EXCUSES = ("proxy-lost", "proxy-crash", "clock-jump")
_CHANCES = (
    "names", "runtime", "proxy", "store", "api", "watch", "probe", "faults",
)  # fmt: skip


def _command(app: App, words: Sequence[str]) -> tuple[float, ExecResult]:
    return app.behaviour.hook_s, ExecResult(0, b"")


def _owner(spec: ContainerSpec) -> str:
    return deployment_of(spec.labels["pod"])


def _unsettled(world: World) -> str | None:
    plane = world.plane
    if plane is None:
        return "there is no control plane"
    for name in world.stories:
        if why := _unsettled_deployment(world, name):
            return f"{name}: {why}"
    for kind in KINDS:
        if {o["metadata"]["name"]: o for o in plane.cache.list(kind)} != {
            one.key.name if hasattr(one, "key") else one.obj["metadata"]["name"]: one.obj
            for one in world.store.list(kind)
        }:
            return f"the cache is not what is stored: {kind.plural}"
    return None


def _unsettled_deployment(world: World, name: str) -> str | None:
    facts = world.facts[name]
    stored = world.store.get(key_of(name))
    if stored is None:
        return "there is no Deployment"
    spec, status = stored.obj["spec"], stored.obj.get("status") or {}
    if status.get("observedGeneration") != stored.obj["metadata"]["generation"]:
        return "the Deployment's latest generation has not been observed"
    wanted = spec["replicas"]
    for count in ("replicas", "updatedReplicas", "availableReplicas"):
        if (status.get(count) or 0) != wanted:
            return f"status.{count} is {status.get(count) or 0}, not {wanted}"
    if len(facts.pods) != wanted:
        return f"there are {len(facts.pods)} pods, not {wanted}"
    apps = [app for app in world.runtime.apps.values() if _owner(app.spec) == name]
    running = [app for app in apps if app.running and app.behaviour.listens]
    listening = [app for app in apps if app.behaviour.listens]
    if len(running) != wanted or len(listening) > 2 * wanted:
        return f"{len(running)} containers run, not {wanted}"
    pods = {app.spec.pod_uid for app in running}
    if any(app.running and app.spec.pod_uid not in pods for app in apps):
        return "a sidecar runs without its pod"
    if of_service(world.proxy.table, name).pods() != facts.pods.keys():
        return "the proxy does not route to all pods"
    return None


def simulate(scenario: Scenario) -> Result:
    """Play a scenario on a loop of its own, to its end or to the first violation."""
    return run_virtual(_simulate(scenario))


async def _simulate(scenario: Scenario) -> Result:
    from nodrop.sim.script import play

    world = World(scenario)
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(
        lambda _loop, context: world.judge.fail("no stray exception", repr(context))
    )
    with listening(world.judge.fail, world.timeline):
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(world.keep_running(group)),
                    *(
                        group.create_task(work)
                        for name, story in world.stories.items()
                        for work in _traffic(world.requests[name], story)
                    ),
                    group.create_task(play(world)),
                ]
                over = group.create_task(world.judge.over.wait())
                settled = group.create_task(world.until_settled())
                await asyncio.wait({over, settled}, return_when=asyncio.FIRST_COMPLETED)
                if world.plane is not None:
                    world.plane.gate.shut()
                for task in [*tasks, over, settled, world._plane_task]:
                    if task is not None:
                        task.cancel()
        except* Exception as errors:
            world.judge.fail("the simulation runs", repr(errors))
    world.store.close()
    return Result(
        scenario,
        world.judge.violation,
        loop.time(),
        sum(requests.sent for requests in world.requests.values()),
        sum(requests.answered for requests in world.requests.values()),
        world.timeline,
    )


def _traffic(requests: Requests, story: Scenario) -> tuple[Coroutine[Any, Any, None], ...]:
    return (
        requests.run(every_s=story.request_every_s, longest_s=story.request_s),
        requests.open_streams(every_s=story.stream_every_s),
    )
