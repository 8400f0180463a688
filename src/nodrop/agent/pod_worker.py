"""One task a pod: brings its containers up, keeps them, and ends them in the acknowledged order."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from nodrop.agent.flag import Flag
from nodrop.agent.notes import withdrawn_pods
from nodrop.agent.plan.pod import TERMINAL
from nodrop.agent.plan.termination import (
    Budget,
    budget_of,
    forced_budget,
)
from nodrop.agent.pod_containers import PodContainers
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_ending import PodEnding
from nodrop.agent.runtime.protocol import ContainerState, RuntimeFailure
from nodrop.agent.settings import Host
from nodrop.client.actions import Delete
from nodrop.events import Reason
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj, parse_time

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
        self._ending = PodEnding(self._context)
        self._deletion = ""  # the deletionTimestamp that its budget was made from
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
            used_s = self._ending.used_s
            left_s = budget.grace_s - used_s if again else budget.left_s(self._now())
            self._ending.within(budget, max(0.0, left_s))

    def vanished(self) -> None:
        """The object is gone: what still runs is stopped in about 2 s."""
        self._context.vanished.set()
        self._deleted.set()
        budget = forced_budget(self._now())
        self._ending.within(budget, budget.grace_s)

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
        self._containers = containers = PodContainers(context, found)
        self._ending.of(containers)
        context.views, context.init_views = containers.views, containers.init_views
        async with asyncio.TaskGroup() as group:
            publisher = group.create_task(context.keep_published())
            if await self._settled(found):
                lives = group.create_task(containers.run())
                self._living = group
                lives.add_done_callback(lambda _: self._lived())
                self._watch_deadline()
                await context.terminating.wait()
                await self._ending.run(lives, withdrawn=bool(withdrawn_pods(found)))
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
            self._ending.within(budget, budget.grace_s)

    def _active_left_s(self) -> float | None:
        deadline_s = self._context.spec.deadline_s
        started = (self._context.pod.get("status") or {}).get("startTime")
        if deadline_s is None or not started:
            return None
        active_s = (self._now() - parse_time(started)).total_seconds()
        return max(0.0, deadline_s - max(0.0, active_s))  # at most all of it, whatever the clock

    # Its end

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
        await self._host.folders.remove(context.uid)
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

    def _now(self) -> datetime:
        return self._host.clock.now()

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
