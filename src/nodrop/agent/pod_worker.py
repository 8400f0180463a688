"""One task a pod: brings its containers up, keeps them, and ends them in the acknowledged order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from nodrop.agent.deadline import Deadline
from nodrop.agent.flag import Flag
from nodrop.agent.notes import withdrawn_pods
from nodrop.agent.plan.pod import TERMINAL
from nodrop.agent.plan.termination import (
    Budget,
    DrainPlan,
    budget_of,
    forced_budget,
    longest_sleep_s,
    plan_drain,
)
from nodrop.agent.pod_containers import PodContainers
from nodrop.agent.pod_context import PodContext
from nodrop.agent.runtime.protocol import ContainerState, RuntimeFailure
from nodrop.agent.settings import Host
from nodrop.agent.traffic import Withdrawn
from nodrop.client.actions import Delete
from nodrop.events import Reason
from nodrop.model.drain import STREAM_DRAIN_TIMEOUT, read_drain
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj, annotations_of, parse_time

log = logging.getLogger(__name__)

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 30.0
_NO_ADDRESS_RETRY_S = 5.0
_LEAST_WITHDRAW_S = 0.5
_DEADLINE_EXCEEDED = "Pod was active on the node longer than the specified deadline"


class PodWorker:
    """Looks after one pod from its first sight until it is gone."""

    def __init__(self, host: Host, pod: Obj) -> None:
        self._host = host
        self._context = PodContext(host, pod)
        self._containers: PodContainers | None = None
        self._budget: Budget | None = None
        self._ends = Deadline(0.0)  # when the budget ends, by the loop: the wall clock may be set
        self._deletion = ""  # the deletionTimestamp that the budget was made from
        self._withdrawing: Deadline | None = None
        self._closing: Deadline | None = None  # when streams are closed
        self._stopping = False
        self._deleted = Flag()
        self._living: asyncio.TaskGroup | None = None  # while containers run
        self._clock: asyncio.Task[None] | None = None
        self.saw(pod)

    @property
    def namespace(self) -> str:
        return self._context.key.namespace

    # What the agent tells; synchronous, so that no event is lost.

    def saw(self, pod: Obj) -> None:
        """A newer version of the object: perhaps it shall end, or end sooner."""
        before, labels = self._context.spec, _told(self._context.pod)
        self._context.saw(pod)
        if _told(self._context.pod) != labels:
            self.wake()  # downwardAPI volumes show labels and annotations
        if self._context.spec is not before:
            self._watch_deadline()
            if self._containers is not None:
                self._containers.redefine()
        deletion = pod["metadata"].get("deletionTimestamp") or ""
        if deletion != self._deletion:
            again, self._deletion = bool(self._deletion), deletion
            self._deleted.set()
            budget = budget_of(pod, self._now())
            # A second delete counts from the first one, whatever the wall clock says by now.
            left_s = budget.grace_s - self._used_s() if again else budget.left_s(self._now())
            self._end_within(budget, max(0.0, left_s))

    def vanished(self) -> None:
        """The object is gone: what still runs is stopped in about 2 s."""
        self._context.vanished.set()
        self._deleted.set()
        budget = forced_budget(self._now())
        self._end_within(budget, budget.grace_s)

    def wake(self) -> None:
        """A ConfigMap or Secret of the namespace has changed."""
        if self._containers is not None:
            self._containers.wake()

    # Life

    async def run(self, found: Sequence[ContainerState]) -> None:
        """Until the pod is gone. A failure is logged once; then everything is looked at again."""
        delay_s = _FIRST_RETRY_S
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            try:
                await self._live(found)
                return
            except* (ApiError, RuntimeFailure, OSError) as failures:
                log.warning(
                    "pod %s: %s; looking again in %g s",
                    self._context,
                    _first(failures),
                    delay_s,
                )
            except* Exception:
                log.exception("pod %s: unforeseen; looking again in %g s", self._context, delay_s)
            await asyncio.sleep(delay_s)
            calm = loop.time() - began_s > _LONGEST_RETRY_S + delay_s
            delay_s = _FIRST_RETRY_S if calm else min(delay_s * 2, _LONGEST_RETRY_S)
            found = await self._find()

    async def _find(self) -> list[ContainerState]:
        while True:
            try:
                return await self._host.containers_of(self._context.uid)
            except RuntimeFailure as failure:
                log.warning("pod %s: %s", self._context, failure)
                await asyncio.sleep(_FIRST_RETRY_S)

    async def _live(self, found: Sequence[ContainerState]) -> None:
        context = self._context
        self._stopping = False
        self._containers = containers = PodContainers(context, found)
        context.views, context.init_views = containers.views, containers.init_views
        async with asyncio.TaskGroup() as group:
            publisher = group.create_task(context.keep_published())
            if await self._settled(found):
                lives = group.create_task(containers.run())
                self._living = group
                lives.add_done_callback(lambda _: self._lived())
                self._watch_deadline()
                await context.terminating.wait()
                await self._end(containers, lives, withdrawn=bool(withdrawn_pods(found)))
            await self._leave()
            publisher.cancel()

    async def _settled(self, found: Sequence[ContainerState]) -> bool:
        """Whether containers shall run, or are there to be ended. Gives the pod its address."""
        context, phase = self._context, (self._context.pod.get("status") or {}).get("phase")
        alive = [state for state in found if state.exit is None]
        if alive:
            await self._say_adopted(alive)
        elif phase in TERMINAL or context.terminating.is_set():
            await context.terminating.wait()  # nothing is to be started any more
            return False
        if not (context.pod.get("status") or {}).get("startTime"):
            message = f"Successfully assigned {context} to {self._host.settings.node}"
            await context.emit("Normal", Reason.SCHEDULED, message)
        while not context.ip:
            if found_ip := self._host.addresses.address_of(context.uid, self._now()):
                context.ip = found_ip
                break
            message = f"no free address in {self._host.settings.pod_cidr}"
            await context.emit("Warning", Reason.FAILED, message)
            if await self._ending_within(_NO_ADDRESS_RETRY_S):
                return False
        await context.publish()  # the address is stored before anything can listen on it
        return True

    async def _say_adopted(self, alive: Sequence[ContainerState]) -> None:
        names = ", ".join(state.name for state in alive)
        log.info("pod %s: adopted %s", self._context, names)
        await self._context.emit("Normal", Reason.ADOPTED, f"Found running: {names}")

    def _watch_deadline(self) -> None:
        """Follow activeDeadlineSeconds, which may be shortened, or set later."""
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        left_s = self._active_left_s()
        if self._living is not None and left_s is not None:
            self._clock = self._living.create_task(self._expire(left_s))

    def _lived(self) -> None:
        self._living = None
        self._watch_deadline()

    async def _expire(self, left_s: float) -> None:
        """End the pod when it has been active for activeDeadlineSeconds."""
        await asyncio.sleep(left_s)
        await self._context.emit("Normal", Reason.DEADLINE_EXCEEDED, _DEADLINE_EXCEEDED)
        if not self._context.terminating.is_set():
            self._context.failure = ("DeadlineExceeded", _DEADLINE_EXCEEDED)
            budget = Budget(self._now(), self._context.spec.grace_s)
            self._end_within(budget, budget.grace_s)

    def _active_left_s(self) -> float | None:
        deadline_s = self._context.spec.deadline_s
        started = (self._context.pod.get("status") or {}).get("startTime")
        if deadline_s is None or not started:
            return None
        active_s = (self._now() - parse_time(started)).total_seconds()
        return max(0.0, deadline_s - max(0.0, active_s))  # at most all of it, whatever the clock

    # The end

    def _end_within(self, budget: Budget, left_s: float) -> None:
        """Begin the end, or move its deadline: ``left_s`` seconds of ``budget`` are left."""
        self._budget = budget
        self._context.terminating.set()
        self.wake()
        self._ends = Deadline.in_s(left_s)
        if self._withdrawing is not None:
            self._withdrawing.move_to(0)  # it is asked again, with what is left now
        if self._closing is not None:
            self._closing.move_to(self._streams_left_s())
        if self._stopping:
            self._ask_stop(left_s)

    def _ask_stop(self, left_s: float) -> None:
        assert self._containers is not None
        self._containers.ask_stop(left_s, hooks=not self._context.vanished.is_set())

    async def _end(
        self, containers: PodContainers, lives: asyncio.Task[None], *, withdrawn: bool
    ) -> None:
        """Unroute and drain → preStop → SIGTERM → SIGKILL, all inside one grace period.

        Streams go on meanwhile: only the application can end them well, and SIGTERM tells it to.
        ``withdrawn``: an engine before this one got past the drain; it is not begun again.
        """
        streams = False
        for container in containers.everyone:
            if container.running is not None:
                name = container.container.name
                await self._context.emit("Normal", Reason.KILLING, f"Stopping container {name}")
        if self._host.settings.acknowledged and self._context.ip:
            left = await (self._withdraw(budget_s=0) if withdrawn else self._drain())
            streams = left is not None and left.streams > 0
            await containers.note_withdrawn()
            await self._context.tell(Reason.WITHDRAWN, "Gets no more requests")
        self._stopping = True
        self._ask_stop(self._left_s())
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(self._close_streams()) if streams else None
            await asyncio.wait({lives})
            if closing is not None:
                closing.cancel()

    async def _close_streams(self) -> None:
        """Close what the application has not ended when the streams' time is over."""
        self._closing = until = Deadline.in_s(self._streams_left_s())
        try:
            await until.cut(asyncio.Event().wait())
        except TimeoutError:
            pass
        spread_s = min(self._drain_plan().spread_s, self._left_s())
        closed = await self._host.traffic.cut(self._context.uid, spread_s=spread_s)
        if closed:
            message = (
                f"0 requests and {closed} long-lived connections were cut: the app had not ended "
                f"them {self._used_s():.1f} s after it was asked to end (grace period "
                f"{self._grace_s():g} s; annotation {STREAM_DRAIN_TIMEOUT})"
            )
            await self._context.emit("Warning", Reason.DRAIN_CUT, message)

    async def _drain(self) -> Withdrawn | None:
        """Wait until the proxy has let go of the pod and its requests in flight are over."""
        withdrawn = await self._withdraw()
        if withdrawn is None:
            message = (
                "the proxy did not acknowledge within the grace period that this pod gets no "
                "more requests; it is ended all the same"
            )
            await self._context.emit("Warning", Reason.DRAIN_CUT, message)
        elif withdrawn.in_flight is None:
            message = (
                "the proxy could not say whether requests to this pod were still in flight after "
                f"{withdrawn.took_s:.1f} s, the drain's share of the grace period"
            )
            await self._context.emit("Warning", Reason.DRAIN_CUT, message)
        elif withdrawn.in_flight > 0:
            message = (
                f"{withdrawn.in_flight} requests (and {withdrawn.streams} long-lived connections) "
                f"were still in flight after {withdrawn.took_s:.1f} s, the drain's share of the "
                f"grace period of {self._grace_s():g} s; raise terminationGracePeriodSeconds"
            )
            await self._context.emit("Warning", Reason.DRAIN_CUT, message)
        return withdrawn

    async def _withdraw(self, *, budget_s: float | None = None) -> Withdrawn | None:
        """The proxy's answer; None when it gave none until the grace period was over.

        ``budget_s`` None: what is left of the drain's share.
        """
        context = self._context
        complained = False
        while True:
            self._withdrawing = Deadline.in_s(self._left_s())
            try:
                return await self._withdrawing.cut(
                    self._host.traffic.withdraw(
                        context.uid,
                        context.ip,
                        budget_s=self._drain_left_s() if budget_s is None else budget_s,
                        answers_s=self._drain_plan().answers_s,
                    ),
                    at_least_s=_LEAST_WITHDRAW_S,
                )
            except TimeoutError:
                if self._left_s() <= 0:
                    return None
            except Exception as error:  # whatever the data plane's trouble: ask until time is up
                if not complained:
                    log.warning("pod %s: not withdrawn: %s; asking again", context, error)
                complained = True
                if self._left_s() <= 0:
                    return None
                await asyncio.sleep(min(0.1, self._left_s()))
            finally:
                self._withdrawing = None

    async def _leave(self) -> None:
        """Write how it ended, delete the object, and clean up once it is gone."""
        context = self._context
        if not self._deleted.is_set():  # over, but its object stays
            await context.publish()
            await self._deleted.wait()
        if not context.vanished.is_set():
            await context.publish()
            await self._delete()
            await context.vanished.wait()
        await self._host.traffic.forget(context.uid)
        for state in await self._host.containers_of(context.uid):
            await self._host.runtime.remove(state.id)
        self._host.folders.remove(context.uid)
        self._host.addresses.release(context.uid, self._now())

    async def _delete(self) -> None:
        context = self._context
        try:
            left = await self._host.client.apply(
                Delete(context.key, uid=context.uid, grace_period_s=0)
            )
        except ApiError as error:
            if error.code not in (404, 409):
                raise
            left = None
        if left is None or not (left["metadata"].get("finalizers")):
            context.vanished.set()

    # Arithmetic

    def _now(self) -> datetime:
        return self._host.clock.now()

    def _left_s(self) -> float:
        assert self._budget is not None
        return self._ends.left_s

    def _used_s(self) -> float:
        """How much of the grace period is used up."""
        return self._budget.grace_s - self._left_s() if self._budget else 0.0

    def _grace_s(self) -> float:
        return self._budget.grace_s if self._budget else 0.0

    def _drain_plan(self) -> DrainPlan:
        wishes = read_drain(annotations_of(self._context.pod))
        return plan_drain(self._grace_s(), longest_sleep_s(self._context.spec), wishes)

    def _drain_left_s(self) -> float:
        return max(0.0, self._drain_plan().requests_s - self._used_s())

    def _streams_left_s(self) -> float:
        return max(0.0, self._drain_plan().streams_s - self._used_s())

    async def _ending_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._context.terminating.wait()
        except TimeoutError:
            return False


def _told(pod: Obj) -> tuple[object, object]:
    """Labels and annotations, as the downward API tells them."""
    return pod["metadata"].get("labels"), pod["metadata"].get("annotations")


def _first(failures: BaseExceptionGroup[Exception]) -> BaseException:
    """The innermost first failure of a group: one sentence is enough for the log."""
    found: BaseException = failures
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
