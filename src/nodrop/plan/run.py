"""Plays a change of manifests on virtual time and tells how it went."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

from nodrop.model.conditions import get_condition
from nodrop.model.meta import Obj, ObjectKey
from nodrop.plan.assumptions import Assumptions
from nodrop.plan.spans import Course, Fate
from nodrop.plan.world import PlanApi, PlanWorld
from nodrop.sim.loop import run_virtual

#: Brings the simulated API to the new manifests, as the CLI does it with the real one.
Apply = Callable[[PlanApi], Awaitable[object]]

_LOOK_EVERY_S = 0.05
#: However large and slow: a plan ends here, in virtual seconds.
_LONGEST_S = 6 * 3600.0
#: A version that never serves may crash for ever, or have no deadline.
_LONGEST_BROKEN_S = 1_800.0
_DEADLINE = "ProgressDeadlineExceeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """``before`` brings what is rolled out first, ``apply`` what is new."""

    before: Apply
    apply: Apply
    deployments: Sequence[ObjectKey]


def play(
    change: Change, assumptions: Assumptions, *, never_ready: bool = False
) -> tuple[Course, ...]:
    """One course a Deployment. Raises what ``apply`` raises, and ApiError for bad old objects."""
    with _rare_collections():
        return run_virtual(_play(change, assumptions, never_ready=never_ready))


def play_both(
    change: Change, assumptions: Assumptions
) -> tuple[tuple[Course, ...], tuple[Course, ...]]:
    """The courses, and those whose new pods never are ready: at once, on two cores.

    Raises as ``play`` does. Call it where no other thread runs: it forks.
    """
    context = multiprocessing.get_context("fork")
    answer, sender = context.Pipe(duplex=False)
    child = context.Process(target=_play_stuck, args=(sender, change, assumptions), daemon=True)
    child.start()
    sender.close()
    try:
        courses = play(change, assumptions)
        try:
            stuck: tuple[Course, ...] = answer.recv()
        except EOFError:  # it failed there: here its error can be told
            stuck = play(change, assumptions, never_ready=True)
        return courses, stuck
    finally:
        answer.close()
        child.terminate()
        child.join()


def _play_stuck(sender: Connection, change: Change, assumptions: Assumptions) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C at a terminal is for both of us
    try:
        sender.send(play(change, assumptions, never_ready=True))
    except Exception:  # the other process comes to the same end, and tells it
        sender.close()


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles seldom: almost all objects of a plan live to its end."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)


async def _play(
    change: Change, assumptions: Assumptions, *, never_ready: bool
) -> tuple[Course, ...]:
    world = PlanWorld(assumptions, never_ready=never_ready)
    try:
        await change.before(world.api)
        async with _running(world):
            await _until(lambda: _at_rest(world, change))
        world.multiply()
        async with _running(world):
            await _until(lambda: _at_rest(world, change))
            return await _roll(world, change, _LONGEST_BROKEN_S if never_ready else _LONGEST_S)
    finally:
        world.store.close()


@asynccontextmanager
async def _running(world: PlanWorld) -> AsyncIterator[None]:
    """A control plane; at the end it is gone, and everything else is as it was."""
    async with asyncio.TaskGroup() as group:
        control_plane = group.create_task(world.run(), name="control plane")
        yield
        control_plane.cancel()


def _at_rest(world: PlanWorld, change: Change) -> bool:
    """Those that will be multiplied have their one pod, whether they change or not."""
    keys = {*change.deployments, *(world.api.postponed or ())}
    return all(_Rollout(world, key).settled() for key in keys)


async def _roll(world: PlanWorld, change: Change, longest_s: float) -> tuple[Course, ...]:
    before = {key: _stored(world, key) for key in change.deployments}
    world.recorder.begin()
    await change.apply(world.api)
    rollouts = [_Rollout(world, key) for key in change.deployments]
    await _until(lambda: sum(not one.over() for one in rollouts) == 0, longest_s)  # each looks
    return tuple(_course(world, one, before[one.key]) for one in rollouts)


async def _until(level: Callable[[], bool], longest_s: float = _LONGEST_S) -> None:
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + longest_s
    while not level() and loop.time() < give_up_s:  # noqa: ASYNC110 - the world has no one event
        await asyncio.sleep(_LOOK_EVERY_S)


class _Rollout:
    """How far one Deployment is."""

    def __init__(self, world: PlanWorld, key: ObjectKey) -> None:
        self._world = world
        self.key = key
        self.complete_s: float | None = None
        self.settled_s: float | None = None
        self.deadline_s: float | None = None
        self.message = ""

    def settled(self) -> bool:
        """Complete, and nothing else of it is left."""
        stored = _stored(self._world, self.key)
        if stored is None:
            return True
        left = self._world.recorder.left(self.key)
        return _is_complete(stored) and left == stored["spec"]["replicas"]

    def over(self) -> bool:
        """Settled, or beyond its deadline, or paused: nothing more will happen by itself."""
        stored = _stored(self._world, self.key)
        if stored is None:
            return True
        at_s = self._world.recorder.at_s
        if self.complete_s is None and _is_complete(stored):
            self.complete_s = at_s
        if self.settled_s is None and self.complete_s is not None and self.settled():
            self.settled_s = at_s
        condition = get_condition((stored.get("status") or {}).get("conditions"), "Progressing")
        if self.deadline_s is None and condition and condition.get("reason") == _DEADLINE:
            self.deadline_s, self.message = at_s, condition.get("message", "")
        never_told = self._world.never_ready and self.complete_s is not None
        return never_told or self.settled_s is not None or self.deadline_s is not None


def _course(world: PlanWorld, rollout: _Rollout, before: Obj | None) -> Course:
    stored = _stored(world, rollout.key)
    assert stored is not None
    fate = Fate(
        complete_s=rollout.complete_s,
        settled_s=rollout.settled_s,
        deadline_s=rollout.deadline_s,
        message=rollout.message,
    )
    return Course(
        key=rollout.key,
        old=before,
        new=stored,
        pods=world.recorder.spans(rollout.key),
        fate=fate,
        ended_s=world.recorder.at_s,
        because=tuple(world.recorder.because.get(rollout.key, ())),
    )


def _stored(world: PlanWorld, key: ObjectKey) -> Obj | None:
    found = world.store.get(key)
    return None if found is None else found.obj


def _is_complete(deployment: Obj) -> bool:
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    observed = (status.get("observedGeneration") or 0) >= deployment["metadata"]["generation"]
    return observed and all(
        (status.get(name) or 0) == wanted
        for name in ("updatedReplicas", "replicas", "availableReplicas")
    )
