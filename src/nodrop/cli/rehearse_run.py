"""A rehearsal's run: deploy, load, end pods in every way there is, and keep all evidence."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import click

from nodrop.cli.apply import apply_all
from nodrop.cli.progress import HASH, REVISION, Problem, new_pods, rollout_message, standing_of
from nodrop.cli.rehearse_acts import Act, ActKind, evicted_share
from nodrop.cli.rehearse_aim import Aim
from nodrop.cli.rehearse_evict import evict
from nodrop.cli.rehearse_paths import Traffic, answering_paths
from nodrop.cli.rehearse_patience import Outlook, Patience, gave_up
from nodrop.cli.rehearse_place import Place
from nodrop.cli.session import Failure
from nodrop.client.actions import Patch
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.clock import SystemClock
from nodrop.model.kinds import DEPLOYMENT, EVENT, POD, REPLICASET
from nodrop.model.meta import (
    Obj,
    annotations_of,
    format_time,
    is_deleting,
    key_of,
    labels_of,
)
from nodrop.rehearse.echoes import EchoLoad, EchoSpec
from nodrop.rehearse.ledger import WEBSOCKET, Evidence
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.process import LoadProcess
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import target_of
from nodrop.rehearse.series import Series
from nodrop.rehearse.summary import Summary
from nodrop.rehearse.verdict import Stage, Stages
from nodrop.rehearse.websocket import WebSocket

_SETTLE_TIMEOUT_S = 180.0
_WARM_UP_S, _COOL_DOWN_S, _REST_S = 2.0, 1.0, 1.0
#: How often it is looked whether there still is hope: that is a matter of time, not of changes.
_LOOK_AGAIN_S = 1.0
POD_HEADER, APP_HEADER = "Nodrop-Pod", "Nodrop-App"


@dataclass(slots=True)
class Found:
    """Everything the run has seen. Times are ``loop.time()``; ``series`` begins with the load."""

    evidence: Evidence = field(default_factory=Evidence)
    summary: Summary = field(default_factory=Summary)
    stages: Stages = field(default_factory=Stages)
    lives: Lives = field(default_factory=Lives)
    series: Series = field(default_factory=lambda: Series(0.0))
    paths: tuple[str, ...] = ()
    ended: float = 0.0

    def add(self, batch: Sequence[Record]) -> None:
        self.summary.add_all(batch)
        self.lives.answered(batch)
        complete = any(stage.rolled_out is not None for stage in self.stages.stages)
        self.evidence.add_all(batch, may_be_old=complete)
        for record in batch:
            self.stages.add(record)
            life = self.lives.of(record.pod)
            self.series.add(record, life.version if life else record.version or "?")


class _Hopeless(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class Run:
    """One rehearsal in one place."""

    def __init__(
        self,
        place: Place,
        aim: Aim,
        *,
        traffic: Traffic,
        duration_s: float,
        patience: Patience,
        say: Callable[[str], None] = click.echo,
    ) -> None:
        self._place, self._aim, self._traffic = place, aim, traffic
        self._duration_s = duration_s
        self._say = say
        self._cache = Cache(place.client, (DEPLOYMENT, REPLICASET, POD, EVENT))
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._url = ""
        self._outlook = Outlook(patience)
        #: Pods may have to start one after the other.
        self._settles_within_s = max(_SETTLE_TIMEOUT_S, (aim.replicas + 1) * patience.longest_s)
        self.found = Found()

    async def run(self, old: Sequence[Obj], acts: Sequence[Act]) -> Found:
        """Deploy ``old``, then every act under load. Raises Failure, ApiError or LoadFailed."""
        self._cache.subscribe(self._observe)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._cache.run(), name="rehearsal watch")
            await self._cache.synced()
            await self._apply(old)
            await self._settled()
            self._url = await self._place.target(self._aim)
            target = target_of(self._url, self._aim.host)
            self.found.paths = await answering_paths(target, self._traffic, self._aim)
            await self._under_load(acts)
            watching.cancel()
        self.found.ended = self._loop.time()
        return self.found

    # The load

    async def _under_load(self, acts: Sequence[Act]) -> None:
        load = await LoadProcess.start(self._arguments())
        echoes = self._echoes()
        try:
            async with asyncio.TaskGroup() as group:
                start = self._loop.time()
                self.found.series = Series(start)
                self._begin(Stage("before", start, is_rollout=False))
                group.create_task(self._collect(load), name="rehearsal load")
                if echoes is not None:
                    group.create_task(echoes.run(), name="rehearsal websockets")
                await asyncio.sleep(_WARM_UP_S)
                for act in acts:
                    await self._play(act)
                await asyncio.sleep(max(_COOL_DOWN_S, start + self._duration_s - self._loop.time()))
                load.stop()
                if echoes is not None:
                    echoes.stop()
        finally:
            await load.kill()

    def _arguments(self) -> list[str]:
        traffic, place = self._traffic, self._place
        arguments = ["--url", self._url, "--rate", f"{traffic.rate:g}", "--seed", str(traffic.seed)]
        arguments += ["--host", self._aim.host] if self._aim.host else []
        arguments += ["--id-prefix", f"{secrets.token_hex(4)}-", "--id-header", traffic.id_header]
        arguments += ["--version-header", traffic.version_header]
        arguments += ["--timeout-s", f"{traffic.timeout_s:g}"]
        for path in self.found.paths:
            arguments += ["--get", path]
        share = "0.25" if traffic.post else "0"
        arguments += ["--post-share", share, "--echo-path", traffic.post or "/"]
        share = "0.02" if traffic.slow else "0"
        arguments += ["--slow-share", share, "--slow-path", traffic.slow or "/"]
        arguments += ["--slow-s", f"{traffic.slow_s:g}"]
        arguments += [] if traffic.echoed else ["--no-echo"]
        arguments += ["--expect-id"] if traffic.expect_id else []
        arguments += ["--pod-header", POD_HEADER if place.names_pods else traffic.pod_header]
        return arguments + (["--app-header", APP_HEADER] if place.names_pods else [])

    def _echoes(self) -> EchoLoad | None:
        if not self._traffic.websocket:
            return None
        target = target_of(self._url, self._aim.host)
        header = POD_HEADER if self._place.names_pods else self._traffic.pod_header
        spec = EchoSpec(kind=WEBSOCKET, rate=4.0, text=True, pod_header=header)
        return EchoLoad(
            spec,
            lambda: WebSocket.connect(target, self._traffic.websocket, timeout_s=5.0, text=True),
            sink=lambda record: self.found.add([record]),
        )

    async def _collect(self, load: LoadProcess) -> None:
        async for batch in load.batches():
            self.found.add(batch)
            self._changed.set()

    # Acts

    async def _play(self, act: Act) -> None:
        stage = Stage(act.name, self._loop.time())
        self._begin(stage)
        self._say(f"{stage.start - self.found.series.start:5.1f} s  {act.name}")
        match act.kind:
            case ActKind.ROLLOUT:
                await self._apply(act.objects)
            case ActKind.RESTART:
                stamp = {"kubectl.kubernetes.io/restartedAt": format_time(SystemClock().now())}
                await self._patch({"spec": {"template": {"metadata": {"annotations": stamp}}}})
            case ActKind.SCALE_DOWN:
                await self._patch({"spec": {"replicas": self._aim.replicas - 1}})
                await self._settled()
                await self._patch({"spec": {"replicas": self._aim.replicas}})
            case ActKind.EVICTION:
                await self._evict()
        await self._settled()
        stage.rolled_out = self._loop.time()
        stage.revision = self._revision()
        await asyncio.sleep(_REST_S)

    async def _evict(self) -> None:
        """What ``kubectl drain`` does to the pods of one node of several."""
        pods = [pod for pod in self._current_pods() if not is_deleting(pod)]
        for pod in pods[: evicted_share(len(pods))]:
            await evict(self._place.client, key_of(pod), self._settled)
            await self._until(partial(self._is_ending, pod))

    def _is_ending(self, pod: Obj) -> bool:
        known = self._cache.get(key_of(pod))
        return known is None or is_deleting(known)

    async def _apply(self, objects: Sequence[Obj]) -> None:
        await apply_all(self._place.client, self._place.placed(objects))
        await self._catch_up()

    async def _patch(self, patch: Obj) -> None:
        await self._place.client.apply(Patch(self._aim.deployment, patch))
        await self._catch_up()

    async def _catch_up(self) -> None:
        await self._cache.wait_seen(await self._place.client.get(self._aim.deployment))

    # Watching

    async def _settled(self) -> None:
        """Return once the Deployment is complete and no pod is left that is being ended."""
        try:
            await self._until(self._is_settled)
        except TimeoutError:
            raise Failure(
                f"no end after {self._settles_within_s:g} s: {self._standing()}"
            ) from None
        except _Hopeless as hopeless:
            client = self._place.client
            raise await gave_up(client, self._aim.deployment, hopeless.problem) from None

    async def _until(self, level: Callable[[], bool]) -> None:
        async with asyncio.timeout(self._settles_within_s):
            while not level():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN_S):
                        await self._changed.wait()

    def _is_settled(self) -> bool:
        """Raises _Hopeless, and Failure when the Deployment says so itself."""
        deployment = self._cache.get(self._aim.deployment)
        if deployment is None:
            return False
        _, done, failed = rollout_message(deployment)
        if failed:
            raise Failure(f"the rollout failed: {self._standing()}")
        events, lives = self._cache.list(EVENT), self.found.lives
        current = self._current_pods()
        if problem := self._outlook.given_up(current, events, lives, self._loop.time()):
            raise _Hopeless(problem)
        pods = self._all_pods()
        desired = deployment["spec"].get("replicas", 1)
        return done and len(pods) == desired and not any(map(is_deleting, pods))

    def _standing(self) -> str:
        deployment = self._cache.get(self._aim.deployment)
        if deployment is None:
            return "there is no deployment"
        standing = standing_of(deployment, self._current_pods(), self._cache.list(EVENT))
        return "; ".join([standing.message, *map(str, standing.problems)])

    def _all_pods(self) -> list[Obj]:
        """All pods of the Deployment, whatever their revision."""
        deployment = self._cache.get(self._aim.deployment)
        assert deployment is not None
        sets = self._cache.controlled_by(REPLICASET, deployment["metadata"]["uid"])
        return [
            pod for one in sets for pod in self._cache.controlled_by(POD, one["metadata"]["uid"])
        ]

    def _current_pods(self) -> list[Obj]:
        deployment = self._cache.get(self._aim.deployment)
        if deployment is None:
            return []
        namespace = self._aim.deployment.namespace
        sets, pods = (self._cache.list(kind, namespace) for kind in (REPLICASET, POD))
        return new_pods(sets, pods, deployment)

    def _revision(self) -> str:
        """The pod-template-hash of the newest ReplicaSet."""
        deployment = self._cache.get(self._aim.deployment)
        assert deployment is not None
        wanted = annotations_of(deployment).get(REVISION)
        for one in self._cache.controlled_by(REPLICASET, deployment["metadata"]["uid"]):
            if annotations_of(one).get(REVISION) == wanted:
                return labels_of(one).get(HASH, "")
        return ""

    def _begin(self, stage: Stage) -> None:
        self.found.stages.begin(stage)

    def _observe(self, event: WatchEvent, _before: Obj | None) -> None:
        obj, namespace = event.obj, self._aim.deployment.namespace
        if obj["kind"] in ("Pod", "Event") and obj["metadata"].get("namespace") == namespace:
            self.found.lives.observe(event, self._loop.time())
        self._changed.set()
