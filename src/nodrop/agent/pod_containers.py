"""All containers of one pod: the order of their start and of their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence

from nodrop.agent.container import PodContainer
from nodrop.agent.notes import WITHDRAWN
from nodrop.agent.plan.pod import ContainerView
from nodrop.agent.plan.spec import Container
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_volumes import PodVolumes
from nodrop.agent.runtime.protocol import ContainerState, RuntimeFailure
from nodrop.events import Reason

log = logging.getLogger(__name__)


class PodContainers:
    """Init containers one after another, then the regular ones; sidecars beside them to the end."""

    def __init__(self, pod: PodContext, found: Sequence[ContainerState]) -> None:
        self._pod = pod
        self._volumes = volumes = PodVolumes(pod)

        def made(containers: Sequence[Container]) -> tuple[PodContainer, ...]:
            return tuple(PodContainer(pod, c, found, volumes=volumes) for c in containers)

        self._init, self._regular = made(pod.spec.init_containers), made(pod.spec.containers)
        self.everyone = self._init + self._regular

    def init_views(self) -> tuple[ContainerView, ...]:
        return tuple(container.view() for container in self._init)

    def views(self) -> tuple[ContainerView, ...]:
        return tuple(container.view() for container in self._regular)

    def wake(self) -> None:
        """A ConfigMap, a Secret or the pod itself has changed."""
        self._volumes.wake()
        for container in self.everyone:
            container.wake()

    def redefine(self) -> None:
        """The spec has changed: of containers only images may."""
        named = {container.name: container for container in self._pod.spec.everyone}
        for container in self.everyone:
            container.redefine(named[container.container.name])

    async def run(self) -> None:
        """Start in order, keep running, until all have ended for good."""
        async with asyncio.TaskGroup() as group:
            tokens = self._pod.spec.account_tokens  # most pods have none, and no task for them
            keeping = group.create_task(self._volumes.keep_tokens()) if tokens else None
            if any(container.has_run for container in self._regular):
                self._go_on(group)
            elif not await self._volumes.ready():
                self._pass_over(self.everyone, group)
            elif await self._initialize(group):
                await self._start_regular(group)
            for container in self._regular:
                await container.gone.wait()
            await self._end_sidecars()
            if keeping is not None:
                keeping.cancel()

    def _go_on(self, group: asyncio.TaskGroup) -> None:
        """After a restart of ours: whatever ran goes on at once, init containers are not redone."""
        if failure := self._volumes.refresh():
            log.warning("pod %s: %s", self._pod, failure)
        for container in self.everyone:
            if container.container.step:
                container.skip()
            else:
                group.create_task(container.run())

    async def _initialize(self, group: asyncio.TaskGroup) -> bool:
        """Whether the regular containers shall start; if not, they are over."""
        for number, container in enumerate(self._init):
            group.create_task(container.run())
            if container.container.sidecar:
                await container.up.wait()
            else:
                await container.gone.wait()
            failed = container.container.step and not container.succeeded
            if failed or self._pod.terminating.is_set():
                self._pass_over((*self._init[number + 1 :], *self._regular), group)
                return False
        return True

    def _pass_over(self, containers: Iterable[PodContainer], group: asyncio.TaskGroup) -> None:
        """They are not to be started; what an engine before this one has started has to end."""
        for container in containers:
            if container.running is None:
                container.skip()
            else:
                group.create_task(container.run())

    async def _start_regular(self, group: asyncio.TaskGroup) -> None:
        """The next one begins when the one before it has been tried, its postStart included."""
        for container in self._regular:
            group.create_task(container.run())
            await container.tried.wait()

    async def _end_sidecars(self) -> None:
        """All others are over: sidecars don't keep a pod from completing."""
        for container in self._init:
            if container.running is not None and not self._pod.terminating.is_set():
                name = container.container.name
                await self._pod.emit("Normal", Reason.KILLING, f"Stopping container {name}")
        if not self._pod.terminating.is_set():
            self._stop_sidecars(self._pod.spec.grace_s, hooks=True)

    async def note_withdrawn(self) -> None:
        """Remember beside the processes that no traffic may come any more, whoever asks next."""
        host = self._pod.host
        for container in self.everyone:
            if container.running is None:
                continue
            try:
                await host.runtime.note(container.running, WITHDRAWN, host.clock.now().isoformat())
            except RuntimeFailure as failure:  # ended just now; else its signal is remembered too
                log.warning("pod %s: %s", self._pod, failure)

    def ask_stop(self, left_s: float, *, hooks: bool) -> None:
        """End all within ``left_s`` seconds; hooks begin together, signals keep the order."""
        for container in self.everyone:
            if not container.container.sidecar:
                container.ask_stop(left_s, hooks=hooks)
        self._stop_sidecars(left_s, hooks=hooks)

    def _stop_sidecars(self, left_s: float, *, hooks: bool) -> None:
        """The last one first, and none before the regular containers are gone."""
        later = [container.gone for container in self._regular]
        for container in reversed(self._init):
            if container.container.sidecar:
                container.ask_stop(left_s, hooks=hooks, after=tuple(later))
                later.append(container.gone)
