"""The loop: queue rules, batches, own writes seen, failures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime

import pytest

from nodrop.bugs import BugLog
from nodrop.client.actions import Action, Create, Delete, Emit, Plan, Update
from nodrop.client.cache import Cache
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.clock import SystemClock
from nodrop.controllers.interface import Outcome, Watch
from nodrop.controllers.loop import WorkQueue, batches, run_controller
from nodrop.events import Reason
from nodrop.model.errors import ApiError, conflict, not_found
from nodrop.model.kinds import CONFIGMAP, SECRET, Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, Uid, key_of
from nodrop.sim.loop import run_virtual

KEY = ObjectKey(CONFIGMAP, "default", "a")
OTHER = ObjectKey(CONFIGMAP, "default", "b")


def config(name: str, count: int = 0, *, revision: int = 1) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": str(revision),
        },
        "data": {"count": str(count)},
    }


@dataclass
class FakeClient:
    """Holds ConfigMaps; ``errors`` are raised by the next applies."""

    objects: dict[ObjectKey, Obj] = field(default_factory=dict)
    errors: list[ApiError] = field(default_factory=list)
    applied: list[Action] = field(default_factory=list)
    events: asyncio.Queue[WatchEvent] = field(default_factory=asyncio.Queue)
    revision: int = 10
    deliver: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, key: ObjectKey) -> Obj:
        if key not in self.objects:
            raise not_found(key.kind, key.name)
        return self.objects[key]

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        return Page(tuple(self.objects.values()), Revision(self.revision))

    async def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        while True:
            event = await self.events.get()
            await self.deliver.wait()
            yield event

    async def apply(self, action: Action) -> Obj | None:
        self.applied.append(action)
        if self.errors:
            raise self.errors.pop(0)
        if not isinstance(action, Update):
            return None
        return self.write(action.obj)

    def write(self, obj: Obj) -> Obj:
        self.revision += 1
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.revision)}}
        self.objects[key_of(obj)] = stored
        self.events.put_nowait(WatchEvent("MODIFIED", stored, Revision(self.revision)))
        return stored


@dataclass
class CountTo:
    """Raises ``count`` by one until it is ``goal``; remembers what it saw."""

    goal: int
    seen: list[int] = field(default_factory=list)
    failures: list[ApiError] = field(default_factory=list)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    name: str = "count"

    @property
    def watches(self) -> tuple[Watch, ...]:
        return (Watch(CONFIGMAP, lambda _cache, obj: (key_of(obj),)),)

    def read(self, cache: Cache, key: ObjectKey, now: datetime) -> Obj | None:
        return cache.get(key)

    def decide(self, snapshot: Obj) -> Plan:
        count = int(snapshot["data"]["count"])
        self.seen.append(count)
        if count >= self.goal:
            self.reached.set()
            return Plan()
        return Plan((Update({**snapshot, "data": {"count": str(count + 1)}}),), ("count",))

    def follow_up(self, snapshot: Obj, outcome: Outcome) -> tuple[Action, ...]:
        if isinstance(outcome.result, ApiError):
            self.failures.append(outcome.result)
        return ()


async def run_until_reached(controller: CountTo, client: FakeClient) -> list[Plan]:
    plans: list[Plan] = []
    cache = Cache(client, (CONFIGMAP,))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(cache.run()),
            group.create_task(
                run_controller(
                    controller,
                    cache,
                    client,
                    SystemClock(),
                    trace=lambda _name, _key, plan: plans.append(plan),
                )
            ),
        ]
        await controller.reached.wait()
        for task in tasks:
            task.cancel()
    return plans


async def test_a_key_never_decides_on_facts_older_than_its_own_write() -> None:
    client = FakeClient({KEY: config("a")})
    controller = CountTo(5)
    client.deliver.set()
    plans = await run_until_reached(controller, client)
    assert list(dict.fromkeys(controller.seen)) == [0, 1, 2, 3, 4, 5]
    assert len(client.applied) == 5
    assert [len(plan.actions) for plan in plans].count(1) == 5


async def test_nothing_runs_until_the_cache_shows_the_write() -> None:
    client = FakeClient({KEY: config("a")})
    controller = CountTo(1)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_until_reached(controller, client))
        while not client.applied:
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert controller.seen == [0]
        client.deliver.set()
        await running
    assert controller.seen[:2] == [0, 1]


async def test_a_conflict_is_looked_at_again_and_other_failures_too() -> None:
    client = FakeClient({KEY: config("a")})
    client.errors = [conflict(CONFIGMAP, "a"), ApiError(500, "InternalError", "broken")]
    client.deliver.set()
    controller = CountTo(1)
    await run_until_reached(controller, client)
    assert [error.code for error in controller.failures] == [409, 500]
    assert client.objects[KEY]["data"]["count"] == "1"


async def test_garbage_is_not_collected_on_the_cache_s_word_alone() -> None:
    client = FakeClient({KEY: config("a"), OTHER: config("b")})
    client.deliver.set()
    controller = CountTo(1)
    decide, looks = controller.decide, []

    def guarded(snapshot: Obj) -> Plan:
        looks.append(snapshot)
        if len(looks) > 3:
            controller.reached.set()
        delete = Delete(KEY, uid=Uid("a"))
        return Plan((delete,), only_if_gone=((OTHER, Uid("b")),))

    controller.decide = guarded  # type: ignore[method-assign]  # watched from outside
    await run_until_reached(controller, client)
    assert decide is not guarded
    assert client.applied == []


async def test_whoever_waits_for_one_kind_goes_before_the_next_kind_is_written() -> None:
    """The proxy waits for EndpointSlices: all of a plan, but not for the Endpoints after them."""
    written = asyncio.Event()

    class TellingClient(FakeClient):
        async def apply(self, action: Action) -> Obj | None:
            written.set()
            return await super().apply(action)

    client, controller = TellingClient({KEY: config("a")}), CountTo(1)
    after = ObjectKey(SECRET, "default", "c")

    def several(snapshot: Obj) -> Plan:
        controller.reached.set()
        return Plan((Delete(KEY), Delete(OTHER), Delete(after)))

    controller.decide = several  # type: ignore[method-assign]  # watched from outside
    client.deliver.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(run_until_reached(controller, client))
        await written.wait()
        assert client.applied == [Delete(KEY), Delete(OTHER)]


async def test_a_key_waits_once_and_is_never_worked_on_twice_at_the_same_time() -> None:
    queue = WorkQueue()
    queue.add(KEY)
    queue.add(KEY)
    assert await queue.get() == KEY
    queue.add(KEY)  # while it is being worked on
    queue.add(OTHER)
    assert await queue.get() == OTHER
    queue.done(KEY)
    assert await queue.get() == KEY


async def test_a_new_delay_replaces_the_old_one() -> None:
    queue = WorkQueue()
    queue.add_after(KEY, 3600)
    queue.add_after(KEY, 0)
    assert await asyncio.wait_for(queue.get(), 60) == KEY
    queue.close()


async def test_failures_are_counted_until_one_look_goes_well() -> None:
    queue = WorkQueue()
    assert [queue.add_failed(KEY) for _ in range(3)] == [1, 2, 3]
    queue.forget(KEY)
    assert queue.add_failed(KEY) == 1
    queue.close()


def test_a_failed_key_waits_5_ms_and_twice_as_long_each_time_15_times() -> None:
    """Upstream's numbers; after them only an event or the periodic look tries again."""

    async def delays_s() -> list[float]:
        queue, loop = WorkQueue(), asyncio.get_running_loop()
        found = []
        for _ in range(15):
            began_s = loop.time()
            queue.add_failed(KEY)
            await queue.get()
            found.append(loop.time() - began_s)
            queue.done(KEY)
        assert queue.add_failed(KEY) == 16
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.get(), 3600)
        return found

    wanted = [0.005 * 2**tries for tries in range(15)]
    assert run_virtual(delays_s()) == pytest.approx(wanted, abs=1e-4)


