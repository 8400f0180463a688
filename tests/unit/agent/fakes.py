"""Fakes of what the agent works with; they keep the protocols' promises without processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from signal import Signals

from nodrop.agent.plan.probes import ExecTarget, Target
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import (
    ContainerId,
    ContainerSpec,
    ContainerState,
    ExecResult,
    Exit,
    RuntimeFailure,
)
from nodrop.agent.traffic import Withdrawn
from nodrop.clock import Clock
from nodrop.model.meta import Uid


@dataclass(slots=True)
class FakeTraffic:
    """A data plane that lets go after ``drain_s``; ``in_flight`` is what it reports then.

    ``release`` unset holds every withdraw until its budget ends, as a slow request would.
    """

    history: list[tuple[str, ...]] = field(default_factory=list)
    budgets_s: list[float] = field(default_factory=list)
    in_flight: int = 0
    streams: int = 0
    answers_s: float = 0.0
    spread_s: float = 0.0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    cut_lasts_s: float = 0.0
    on_cut: Callable[[], object] = lambda: None

    async def withdraw(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.history.append(("withdraw", pod, address))
        self.budgets_s.append(budget_s)
        try:
            async with asyncio.timeout(budget_s):
                await self.release.wait()
            left = 0
        except TimeoutError:
            left = self.in_flight
        self.history.append(("withdrawn", pod, address))
        self.answers_s = answers_s
        return Withdrawn(left, loop.time() - began_s, self.streams)

    async def pause(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.history.append(("pause", pod, address))
        self.budgets_s.append(budget_s)
        left = 0
        try:
            async with asyncio.timeout(budget_s):
                await self.release.wait()
        except TimeoutError:
            left = self.in_flight
        self.history.append(("paused", pod, address))
        return Withdrawn(left, loop.time() - began_s)

    async def cut(self, pod: Uid, *, spread_s: float) -> int:
        self.history.append(("cut", pod))
        self.spread_s = spread_s
        closed, self.streams = self.streams, 0
        self.on_cut()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(self.cut_lasts_s)
        return closed

    async def forget(self, pod: Uid) -> None:
        self.history.append(("forget", pod))


@dataclass(slots=True)
class FakeContainer:
    spec: ContainerSpec
    state: ContainerState
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    signals: list[int] = field(default_factory=list)
    signalled: asyncio.Event = field(default_factory=asyncio.Event)


class FakeRuntime:
    """Containers without processes. SIGTERM ends one with 143 unless ``ignores_sigterm``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.containers: dict[ContainerId, FakeContainer] = {}
        self.ignores_sigterm = False
        self.wildcard_bind = True
        self.refuse_start = ""
        self.refuse_mounts = ""
        self.starting = asyncio.Event()
        self.starting.set()  # clear it to hold starts back
        self.failing: dict[str, str] = {}  # pod uid → why waiting for its containers fails
        self.execute: Callable[[Sequence[str]], ExecResult] = lambda command: ExecResult(0, b"")

    async def start(self, spec: ContainerSpec) -> ContainerState:
        if self.refuse_start:
            raise RuntimeFailure(self.refuse_start)
        if self.refuse_mounts and spec.mounts:
            raise RuntimeFailure(self.refuse_mounts)
        if spec.id not in self.containers:
            state = ContainerState(
                id=spec.id,
                pod_uid=spec.pod_uid,
                name=spec.name,
                pid=len(self.containers) + 1,
                started_at=self._clock.now(),
                exit=None,
                notes={},
                wildcard_bind=self.wildcard_bind,
            )
            self.containers[spec.id] = FakeContainer(spec, state)
        await self.starting.wait()
        return self.containers[spec.id].state

    async def wait(self, container: ContainerId) -> Exit:
        if container not in self.containers:
            return Exit(137, self._clock.now(), known=False)
        held = self.containers[container]
        if why := self.failing.get(held.spec.pod_uid):
            raise RuntimeFailure(why)
        await held.ended.wait()
        assert held.state.exit is not None
        return held.state.exit

    async def signal(self, container: ContainerId, signal: int) -> None:
        held = self.containers.get(container)
        if held is None or held.state.exit is not None:
            return
        held.signals.append(signal)
        held.signalled.set()
        if signal == Signals.SIGKILL or not self.ignores_sigterm:
            self.end(container, 128 + signal)

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        if container not in self.containers or self.containers[container].state.exit:
            raise RuntimeFailure(f"container {container} does not run")
        return self.execute(command)

    async def note(self, container: ContainerId, key: str, value: str) -> None:
        held = self.containers[container]
        held.state = replace(held.state, notes={**held.state.notes, key: value})

    async def list(self, pod_uid: str | None = None) -> list[ContainerState]:
        held = [held.state for held in self.containers.values()]
        return [state for state in held if pod_uid in (None, state.pod_uid)]

    async def remove(self, container: ContainerId) -> None:
        held = self.containers.get(container)
        if held is not None:
            assert held.state.exit is not None, f"{container} still runs"
            del self.containers[container]

    def end(self, container: ContainerId, code: int) -> None:
        """The main process ends with ``code``."""
        held = self.containers[container]
        held.state = replace(held.state, exit=Exit(code, self._clock.now()))
        held.ended.set()


class FakeProber:
    """Answers what ``verdict`` says for the target; everything succeeds at first."""

    def __init__(self) -> None:
        self.asked: list[Target] = []
        self.verdict: Callable[[Target], ProbeResult] = lambda target: SUCCESS

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        self.asked.append(target)
        return self.verdict(target)

    def count(self, kind: type[Target] = ExecTarget) -> int:
        return sum(isinstance(target, kind) for target in self.asked)


class FakeFolders:
    """Folders that exist only by name."""

    def __init__(self) -> None:
        self.uids: set[str] = set()

    def prepare(self, uid: str) -> str:
        self.uids.add(uid)
        return f"/pods/{uid}/tmp"

    def log_path(self, uid: str, container: str, attempt: int) -> str:
        self.uids.add(uid)
        return f"/pods/{uid}/logs/{container}/{attempt}.log"

    def last_words(self, uid: str, container: str, attempt: int) -> str:
        return f"the end of {container}/{attempt}\n"

    async def remove(self, uid: str) -> None:
        self.uids.discard(uid)

    def known(self) -> list[str]:
        return sorted(self.uids)
