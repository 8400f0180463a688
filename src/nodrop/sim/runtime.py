"""A runtime without processes: applications that behave as their scenario says."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from signal import Signals
from typing import Protocol

from nodrop.agent.runtime.protocol import (
    ContainerId,
    ContainerSpec,
    ContainerState,
    ExecResult,
    Exit,
    RuntimeFailure,
)
from nodrop.clock import Clock
from nodrop.sim.behaviour import Behaviour


@dataclass(slots=True, eq=False)
class App:
    """One run of a container, as the machine sees it."""

    spec: ContainerSpec
    state: ContainerState
    behaviour: Behaviour
    started_s: float
    serves_at_s: float
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    terminated_s: float | None = None
    in_hook: int = 0
    was_in_hook: bool = False

    @property
    def running(self) -> bool:
        return self.state.exit is None

    def serves(self, now_s: float) -> bool:
        """Whether a connection made now is answered."""
        closing = self.terminated_s is not None and self.behaviour.on_term == "finish"
        return self.running and now_s >= self.serves_at_s and not closing

    def is_ready(self, now_s: float) -> bool:
        """What its readiness endpoint says."""
        behaviour = self.behaviour
        if not self.serves(now_s) or behaviour.never_ready:
            return False
        if behaviour.unready_after_s is None:
            return True
        since_s = now_s - self.serves_at_s - behaviour.unready_after_s
        return not 0 <= since_s < behaviour.unready_for_s

    def is_alive(self, now_s: float) -> bool:
        """What its liveness endpoint says."""
        deaf_s = self.behaviour.deaf_after_s
        return self.serves(now_s) and (deaf_s is None or now_s < self.started_s + deaf_s)


class Watcher(Protocol):
    """Who is told what happens on the machine, in the moment it happens."""

    def on_start(self, app: App) -> None: ...

    def on_signal(self, app: App, signal: Signals) -> None: ...

    def on_exit(self, app: App, why: str) -> None: ...

    def on_hook(self, app: App, command: Sequence[str], *, begins: bool) -> None: ...


@dataclass(slots=True)
class Trouble:
    """What faults do to calls: ``failing`` is the share that fails, ``late_s`` their delay."""

    failing: float = 0.0
    late_s: float = 0.0


#: How long a command runs beside an app, and how it ends.
Command = Callable[[App, Sequence[str]], tuple[float, ExecResult]]


class SimRuntime:
    """See agent.runtime.protocol.Runtime. It outlives every control plane.

    ``behave`` says how a container will behave, ``latency_s`` how long a call takes; half of
    that passes before its effect and half after it, so that a caller may die in between.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        behave: Callable[[ContainerSpec], Behaviour],
        watcher: Watcher,
        rng: random.Random,
        latency_s: Callable[[], float] = lambda: 0.0,
        command: Command = lambda app, words: (0.0, ExecResult(0, b"")),
        in_flight: Callable[[str], int] = lambda pod_uid: 0,
    ) -> None:
        self._clock = clock
        self._behave = behave
        self._watcher = watcher
        self._rng = rng
        self._latency_s = latency_s
        self._command = command
        self._in_flight = in_flight
        self._pids = 100
        self.trouble = Trouble()
        self.apps: dict[ContainerId, App] = {}
        self._by_pod: dict[str, dict[ContainerId, App]] = {}

    # The protocol

    async def start(self, spec: ContainerSpec) -> ContainerState:
        half_s = await self._begin(f"starting container {spec.id}")
        if spec.id not in self.apps:
            self._run(spec)
        await self._finish(half_s, f"starting container {spec.id}")
        return self.apps[spec.id].state

    async def wait(self, container: ContainerId) -> Exit:
        app = self.apps.get(container)
        if app is None:
            return Exit(137, self._clock.now(), known=False)
        self._perhaps_fail(f"waiting for container {container}")
        await app.ended.wait()
        assert app.state.exit is not None
        return app.state.exit

    async def signal(self, container: ContainerId, signal: int) -> None:
        # Real-time signals have no names of their own in Python, and one effect here.
        named = Signals(min(signal, Signals.SIGRTMIN))
        half_s = await self._begin(f"sending {named.name} to container {container}")
        app = self.apps.get(container)
        if app is not None and app.running:
            self._watcher.on_signal(app, named)
            self._take(app, named)
        await self._finish(half_s, f"sending {named.name} to container {container}")

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        await self._finish(await self._begin(f"exec in container {container}"), "exec")
        app = self.apps.get(container)
        if app is None or not app.running:
            raise RuntimeFailure(f"exec in container {container}: it doesn't run")
        took_s, result = self._command(app, command)
        self._watcher.on_hook(app, command, begins=True)
        try:
            async with asyncio.timeout(timeout_s):
                await self._unless_ended(app, took_s)
        finally:
            self._watcher.on_hook(app, command, begins=False)
        return result if app.running else ExecResult(137, b"")

    async def note(self, container: ContainerId, key: str, value: str) -> None:
        half_s = await self._begin(f"noting {key} of container {container}")
        app = self.apps.get(container)
        if app is None:
            raise RuntimeFailure(f"noting {key} of container {container}: unknown container")
        app.state = replace(app.state, notes={**app.state.notes, key: value})
        await self._finish(half_s, f"noting {key} of container {container}")

    async def list(self, pod_uid: str | None = None) -> list[ContainerState]:
        await self._finish(await self._begin("listing containers"), "listing containers")
        apps = self.apps.values() if pod_uid is None else self.apps_of(pod_uid)
        return [app.state for app in apps]

    async def remove(self, container: ContainerId) -> None:
        half_s = await self._begin(f"removing container {container}")
        app = self.apps.get(container)
        if app is not None and app.running:
            raise RuntimeFailure(f"removing container {container}: it still runs")
        if app is not None:
            del self.apps[container]
            self._by_pod[app.spec.pod_uid].pop(container, None)
            if not self._by_pod[app.spec.pod_uid]:
                del self._by_pod[app.spec.pod_uid]
        await self._finish(half_s, f"removing container {container}")

    # What the rest of the world asks

    def place(self, app: App) -> None:
        """Put an app on the machine that has run for long: nobody is told."""
        self.apps[app.spec.id] = app
        self._by_pod.setdefault(app.spec.pod_uid, {})[app.spec.id] = app

    def app_at(self, address: str) -> App | None:
        """The running app of a pod address, the newest if it was started again."""
        for app in reversed(self.apps.values()):
            if app.spec.pod_ip == address and app.running and app.behaviour.listens:
                return app
        return None

    def apps_of(self, pod_uid: str) -> Sequence[App]:
        return list(self._by_pod.get(pod_uid, {}).values())

    def end(self, app: App, code: int, why: str) -> None:
        """The main process ends."""
        if not app.running:
            return
        app.state = replace(app.state, exit=Exit(code, self._clock.now()))
        app.ended.set()
        self._watcher.on_exit(app, why)

    # Private

    def _run(self, spec: ContainerSpec) -> None:
        behaviour = self._behave(spec)
        if behaviour.refusal:
            raise RuntimeFailure(behaviour.refusal)
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        start_s = behaviour.start_s * (1 + behaviour.jitter * self._rng.random())
        self._pids += 1
        state = ContainerState(
            id=spec.id,
            pod_uid=spec.pod_uid,
            name=spec.name,
            pid=self._pids,
            started_at=self._clock.now(),
            exit=None,
            notes={},
            wildcard_bind=True,
        )
        app = App(spec, state, behaviour, now_s, now_s + start_s)
        self.place(app)
        self._watcher.on_start(app)
        if behaviour.crash_after_s is not None:
            loop.call_later(behaviour.crash_after_s, self.end, app, behaviour.crash_code, "crash")

    def _take(self, app: App, signal: Signals) -> None:
        """An app gets a signal; only SIGKILL can't be ignored or delayed."""
        behaviour = app.behaviour
        if signal == Signals.SIGKILL:
            self.end(app, 137, "SIGKILL")
        elif behaviour.on_term == "die":
            self.end(app, 128 + signal, signal.name)
        elif behaviour.on_term == "finish" and app.terminated_s is None:
            loop = asyncio.get_running_loop()
            app.terminated_s = loop.time()
            loop.call_later(behaviour.term_s, self._end_when_idle, app)
        elif app.terminated_s is None:
            app.terminated_s = asyncio.get_running_loop().time()

    def _end_when_idle(self, app: App) -> None:
        if app.running and self._in_flight(app.spec.pod_uid):
            asyncio.get_running_loop().call_later(0.1, self._end_when_idle, app)
        else:
            self.end(app, app.behaviour.exit_code, "finished")

    async def _begin(self, what: str) -> float:
        half_s = (self._latency_s() + self.trouble.late_s) / 2
        await asyncio.sleep(half_s)
        self._perhaps_fail(what)
        return half_s

    async def _finish(self, half_s: float, what: str) -> None:
        await asyncio.sleep(half_s)
        self._perhaps_fail(what)  # it was done, but the answer is lost

    def _perhaps_fail(self, what: str) -> None:
        if self.trouble.failing and self._rng.random() < self.trouble.failing:
            raise RuntimeFailure(f"{what}: the runtime doesn't answer")

    async def _unless_ended(self, app: App, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await app.ended.wait()
        except TimeoutError:
            return