def test_creates_go_out_in_doubling_batches_and_the_rest_one_by_one() -> None:
    create, delete = Create(config("x")), Delete(KEY)
    event = Emit(config("x"), "Normal", Reason.SUCCESSFUL_CREATE, "x")
    plan: list[Action] = [event, *[create] * 6, delete, delete]
    assert [len(batch) for batch in batches(plan)] == [1, 1, 2, 3, 1, 1]
    assert [action for batch in batches(plan) for action in batch] == plan


@dataclass
class Refusing(FakeClient):
    """Refuses the third create."""

    async def apply(self, action: Action) -> Obj | None:
        self.applied.append(action)
        if len(self.applied) == 3:
            raise not_found(CONFIGMAP, "x")
        return None


@dataclass
class CreateMany(CountTo):
    """Wants seven objects at once."""

    def decide(self, snapshot: Obj) -> Plan:
        self.seen.append(0)
        return Plan((Create(config("x")),) * 7 + (Update(config("a")),))

    def follow_up(self, snapshot: Obj, outcome: Outcome) -> tuple[Action, ...]:
        super().follow_up(snapshot, outcome)
        if self.failures:
            self.reached.set()
        return ()


async def test_a_failing_batch_of_creates_is_the_last() -> None:
    """1, then 2 of which one is refused: the other 4 and the status are not tried."""
    client, controller = Refusing({KEY: config("a")}), CreateMany(goal=0)
    await run_until_reached(controller, client)
    assert len(client.applied) == 3
    assert len(controller.failures) == 1


async def test_one_bad_key_does_not_end_the_others() -> None:
    """The engine's policy: the bug is told, its key is tried again later, other keys go on."""
    unread = config("a") | {"data": {"count": "five"}}  # int("five") raises
    client = FakeClient({KEY: unread, OTHER: config("b")})
    client.deliver.set()
    controller, bugs = CountTo(3), BugLog()
    cache = Cache(client, (CONFIGMAP,))
    async with asyncio.TaskGroup() as group:
        run = run_controller(controller, cache, client, SystemClock(), on_bug=bugs)
        tasks = [group.create_task(cache.run()), group.create_task(run)]
        await controller.reached.wait()
        for task in tasks:
            task.cancel()
    assert bugs.count >= 1


async def test_without_a_policy_a_bug_fails_the_run() -> None:
    client = FakeClient({KEY: config("a") | {"data": {"count": "five"}}})
    with pytest.raises(ExceptionGroup) as raised:
        await run_until_reached(CountTo(1), client)
    assert raised.value.subgroup(ValueError) is not None
