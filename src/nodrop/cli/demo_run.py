"""The demo's run: deploy, load, four versions rolled over each other, everything counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from nodrop.cli.apply import apply_all
from nodrop.cli.demo_examples import Script, Step
from nodrop.cli.demo_view import Picture, Window
from nodrop.cli.progress import REVISION, new_pods, rollout_message
from nodrop.cli.rollout import undo_operations
from nodrop.cli.session import Failure
from nodrop.client.cache import Cache
from nodrop.client.http import HttpClient
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import DEPLOYMENT, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, annotations_of, is_deleting
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.load import Load
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, target_of
from nodrop.rehearse.summary import Summary
from nodrop.rehearse.verdict import Stage, Stages

_STEP_TIMEOUT_S = 120.0
_FIRST_ANSWER_TIMEOUT_S = 10.0
_SHOW_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class Pace:
    """How hurried the demo is: requests a second, and how long each stage lasts at least."""

    rate: float
    warm_up_s: float
    stage_s: float
    surge: int | None = None


def pace_of(rate: float, *, fast: bool) -> Pace:
    """At the usual 500 requests/s: 25,000 in five rollouts; fast ends within 30 s in all."""
    if fast:
        return Pace(rate, warm_up_s=0.5, stage_s=0.0, surge=2)
    return Pace(rate, warm_up_s=2.0, stage_s=5_000 / rate)


@dataclass(slots=True)
class Found:
    """Everything the run has counted."""

    summary: Summary = field(default_factory=Summary)
    stages: Stages = field(default_factory=Stages)
    lives: Lives = field(default_factory=Lives)
    window: Window = field(default_factory=Window)

    def add(self, batch: list[Record]) -> None:
        self.summary.add_all(batch)
        self.lives.answered(batch)
        self.window.add(batch)
        for record in batch:
            self.stages.add(record)

    def picture(self, now: float) -> Picture:
        current = self.stages.stages[-1] if self.stages.stages else None
        return Picture(
            stage=current.name if current else "starting",
            stage_s=now - current.start if current else 0.0,
            pods=self.lives.count(),
            rates=self.window.rates(now),
            p99_s=self.window.p99_s(now),
            requests=self.summary.total.requests,
            lost=self.summary.total.lost,
        )


class Run:
    """One script carried out against a running engine, under load."""

    def __init__(
        self,
        client: HttpClient,
        *,
        url: str,
        script: Script,
        pace: Pace,
        show: Callable[[Picture], None],
    ) -> None:
        self._client = client
        self._url = url
        self._script = script
        self._key = ObjectKey(DEPLOYMENT, "default", script.deployment)
        self._pace = pace
        self._show = show
        self._cache = Cache(client, (DEPLOYMENT, REPLICASET, POD))
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.found = Found()

    async def run(self) -> Found:
        """Do all of it. Raises Failure, ApiError or LoadFailed."""
        self._cache.subscribe(self._observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cache.run(), name="demo watch")
            showing = group.create_task(self._keep_showing(), name="demo display")
            await self._cache.synced()
            await self._deploy(self._script.first)
            await self._settled()
            await self._first_answer()
            await self._under_load()
            watching.cancel()
            showing.cancel()
        self._show(self.found.picture(self._loop.time()))
        return self.found

    async def _under_load(self) -> None:
        """All steps, with the load running from before the first until after the last."""
        load = await LoadProcess.start(
            [*arguments_for(self._url, rate=self._pace.rate), *self._script.load]
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._collect(load), name="demo load")
                self._begin(Stage("before", self._loop.time(), is_rollout=False))
                await self._until_answers()
                await asyncio.sleep(self._pace.warm_up_s)
                for step in self._script.steps:
                    await self._roll(step)
                load.stop()
        finally:
            await load.kill()

    async def _roll(self, step: Step) -> None:
        stage = Stage(step.name, self._loop.time())
        self._begin(stage)
        if step.file is None:
            await self._undo()
        else:
            await self._deploy(step.file)
        await self._settled()
        stage.rolled_out = self._loop.time()
        await asyncio.sleep(max(0.0, stage.start + self._pace.stage_s - self._loop.time()))

    async def _deploy(self, file: str) -> None:
        await apply_all(self._client, self._script.objects(file, surge=self._pace.surge))
        await self._cache.wait_seen(await self._client.get(self._key))

    async def _undo(self) -> None:
        """Go back to the revision before, as ``kubectl rollout undo`` does."""
        deployment = await self._client.get(self._key)
        operations = undo_operations(deployment, self._revision_before(deployment))
        await self._client.patch_json(self._key, operations)
        await self._cache.wait_seen(await self._client.get(self._key))

    def _revision_before(self, deployment: Obj) -> Obj:
        sets = self._cache.controlled_by(REPLICASET, deployment["metadata"]["uid"])
        ordered = sorted(sets, key=lambda rs: int(annotations_of(rs).get(REVISION, 0)))
        if len(ordered) < 2:
            raise Failure("there is no revision to go back to")
        return ordered[-2]

    async def _settled(self) -> None:
        """Return once the rollout is complete and no pod of another version is left."""
        try:
            async with asyncio.timeout(_STEP_TIMEOUT_S):
                while not self._is_settled():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Failure(f"no end after {_STEP_TIMEOUT_S:g} s: {self._standing()}") from None

    def _is_settled(self) -> bool:
        deployment = self._cache.get(self._key)
        if deployment is None:
            return False
        _, done, failed = rollout_message(deployment)
        if failed:
            raise Failure(f"the rollout failed: {self._standing()}")
        pods = self._cache.list(POD, self._key.namespace)
        current = new_pods(self._cache.list(REPLICASET, self._key.namespace), pods, deployment)
        return done and len(current) == len(pods) and not any(map(is_deleting, pods))

    def _standing(self) -> str:
        deployment = self._cache.get(self._key)
        return rollout_message(deployment)[0] if deployment else "there is no deployment"

    async def _first_answer(self) -> None:
        """Return once the Ingress answers: what comes before the first version is no rollout."""
        mix = Mix(post_share=0, slow_share=0)
        spec = LoadSpec(target_of(self._url), 100.0, mix, timeout_s=1.0)
        try:
            async with asyncio.timeout(_FIRST_ANSWER_TIMEOUT_S):
                while True:
                    records: list[Record] = []
                    await Load(spec, records.append).run(count=1)
                    if not records[0].lost:
                        return
        except TimeoutError:
            last = f"{records[0].outcome} {records[0].status or ''}" if records else "no answer"
            raise Failure(f"{self._url} does not answer: {last.strip()}") from None

    async def _until_answers(self) -> None:
        """Return once the load is under way."""
        try:
            async with asyncio.timeout(_FIRST_ANSWER_TIMEOUT_S):
                while not self.found.summary.total.requests:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise Failure("the load did not begin") from None

    async def _collect(self, load: LoadProcess) -> None:
        async for batch in load.batches():
            self.found.add(batch)
            self._changed.set()

    async def _keep_showing(self) -> None:
        while True:
            self._show(self.found.picture(self._loop.time()))
            await asyncio.sleep(_SHOW_EVERY_S)

    def _begin(self, stage: Stage) -> None:
        self.found.stages.begin(stage)

    def _observe(self, event: WatchEvent, _before: Obj | None) -> None:
        if event.obj["kind"] == "Pod":
            self.found.lives.observe(event, self._loop.time())
        self._changed.set()
