"""One container of a pod over all its runs: starting, restarting with back-off, its view."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from signal import Signals

from nodrop.agent.container_run import ContainerRun
from nodrop.agent.deadline import Deadline
from nodrop.agent.flag import Flag
from nodrop.agent.launch import attempt_of, container_id, prepare_launch
from nodrop.agent.plan.env import ConfigurationError
from nodrop.agent.plan.pod import (
    ContainerView,
    Running,
    State,
    Terminated,
    Waiting,
    recorded_container,
    recorded_end,
)
from nodrop.agent.plan.restart import delay_before_s, next_delay_s, policy_of, restarts
from nodrop.agent.plan.spec import Container
from nodrop.agent.pod_context import PodContext
from nodrop.agent.pod_volumes import PodVolumes
from nodrop.agent.runtime.protocol import (
    ContainerId,
    ContainerSpec,
    ContainerState,
    Exit,
    RuntimeFailure,
)
from nodrop.events import Reason

_LOST_EXIT_CODE = 137


class PodContainer:
    """A container from its first start, or its adoption, to its last end."""

    def __init__(
        self,
        pod: PodContext,
        container: Container,
        found: Sequence[ContainerState],
        *,
        volumes: PodVolumes,
    ) -> None:
        self.container = container
        #: Set after the first attempt to start it, successful (postStart included) or not.
        self.tried = Flag()
        #: Set once it has started (startup probe passed), or never will.
        self.up = Flag()
        #: Set once it has ended for good, or will never have been started.
        self.gone = Flag()
        self._pod, self._volumes = pod, volumes
        self._wake = Flag()
        first = "PodInitializing" if pod.spec.init_containers else "ContainerCreating"
        self._state: State = Waiting(first)
        self._last: Terminated | None = None
        self._run: ContainerRun | None = None
        self._id = ContainerId("")
        self._attempt = 0
        self._delay_s: float | None = None
        self._over = False
        self._hook_failure = ""
        self._stop_at: Deadline | None = None
        self._hooks = True
        self._turn: Sequence[Flag] = ()
        self._adopted: ContainerState | None = None
        self._image = container.image  # of the newest run
        self._outdated = False
        self._recover([state for state in found if state.name == container.name])

    # What others see.

    @property
    def running(self) -> ContainerId | None:
        """The id of the run that is alive, its postStart hook included."""
        return None if self._run is None else self._run.state.id

    def view(self) -> ContainerView:
        run = self._run
        if run is not None and run.past_hook.is_set():
            state: State = Running(run.state.started_at)
        else:
            state = self._state
        return ContainerView(
            name=self.container.name,
            image=self._image,
            state=state,
            last=self._last,
            container_id=self._id,
            restart_count=self._attempt,
            started=run is not None and run.started,
            ready=run is not None and run.ready,
            over=self._over,
            step=self.container.step,
            sidecar=self.container.sidecar,
            has_process=run is not None,
        )

    @property
    def has_run(self) -> bool:
        """Whether any run of it is known, of this engine or one before."""
        return self._id != ""

    @property
    def succeeded(self) -> bool:
        return isinstance(self._state, Terminated) and self._state.exit_code == 0

    def skip(self) -> None:
        """Never start it (any more): the pod is past it, or ends before it."""
        self._over = True
        for event in (self.tried, self.up, self.gone):
            event.set()

    def wake(self) -> None:
        """Something it may be waiting for has changed: a ConfigMap, a Secret, the pod's end."""
        self._wake.set()

    def redefine(self, container: Container) -> None:
        """The pod's spec has changed: another image ends the present run for a new one."""
        self.container = container
        if container.image != self._image:
            self.wake()
            if self._run is not None:
                self._run.outdate()

    def ask_stop(self, left_s: float, *, hooks: bool, after: Sequence[Flag] = ()) -> None:
        """End what runs, and what a start under way will have started, within ``left_s``.

        Its signal waits for the events ``after`` while there is time: a sidecar goes last.
        """
        self._stop_at, self._hooks, self._turn = Deadline.in_s(left_s), hooks, after
        self.wake()
        if self._run is not None:
            self._run.ask_stop(left_s, hooks=hooks, after=after)

    @property
    def _ending(self) -> bool:
        return self._stop_at is not None or self._pod.terminating.is_set()

    # Life

    async def run(self) -> None:
        """Keep the container running as the restart policy says, until it or the pod is over."""
        ended = await self._recovered()
        policy = policy_of(self.container, self._pod.spec.restart_policy)
        while not self._ending:
            if ended is not None:
                if self._outdated:  # ended for a new image: followed by it whatever the policy
                    self._last, self._delay_s = ended, None
                elif not restarts(policy, ended.exit_code):
                    break
                else:
                    await self._back_off(ended)
                self._attempt += 1
            state = await self._started()
            if state is None:
                break
            ended = await self._attend(state)
        self.skip()
        self._pod.changed()

    def _recover(self, found: Sequence[ContainerState]) -> None:
        """Take up the newest run that the runtime or the stored status knows of."""
        recorded = recorded_container(self._pod.pod, self.container.name)
        self._last = recorded_end(recorded, "lastState")
        self._attempt = int(recorded.get("restartCount") or 0)
        self._image = recorded.get("image") or self.container.image
        self._delay_s = delay_before_s(self._attempt)
        if found:
            newest = max(found, key=lambda state: attempt_of(state.id))
            self._adopted, self._id = newest, newest.id
            self._attempt = attempt_of(newest.id)
            self._delay_s = delay_before_s(self._attempt)
            if newest.exit is not None:
                self._state = self._end_of(newest, newest.exit)
            else:  # known before anything is published, so that a ready pod stays ready
                about_it = recorded.get("containerID") == f"nodrop://{newest.id}"
                self._run = ContainerRun(
                    self._pod, self.container, newest, recorded=recorded if about_it else {}
                )
        elif end := recorded_end(recorded, "state"):
            self._state, self._id = end, ContainerId(end.container_id)
        elif (recorded.get("state") or {}).get("running"):
            id = container_id(self._pod.uid, self.container.name, self._attempt)
            self._id = id
            self._state = Terminated(_LOST_EXIT_CODE, None, None, id, known=False)
        elif self._last is not None:  # it was waiting for its next start
            self._state = self._last

    async def _recovered(self) -> Terminated | None:
        """The end that was recovered; an adopted run is looked after to its end first."""
        if self._adopted is not None:
            return await self._attend(self._adopted)
        return self._state if isinstance(self._state, Terminated) else None

    async def _attend(self, state: ContainerState) -> Terminated:
        """Look after one run until it has ended; its end is published at once."""
        self._id = state.id
        if state.exit is None:
            run = self._run or ContainerRun(self._pod, self.container, state, recorded={})
            self._run = run
            if self.container.image != self._image:
                run.outdate()
            if self._stop_at is not None:
                run.ask_stop(self._stop_at.left_s, hooks=self._hooks, after=self._turn)
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(self._tell_progress(run))
                ended = await run.until_exit()
                opening.cancel()
            self._run = None
            self._hook_failure, self._outdated = run.hook_failure, run.outdated
        else:
            ended = state.exit
        self.tried.set()
        return self._has_ended(state, ended)

    async def _tell_progress(self, run: ContainerRun) -> None:
        """A postStart hook blocks the start of the next container, a sidecar's start too."""
        await run.past_hook.wait()
        self.tried.set()
        await run.past_startup.wait()
        self.up.set()

    def _has_ended(self, state: ContainerState, ended: Exit) -> Terminated:
        self._state = end = self._end_of(state, ended)
        self._pod.changed()
        return end

    def _end_of(self, state: ContainerState, ended: Exit) -> Terminated:
        host, name, attempt = self._pod.host, self.container.name, attempt_of(state.id)
        message = host.volumes.message(self._pod.uid, name, attempt)
        if not message and ended.code != 0 and self.container.logs_as_message:
            message = host.folders.last_words(self._pod.uid, name, attempt)
        return Terminated(
            ended.code, state.started_at, ended.at, state.id, ended.known, message=message
        )

    # Starting

    async def _started(self) -> ContainerState | None:
        """Start it, however often that takes; None when the pod ends first."""
        delay_s: float | None = None
        said = ""
        while not self._ending:
            self._wake.clear()
            try:
                return await self._start()
            except ConfigurationError as error:
                wait_s, reason = None, error.reason
                self._state = Waiting("CreateContainerConfigError", str(error))
            except RuntimeFailure as failure:
                delay_s = next_delay_s(delay_s, ran_s=0)
                wait_s, reason = delay_s, Reason.FAILED
                self._state = Waiting("RunContainerError", str(failure))
            message = self._state.message
            self._pod.changed()
            self.tried.set()
            if message != said:
                shown = f"Error: {message}" if reason == Reason.FAILED else message
                await self._pod.emit("Warning", reason, shown)
            said = message
            await self._wait(wait_s)
        return None

    async def _start(self) -> ContainerState:
        host, name = self._pod.host, self.container.name
        image = self.container.image
        launch = prepare_launch(self._pod, self._volumes, self.container, self._attempt)
        for sentence in launch.skipped:
            await self._pod.emit("Warning", Reason.INVALID_ENVIRONMENT_VARIABLE_NAMES, sentence)
        try:
            state = await host.runtime.start(launch.spec)
        except RuntimeFailure as failure:
            state = await self._start_without_token(launch.spec, failure)
        self._image = image
        if not state.wildcard_bind:
            state = await self._start_with_address(state)
        self._state = Waiting("ContainerCreating")
        await self._forget_previous()
        await self._pod.emit("Normal", Reason.CREATED, f"Created container {name}")
        await self._pod.emit("Normal", Reason.STARTED, f"Started container {name}")
        return state

    async def _start_without_token(
        self, spec: ContainerSpec, failure: RuntimeFailure
    ) -> ContainerState:
        """Some machines forbid mounts: who only mounts its account's token may not need it."""
        if not self.container.mounts_only_token:
            raise failure
        state = await self._pod.host.runtime.start(replace(spec, mounts=()))
        without = f"Container {self.container.name} runs without its service account's token"
        await self._pod.emit("Warning", Reason.FAILED_MOUNT, f"{without}: {failure}")
        return state

    async def _start_with_address(self, state: ContainerState) -> ContainerState:
        """The kernel refuses to move wildcard binds: start again, with POD_IP to bind to."""
        host = self._pod.host
        known, host.redirects = not host.redirects, False
        await self._pod.emit(
            "Warning",
            Reason.WILDCARD_BIND_UNAVAILABLE,
            "this kernel does not let nodrop move a bind of 0.0.0.0 to the pod's own address; "
            "let the program bind to $(POD_IP) instead",
        )
        if known:  # it has POD_IP already
            return state
        await host.runtime.signal(state.id, Signals.SIGKILL)
        await host.runtime.wait(state.id)
        await host.runtime.remove(state.id)
        launch = prepare_launch(self._pod, self._volumes, self.container, self._attempt)
        return await host.runtime.start(launch.spec)

    async def _forget_previous(self) -> None:
        if self._attempt:
            previous = container_id(self._pod.uid, self.container.name, self._attempt - 1)
            await self._pod.host.runtime.remove(previous)

    # Waiting

    async def _back_off(self, end: Terminated) -> None:
        now = self._pod.host.clock.now()
        finished_at = end.finished_at or now
        ran_s = (finished_at - (end.started_at or finished_at)).total_seconds()
        self._delay_s = next_delay_s(self._delay_s, ran_s=ran_s)
        self._last = end
        if self._delay_s == 0:
            if self._hook_failure:
                self._state = Waiting("PostStartHookError", self._hook_failure)
                self._pod.changed()
            return
        name = self.container.name
        where = f"{self._pod.key.name}_{self._pod.key.namespace}({self._pod.uid})"
        self._state = Waiting(
            "CrashLoopBackOff",
            f"back-off {self._delay_s:g}s restarting failed container={name} pod={where}",
        )
        self._pod.changed()
        await self._pod.emit(
            "Warning",
            Reason.BACK_OFF,
            f"Back-off restarting failed container {name} in pod {where}",
        )
        left_s = self._delay_s - max(0.0, (now - finished_at).total_seconds())
        await self._rest(left_s)

    async def _rest(self, left_s: float) -> None:
        """Wait out a back-off; the pod's end and a new image cut it."""
        until = Deadline.in_s(max(0.0, left_s))
        while until.left_s > 0 and not self._ending:
            if self.container.image != self._image:
                self._delay_s = None
                return
            self._wake.clear()
            await self._wait(until.left_s)

    async def _wait(self, longest_s: float | None) -> None:
        try:
            async with asyncio.timeout(longest_s):
                await self._wake.wait()
        except TimeoutError:
            pass
