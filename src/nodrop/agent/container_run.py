"""One run of a container: postStart, probes, and its end in the right order."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Coroutine, Sequence
from datetime import datetime, timedelta
from signal import Signals
from typing import Any

from nodrop.agent.deadline import Deadline
from nodrop.agent.flag import Flag
from nodrop.agent.hooks import run_hook
from nodrop.agent.notes import DONE, POST_START, PRE_STOP, SIGNALLED, STOP
from nodrop.agent.observer import HookName
from nodrop.agent.plan.probes import (
    ProbeKind,
    ProbeState,
    Target,
    awaits_first,
    door_of,
    first_state,
    next_state,
    target_of,
)
from nodrop.agent.plan.rhythm import first_turn, is_due, is_outcome, next_turn
from nodrop.agent.plan.spec import Container, Handler, Probe
from nodrop.agent.plan.termination import (
    LEAST_AFTER_SIGNAL_S,
    answers_s,
    drain_share_s,
    left_of,
    longest_grace_s,
)
from nodrop.agent.pod_context import PodContext
from nodrop.agent.probers.protocol import ProbeResult
from nodrop.agent.runtime.protocol import ContainerState, Exit
from nodrop.events import Reason
from nodrop.model.meta import Obj

#: A prober that fails itself is asked this often before its result is thrown away.
_TRIES = 3
#: How long a container that failed its probe may take to finish what it has in hand: it may be
#: hung, and then waiting helps nobody.
_STUCK_S = 2.0


class ContainerRun:
    """A started container until its end. ``past_hook``: postStart is over, it counts as running;
    ``past_startup``: its startup probe, if any, has passed.

    ``recorded`` is the stored status of the same run when it was adopted: its verdicts hold until
    a probe says otherwise, so that a restart of the engine takes no pod out of traffic.
    """

    def __init__(
        self, pod: PodContext, container: Container, state: ContainerState, *, recorded: Obj
    ) -> None:
        self.state = state
        self.past_hook = Flag()
        if (recorded.get("state") or {}).get("running"):
            self.past_hook.set()
        self.hook_failure = ""
        self._pod = pod
        self._container = container
        self._adopted = bool(recorded)
        self._readiness = container.readiness is None or bool(recorded.get("ready"))
        self.past_startup = Flag()
        if container.startup is None or recorded.get("started"):
            self.past_startup.set()
        self._killing = STOP in state.notes  # known before anything is published
        self._outdated = self._stopping = False
        self._group: asyncio.TaskGroup | None = None  # while the main process is waited for
        self._aides: list[asyncio.Task[None]] = []
        self._turn: Sequence[Flag] = ()
        self._hooks = True
        self._deadline = Deadline.in_s(0)
        # By the loop from here on: whoever sets the wall clock must not stop the probes.
        ran_s = (pod.host.clock.now() - state.started_at).total_seconds()
        self._started_s = asyncio.get_running_loop().time() - max(0.0, ran_s)

    @property
    def started(self) -> bool:
        return self.past_hook.is_set() and self.past_startup.is_set()

    @property
    def ready(self) -> bool:
        return self.started and self._readiness and not self._killing

    async def until_exit(self) -> Exit:
        """Look after the container until its main process has ended."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._aid(self._serve())
            if self._outdated:
                self._aid(self._end_outdated())
            if self._stopping:
                self._aid(self._end())
            try:
                ended = await self._pod.host.runtime.wait(self.state.id)
            finally:
                self._group = None
            for aide in self._aides:
                aide.cancel()
        return ended

    def _aid(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something besides waiting for the main process, until that has ended."""
        if self._group is not None:
            self._aides.append(self._group.create_task(work))
        else:
            work.close()

    def ask_stop(self, left_s: float, *, hooks: bool = True, after: Sequence[Flag] = ()) -> None:
        """End it within ``left_s``: preStop, SIGTERM, SIGKILL. Again: with less or more time.

        SIGTERM waits for ``after`` while there is time.
        """
        self._hooks, self._turn = hooks, after
        if self._stopping:
            self._deadline.move_to(left_s)
        else:
            self._deadline = Deadline.in_s(left_s)
            self._stopping = True
            self._aid(self._end())

    @property
    def outdated(self) -> bool:
        return self._outdated

    def outdate(self) -> None:
        """The container's definition has changed: this run gives way to a new one."""
        if not self._outdated:
            self._outdated = True
            self._aid(self._end_outdated())

    # Life

    async def _end_outdated(self) -> None:
        message = f"Container {self._container.name} definition changed, will be restarted"
        grace_s = self._pod.spec.grace_s
        await self._kill(message, grace_s=grace_s, pause_s=drain_share_s(grace_s))

    async def _serve(self) -> None:
        if self.state.notes.get(STOP):
            await self._resume_kill(datetime.fromisoformat(self.state.notes[STOP]))
        elif not await self._post_start():
            return
        self.past_hook.set()
        self._pod.changed()
        every: tuple[tuple[ProbeKind, Probe | None], ...] = (
            ("startup", self._container.startup),
            ("readiness", self._container.readiness),
            ("liveness", self._container.liveness),
        )
        for kind, probe in every:
            if probe is not None:
                self._aid(self._probe(kind, probe))

    async def _post_start(self) -> bool:
        hook = self._container.post_start
        over = self.past_hook.is_set() or self.state.notes.get(POST_START) == DONE
        if hook is None or over:
            return True
        failure = await self._observed("postStart", self._hook(hook))
        if failure is None:
            await self._pod.host.runtime.note(self.state.id, POST_START, DONE)
            return True
        self.hook_failure = failure
        await self._pod.emit(
            "Warning", Reason.FAILED_POST_START_HOOK, f"PostStartHook failed: {failure}"
        )
        await self._kill("FailedPostStartHook", grace_s=self._pod.spec.grace_s)
        return False

    async def _kill(self, message: str, *, grace_s: float, pause_s: float = _STUCK_S) -> None:
        """End this run though the pod lives on: not ready is stored before any signal.

        Nothing is signalled before the proxy routes elsewhere and requests in flight are over,
        or ``pause_s`` are used up; they count against the grace period.
        """
        if self._killing or self._stopping or self._pod.terminating.is_set():
            return
        self._killing = True
        await self._pod.publish()
        await self._pod.emit("Normal", Reason.KILLING, message)
        ends = Deadline.in_s(grace_s)  # by the loop; the note is for an engine after this one
        ends_at = self._pod.host.clock.now() + timedelta(seconds=grace_s)
        await self._pod.host.runtime.note(self.state.id, STOP, ends_at.isoformat())
        await self._pause(min(pause_s, drain_share_s(grace_s)))
        if not self._stopping:  # the pod's own end may have begun meanwhile, and wins
            self.ask_stop(ends.left_s)

    async def _pause(self, budget_s: float) -> None:
        pod = self._pod
        if not pod.host.settings.acknowledged or not pod.ip:
            return
        paused = await pod.host.traffic.pause(
            pod.uid, pod.ip, budget_s=budget_s, answers_s=answers_s(budget_s)
        )
        if paused.in_flight != 0:
            left = "perhaps some" if paused.in_flight is None else str(paused.in_flight)
            message = (
                f"{left} requests were still in flight after {paused.took_s:.1f} s; container "
                f"{self._container.name} is ended all the same, to be started again"
            )
            await pod.emit("Warning", Reason.DRAIN_CUT, message)

    async def _resume_kill(self, ends_at: datetime) -> None:
        """Go on with a kill; the note was written before the proxy had said anything."""
        most_s = longest_grace_s(self._container, self._pod.spec.grace_s)
        ends = Deadline.in_s(left_of(ends_at, self._pod.host.clock.now(), most_s=most_s))
        if PRE_STOP not in self.state.notes and SIGNALLED not in self.state.notes:
            await self._pod.publish()
            grace_s = self._pod.spec.grace_s
            pause_s = drain_share_s(grace_s) if self.outdated else _STUCK_S
            await self._pause(min(pause_s, drain_share_s(grace_s), ends.left_s))
        if not self._stopping:
            self.ask_stop(ends.left_s)

    # Probes

    async def _probe(self, kind: ProbeKind, probe: Probe) -> None:
        if kind == "startup" and self.past_startup.is_set():
            return
        if kind != "startup":
            await self.past_startup.wait()
        loop = asyncio.get_running_loop()
        if self._adopted:  # spread the first probes of all pods after a restart of the engine
            share = zlib.crc32(f"{self.state.id}/{kind}".encode()) / 2**32
            await asyncio.sleep(share * probe.period_s)
        target = target_of(
            probe.handler,
            container=self.state.id,
            pod_ip=self._pod.ip,
            ports=self._container.ports,
        )
        state = first_state(kind, self._readiness if kind == "readiness" else None)
        turn = first_turn(loop.time())
        while not self._probing_is_over(kind):
            again = passed = False
            if is_due(probe, loop.time() - self._started_s):
                result = await self._ask(kind, probe, target, early=turn.early)
                if self._probing_is_over(kind):
                    return
                if is_outcome(turn, result.outcome, loop.time()):
                    state = await self._count(kind, probe, state, result)
                again = result.refused and self._asks_early(kind, state)
                passed = result.outcome == "success"
            now_s = loop.time()
            ran_s = now_s - self._started_s
            turn = next_turn(turn, probe, now_s=now_s, ran_s=ran_s, again=again, passed=passed)
            await asyncio.sleep(turn.at_s - now_s)

    def _asks_early(self, kind: ProbeKind, state: ProbeState) -> bool:
        """Whether it matters that a program which does not listen yet is noticed as soon as it
        does. A cluster waits for the next tick, so the cluster's order does too."""
        awaited = awaits_first(kind, state) and not self._pod.terminating.is_set()
        return awaited and self._pod.host.settings.acknowledged

    def _probing_is_over(self, kind: ProbeKind) -> bool:
        """Readiness goes on until the pod's containers are dead, the others until its end begins;
        a startup probe until its first success, all until a kill."""
        if self._killing or (kind == "startup" and self.past_startup.is_set()):
            return True
        return kind != "readiness" and self._pod.terminating.is_set()

    async def _ask(
        self, kind: ProbeKind, probe: Probe, target: Target, *, early: bool
    ) -> ProbeResult:
        prober, loop = self._pod.host.prober, asyncio.get_running_loop()
        if early and (door := door_of(target)) != target:
            knocked = await prober.probe(door, timeout_s=probe.timeout_s)
            if knocked.refused:
                return knocked
        for _ in range(_TRIES):
            began_s = loop.time()
            result = await prober.probe(target, timeout_s=probe.timeout_s)
            if early and result.refused:  # nobody was asked, so nobody is told
                break
            self._pod.host.observer.probed(kind, result.outcome, loop.time() - began_s)
            if result.outcome != "error":
                break
        return result

    async def _count(
        self, kind: ProbeKind, probe: Probe, before: ProbeState, result: ProbeResult
    ) -> ProbeState:
        state = next_state(before, result.outcome, probe)
        if kind == "readiness" and state.verdict != before.verdict:
            self._readiness = bool(state.verdict)
            self._pod.changed()
        elif kind == "startup" and state.verdict:
            self.past_startup.set()
            self._pod.changed()
        if result.outcome == "failure":
            message = f"{kind.capitalize()} probe failed: {result.message}"
            await self._pod.emit("Warning", Reason.UNHEALTHY, message)
        if result.warning:
            message = f"{kind.capitalize()} probe warning: {result.warning}"
            await self._pod.emit("Warning", Reason.PROBE_WARNING, message)
        if kind != "readiness" and state.verdict is False:
            grace_s = self._pod.spec.grace_s if probe.grace_s is None else probe.grace_s
            message = f"Container {self._container.name} failed {kind} probe, will be restarted"
            await self._kill(message, grace_s=grace_s)
        return state

    # End

    async def _end(self) -> None:
        await self._pre_stop()
        await self._wait_its_turn()
        runtime = self._pod.host.runtime
        if SIGNALLED not in self.state.notes:
            await runtime.signal(self.state.id, self._container.stop_signal)
            await self._note_time(SIGNALLED)
            sent = f"Sent signal {int(self._container.stop_signal)} to {self._container.name}"
            await self._pod.tell(Reason.SIGNALLED, sent)
        try:
            await self._deadline.cut(runtime.wait(self.state.id), at_least_s=LEAST_AFTER_SIGNAL_S)
        except TimeoutError:
            await runtime.signal(self.state.id, Signals.SIGKILL)

    async def _wait_its_turn(self) -> None:
        try:
            for event in self._turn:
                await self._deadline.cut(event.wait())
        except TimeoutError:
            pass  # out of time: everyone gets the signal, and the least time after it

    async def _pre_stop(self) -> None:
        """Run the hook inside what is left of the grace period; its failure stops nothing.

        After a restart of the engine in the middle of it, a ``sleep`` goes on where it was, an
        exec or httpGet hook is run again.
        """
        hook, begun = self._container.pre_stop, self.state.notes.get(PRE_STOP)
        if hook is None or not self._hooks or begun == DONE:
            return
        already_s = 0.0
        if begun is None:
            await self._note_time(PRE_STOP)
        else:
            now = self._pod.host.clock.now()
            already_s = max(0.0, (now - datetime.fromisoformat(begun)).total_seconds())
        try:
            hooked = self._deadline.cut(self._hook(hook, already_s))
            failure = await self._observed("preStop", hooked)
        except TimeoutError:
            failure = "the grace period ended before the hook did"
        if failure is not None:
            await self._pod.emit(
                "Warning", Reason.FAILED_PRE_STOP_HOOK, f"PreStopHook failed: {failure}"
            )
        await self._pod.host.runtime.note(self.state.id, PRE_STOP, DONE)

    async def _observed(self, name: HookName, hook: Awaitable[str | None]) -> str | None:
        """The hook's failure, told to the observer; cut short it has failed too."""
        began_s, succeeded = asyncio.get_running_loop().time(), False
        try:
            failure = await hook
            succeeded = failure is None
            return failure
        finally:
            took_s = asyncio.get_running_loop().time() - began_s
            self._pod.host.observer.hooked(name, succeeded, took_s)

    async def _hook(self, hook: Handler, already_s: float = 0.0) -> str | None:
        return await run_hook(
            hook,
            runtime=self._pod.host.runtime,
            prober=self._pod.host.prober,
            container=self._container,
            id=self.state.id,
            pod_ip=self._pod.ip,
            already_s=already_s,
        )

    async def _note_time(self, key: str) -> None:
        now = self._pod.host.clock.now().isoformat()
        await self._pod.host.runtime.note(self.state.id, key, now)
