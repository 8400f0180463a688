"""The end of one pod: unroute, drain, stop its containers, close streams, in one grace period."""

from __future__ import annotations

import asyncio
import logging

from nodrop.agent.deadline import Deadline
from nodrop.agent.plan.termination import Budget, DrainPlan, longest_sleep_s, plan_drain
from nodrop.agent.pod_containers import PodContainers
from nodrop.agent.pod_context import PodContext
from nodrop.agent.traffic import Withdrawn
from nodrop.events import Reason
from nodrop.model.drain import STREAM_DRAIN_TIMEOUT, read_drain
from nodrop.model.meta import annotations_of

log = logging.getLogger(__name__)

_LEAST_WITHDRAW_S = 0.5


class PodEnding:
    """Its budget may be shortened while it is under way: by a second delete, by a lost object."""

    def __init__(self, context: PodContext) -> None:
        self._context = context
        self._host = context.host
        self._containers: PodContainers | None = None
        self._budget: Budget | None = None
        self._ends = Deadline(0.0)  # when the budget ends, by the loop: the wall clock may be set
        self._withdrawing: Deadline | None = None
        self._closing: Deadline | None = None  # when streams are closed
        self._stopping = False

    def of(self, containers: PodContainers) -> None:
        """These are to be ended when it comes to that."""
        self._containers, self._stopping = containers, False

    @property
    def used_s(self) -> float:
        """How much of the grace period is used up."""
        return self._budget.grace_s - self._left_s() if self._budget else 0.0

    def within(self, budget: Budget, left_s: float) -> None:
        """Begin the end, or move its deadline: ``left_s`` seconds of ``budget`` are left."""
        self._budget = budget
        self._context.terminating.set()
        if self._containers is not None:
            self._containers.wake()
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

    async def run(self, lives: asyncio.Task[None], *, withdrawn: bool) -> None:
        """Unroute and drain → preStop → SIGTERM → SIGKILL, all inside one grace period.

        Streams go on meanwhile: only the application can end them well, and SIGTERM tells it to.
        ``withdrawn``: an engine before this one got past the drain; it is not begun again.
        """
        streams, containers = False, self._containers
        assert containers is not None
        acknowledged = self._host.settings.acknowledged and bool(self._context.ip)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say_killing(containers))  # traffic doesn't wait for that
            if acknowledged:
                left = await (self._withdraw(budget_s=0) if withdrawn else self._drain())
                streams = left is not None and left.streams > 0
        if acknowledged:
            await containers.note_withdrawn()
            await self._context.tell(Reason.WITHDRAWN, "Gets no more requests")
        self._stopping = True
        self._ask_stop(self._left_s())
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(self._close_streams()) if streams else None
            await asyncio.wait({lives})
            if closing is not None:
                closing.cancel()

    async def _say_killing(self, containers: PodContainers) -> None:
        for container in containers.everyone:
            if container.running is not None:
                name = container.container.name
                await self._context.emit("Normal", Reason.KILLING, f"Stopping container {name}")

    async def _close_streams(self) -> None:
        """Close what the application has not ended when the streams' time is over.

        Cancelled while it does, it still tells how many it has closed: an app that waits for its
        connections ends with the last of them.
        """
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
                f"them {self.used_s:.1f} s after it was asked to end (grace period "
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

    # Arithmetic

    def _left_s(self) -> float:
        assert self._budget is not None
        return self._ends.left_s

    def _grace_s(self) -> float:
        return self._budget.grace_s if self._budget else 0.0

    def _drain_plan(self) -> DrainPlan:
        wishes = read_drain(annotations_of(self._context.pod))
        return plan_drain(self._grace_s(), longest_sleep_s(self._context.spec), wishes)

    def _drain_left_s(self) -> float:
        return max(0.0, self._drain_plan().requests_s - self.used_s)

    def _streams_left_s(self) -> float:
        return max(0.0, self._drain_plan().streams_s - self.used_s)
