"""The only shell of the controllers: a work queue, and read → decide → apply around it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Generic, TypeVar

from nodrop.bugs import OnBug, raise_bug
from nodrop.client.actions import Action, Create, Delete, Emit, Plan, kind_written
from nodrop.client.cache import Cache
from nodrop.client.protocol import Client, WatchEvent
from nodrop.clock import Clock
from nodrop.controllers.interface import Controller, Observer, Outcome, Unobserved, Watch
from nodrop.model.errors import ApiError, conflict
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Uid, key_of, labels_of, object_kind, revision_of

log = logging.getLogger(__name__)

S = TypeVar("S")

#: Called with (controller name, key, plan) for every decision, before it is applied.
Trace = Callable[[str, ObjectKey, Plan], None]

WORKERS = 8
RESYNC_S = 60.0
FIRST_BACKOFF_S = 0.005
MAX_TRIES = 15
_SEEN_TIMEOUT_S = 30.0


def no_trace(_controller: str, _key: ObjectKey, _plan: Plan) -> None:
    """The trace that keeps nothing."""


class WorkQueue:
    """Keys to look at. A key waits here once, and is never handed out twice at the same time.

    Keys carry no payload, so adding one that waits already changes nothing, and adding one that
    is being worked on makes it wait again afterwards. Each key has at most one timer: a new
    delay replaces the old one, because every look decides anew when to look again.
    With ``patience_s`` a key is handed out so much later: changes that come together are looked
    at once, and whoever has no patience goes first.
    """

    def __init__(self, *, patience_s: float = 0.0) -> None:
        self._patience_s = patience_s
        self._ready: asyncio.Queue[ObjectKey] = asyncio.Queue()
        self._waiting: set[ObjectKey] = set()
        self._working: set[ObjectKey] = set()
        self._timers: dict[ObjectKey, asyncio.TimerHandle] = {}
        self._tries: dict[ObjectKey, int] = {}

    def add(self, key: ObjectKey) -> None:
        """Look at ``key`` as soon as a worker is free."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._working:
            self._ready.put_nowait(key)

    def add_after(self, key: ObjectKey, delay_s: float) -> None:
        """Look at ``key`` in ``delay_s`` seconds, instead of at any time set before."""
        self._cancel_timer(key)
        if delay_s <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        self._timers[key] = loop.call_later(delay_s, self._due, key)

    def add_failed(self, key: ObjectKey) -> int:
        """Try ``key`` again after 5 ms, 10 ms, 20 ms …; returns how often it has failed in a row.

        After 15 failures (upstream's number, about 80 s for the last step) only an event or the
        periodic look tries again.
        """
        tries = self._tries[key] = self._tries.get(key, 0) + 1
        if tries <= MAX_TRIES:
            self.add_after(key, FIRST_BACKOFF_S * 2 ** (tries - 1))
        else:
            self._cancel_timer(key)
        return tries

    def forget(self, key: ObjectKey) -> None:
        """The last look went well: no timer, and the next failure is the first again."""
        self._tries.pop(key, None)
        self._cancel_timer(key)

    async def get(self) -> ObjectKey:
        key = await self._ready.get()
        if self._patience_s:
            await asyncio.sleep(self._patience_s)  # it waits meanwhile: adding it changes nothing
        self._waiting.discard(key)
        self._working.add(key)
        return key

    def done(self, key: ObjectKey) -> None:
        """Whoever got ``key`` is finished with it."""
        self._working.discard(key)
        if key in self._waiting:
            self._ready.put_nowait(key)

    def __len__(self) -> int:
        """How many keys wait to be looked at."""
        return len(self._waiting)

    def close(self) -> None:
        """Drop all timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    # Private

    def _due(self, key: ObjectKey) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _cancel_timer(self, key: ObjectKey) -> None:
        if timer := self._timers.pop(key, None):
            timer.cancel()


def batches(actions: Sequence[Action]) -> Iterator[tuple[Action, ...]]:
    """Actions in order, one by one; consecutive Creates in batches of 1, 2, 4, … (slow start).

    If creating fails for a reason that hits all (a quota, a bad template) only one fails, not
    hundreds: the loop stops after the first batch with a failure.
    """
    at, size = 0, 1
    while at < len(actions):
        if not isinstance(actions[at], Create):
            yield (actions[at],)
            at, size = at + 1, 1
            continue
        end = at
        while end < len(actions) and end - at < size and isinstance(actions[end], Create):
            end += 1
        yield tuple(actions[at:end])
        at, size = end, size * 2


@dataclass(slots=True)
class _Applied:
    """What a plan has done so far."""

    written: list[Obj] = field(default_factory=list)
    gone: list[tuple[ObjectKey, Uid]] = field(default_factory=list)
    error: ApiError | None = None


@dataclass(frozen=True, slots=True)
class _Runner(Generic[S]):
    """One controller with what it needs to run."""

    controller: Controller[S]
    cache: Cache
    client: Client
    clock: Clock
    trace: Trace
    queue: WorkQueue
    watches: Mapping[Kind, Sequence[Watch]]
    on_bug: OnBug = raise_bug
    observer: Observer = field(default_factory=Unobserved)

    def on_event(self, event: WatchEvent, before: Obj | None) -> None:
        """Cache subscriber: queue the keys that the changed object concerns, before and after."""
        for watch in self.watches.get(object_kind(event.obj), ()):
            for obj in _versions(event.obj, before):
                self._add_all(watch, obj)

    def look_at_everything(self) -> None:
        for kind, watches in self.watches.items():
            for watch in watches:
                for obj in self.cache.list(kind):
                    self._add_all(watch, obj)

    async def resync(self, every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            self.look_at_everything()

    async def work(self) -> None:
        while True:
            key = await self.queue.get()
            began_s, failed = asyncio.get_running_loop().time(), ""
            try:
                failed = await self._reconcile(key)
            except Exception as bug:
                failed = "Bug"
                self.queue.add_failed(key)
                self.on_bug(f"{self.controller.name}: {key}", bug)
            finally:
                self.queue.done(key)
            took_s = asyncio.get_running_loop().time() - began_s
            self.observer.reconciled(
                self.controller.name, took_s, error=failed, waiting=len(self.queue)
            )

    # Private

    def _add_all(self, watch: Watch, obj: Obj) -> None:
        try:
            for key in watch.keys(self.cache, obj):
                self.queue.add(key)
        except Exception as bug:
            self.on_bug(f"{self.controller.name}: whom {key_of(obj)} concerns", bug)

    async def _reconcile(self, key: ObjectKey) -> str:
        """Look at ``key`` once; returns the reason of an API error, else nothing."""
        snapshot = self.controller.read(self.cache, key, self.clock.now())
        if snapshot is None:
            self.queue.forget(key)
            return ""
        plan = self.controller.decide(snapshot)
        self._record(key, plan)
        applied = await self._apply(snapshot, plan)
        await self._wait_seen(key, applied)
        if applied.error is not None:
            self._retry(key, applied.error)
            return applied.error.reason
        self.queue.forget(key)
        if plan.look_again_after_s is not None:
            self.queue.add_after(key, plan.look_again_after_s)
        return ""

    def _record(self, key: ObjectKey, plan: Plan) -> None:
        if plan.actions:
            log.info(
                "%s: %s: %s",
                self.controller.name,
                key,
                "; ".join(plan.because) or f"{len(plan.actions)} actions",
                extra={"controller": self.controller.name, "key": str(key)},
            )
        self.trace(self.controller.name, key, plan)

    async def _apply(self, snapshot: S, plan: Plan) -> _Applied:
        applied = _Applied()
        if plan.only_if_gone and not await self._all_gone(plan.only_if_gone, applied):
            return applied
        for number, (_, of_one_kind) in enumerate(groupby(plan.actions, kind_written)):
            if number:
                await asyncio.sleep(0)  # whoever waits for what was just written goes first
            for batch in batches(tuple(of_one_kind)):
                for outcome in await self._apply_batch(batch):
                    self._note(outcome, applied)
                    for action in self.controller.follow_up(snapshot, outcome):
                        self._note(await self._apply_one(action), applied)
                if applied.error is not None:
                    return applied
        return applied

    async def _all_gone(self, expected: Iterable[tuple[ObjectKey, Uid]], applied: _Applied) -> bool:
        """Ask the API. Something that lives on makes the plan wait for the cache to catch up."""
        for key, uid in expected:
            try:
                found = await self.client.get(key)
            except ApiError as error:
                if error.code == 404:
                    continue
                applied.error = error
                return False
            if found["metadata"]["uid"] == uid:
                applied.written.append(found)
                applied.error = conflict(key.kind, key.name, "it is not gone")
                return False
        return True

    async def _apply_batch(self, batch: tuple[Action, ...]) -> list[Outcome]:
        if len(batch) == 1:
            return [await self._apply_one(batch[0])]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._apply_one(action)) for action in batch]
        return [task.result() for task in tasks]

    async def _apply_one(self, action: Action) -> Outcome:
        try:
            return Outcome(action, await self.client.apply(action))
        except ApiError as error:
            if isinstance(action, Delete) and error.code == 404:
                return Outcome(action, None)
            return Outcome(action, error)

    def _note(self, outcome: Outcome, applied: _Applied) -> None:
        action, result = outcome.action, outcome.result
        if isinstance(result, ApiError):
            if isinstance(action, Emit):  # losing an Event must not stop a rollout
                log.warning("recording event %s failed: %s", action.reason, result)
            elif applied.error is None:
                applied.error = result
        elif result is not None:
            applied.written.append(result)
        elif isinstance(action, Delete) and action.uid is not None:
            applied.gone.append((action.key, action.uid))

    async def _wait_seen(self, key: ObjectKey, applied: _Applied) -> None:
        """Hold the key until the cache shows what we wrote: no second decision on old facts."""
        latest: dict[tuple[str, str], Obj] = {}
        for obj in applied.written:
            kind = (obj["apiVersion"], obj["kind"])
            if kind not in latest or revision_of(latest[kind]) < revision_of(obj):
                latest[kind] = obj
        try:
            async with asyncio.timeout(_SEEN_TIMEOUT_S):
                for obj in latest.values():
                    await self.cache.wait_seen(obj)
                for gone, uid in applied.gone:
                    await self.cache.wait_gone(gone, uid)
        except TimeoutError:
            log.warning("%s: %s: the cache has not seen our write", self.controller.name, key)

    def _retry(self, key: ObjectKey, error: ApiError) -> None:
        """Look again with backoff; failures are logged once.

        A conflict is everyday life, and so is an object that was deleted a moment ago: the next
        look doesn't find it either.
        """
        tries = self.queue.add_failed(key)
        if error.reason == "Conflict":
            return
        if tries == (2 if error.reason == "NotFound" else 1):
            log.warning("%s: %s: %s; looking again", self.controller.name, key, error)
        elif tries == MAX_TRIES + 1:
            log.error("%s: %s: gave up for now: %s", self.controller.name, key, error)


async def run_controller(
    controller: Controller[S],
    cache: Cache,
    client: Client,
    clock: Clock,
    *,
    trace: Trace = no_trace,
    workers: int = WORKERS,
    resync_s: float = RESYNC_S,
    patience_s: float = 0.0,
    on_bug: OnBug = raise_bug,
    observer: Observer | None = None,
) -> None:
    """Run one controller until cancelled: at most ``workers`` keys at a time.

    ``patience_s`` is how long a key waits for more changes before it is looked at. ``on_bug``
    hears what the controller raises; if it doesn't raise it again, that key is tried later.

    Nothing is decided before the cache has listed every kind once: half a picture looks like
    missing owners and missing pods.
    """
    queue = WorkQueue(patience_s=patience_s)
    watches = _by_kind(controller.watches)
    runner = _Runner(
        controller, cache, client, clock, trace, queue, watches, on_bug, observer or Unobserved()
    )
    await cache.synced()
    cache.subscribe(runner.on_event)
    runner.look_at_everything()
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(workers):
                group.create_task(runner.work(), name=f"{controller.name} {number}")
            group.create_task(runner.resync(resync_s), name=f"{controller.name} resync")
    finally:
        cache.unsubscribe(runner.on_event)
        runner.queue.close()


def _by_kind(watches: Iterable[Watch]) -> dict[Kind, list[Watch]]:
    found: dict[Kind, list[Watch]] = {}
    for watch in watches:
        found.setdefault(watch.kind, []).append(watch)
    return found


def _versions(after: Obj, before: Obj | None) -> tuple[Obj, ...]:
    """The object, and the one before it if that may concern other keys."""
    if before is None:
        return (after,)
    same = (
        labels_of(before) == labels_of(after)
        and before["metadata"].get("ownerReferences") == after["metadata"].get("ownerReferences")
        and before["metadata"]["uid"] == after["metadata"]["uid"]
    )
    return (after,) if same else (after, before)
