"""One pod of the app, started and ended alone and asked directly, before the rehearsal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from nodrop.cli.apply import apply_all
from nodrop.cli.rehearse_aim import Aim
from nodrop.cli.rehearse_patience import Outlook, Patience, gave_up
from nodrop.cli.rehearse_place import Place
from nodrop.client.actions import Patch
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import EVENT, POD
from nodrop.model.meta import Obj, labels_of
from nodrop.rehearse.alone import AppFacts, facts_of
from nodrop.rehearse.lives import Life, Lives
from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, Target

_ANSWERS_WITHIN_S, _GONE_WITHIN_S = 60.0, 60.0
_LOOK_AGAIN_S = 1.0
_WATCHED_S = 0.5
_LOOK_S = 0.05
#: Few enough that an app with one worker keeps up: what waits in a queue is not in flight.
_RATE, _SLOW_SHARE = 20.0, 0.8


async def look_at_app(
    place: Place,
    aim: Aim,
    objects: Sequence[Obj],
    *,
    path: str,
    slow: str,
    slow_s: float,
    patience: Patience,
) -> AppFacts:
    """What it does. Raises Failure when it does not become ready, with what is known of why."""
    cache = Cache(place.client, (POD, EVENT))
    look = _Look(place, aim, cache, patience)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(cache.run(), name="probe watch")
        await cache.synced()
        await apply_all(place.client, place.placed(_alone(objects, aim)))
        facts = await look.run(path=path, slow=slow, slow_s=slow_s)
        watching.cancel()
    return facts


class _Look:
    """Follows the one pod, asks it, and ends it."""

    def __init__(self, place: Place, aim: Aim, cache: Cache, patience: Patience) -> None:
        self._place, self._aim, self._cache = place, aim, cache
        self._outlook = Outlook(patience)
        self._lives = Lives()
        self._address = ""
        self._changed = asyncio.Event()
        cache.subscribe(self._observe)

    async def run(self, *, path: str, slow: str, slow_s: float) -> AppFacts:
        await self._ready()
        often = _SLOW_SHARE / max(slow_s, _SLOW_SHARE / _RATE)
        wanted = [(path, _RATE, 0.0), (self._aim.health, _RATE, 0.0), (slow, often, slow_s)]
        asked: list[list[Record]] = [[] for _ in wanted]
        loads = [
            self._load(where, rate, takes_s, records)
            for (where, rate, takes_s), records in zip(wanted, asked, strict=True)
            if where and self._address.startswith("127.")
        ]
        async with asyncio.TaskGroup() as group:
            for load in loads:
                group.create_task(load.run())
            if loads:
                await self._answered(asked[0])
            await asyncio.sleep(max(_WATCHED_S, slow_s))
            await self._place.client.apply(Patch(self._aim.deployment, {"spec": {"replicas": 0}}))
            await self._gone()
            for load in loads:
                load.stop()
        assert self._life is not None
        return facts_of(self._life, asked=asked[0], health=asked[1], slow=asked[2])

    async def _ready(self) -> None:
        """Return once it is. Raises Failure."""
        while self._life is None or self._life.ready is None:
            pods = list(filter(self._is_ours, self._cache.list(POD)))
            events, now_s = self._cache.list(EVENT), asyncio.get_running_loop().time()
            if problem := self._outlook.given_up(pods, events, self._lives, now_s):
                raise await gave_up(self._place.client, self._aim.deployment, problem)
            await self._change()

    async def _answered(self, asked: Sequence[Record]) -> None:
        """Return once it has answered, which a Ready pod without a probe may not have yet."""
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN_S):
                while not any(not each.lost for each in asked):  # noqa: ASYNC110 - a list
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            pass  # the rehearsal says what that means

    @property
    def _life(self) -> Life | None:
        return next(iter(self._lives.pods.values()), None)

    def _load(self, path: str, rate: float, takes_s: float, records: list[Record]) -> Load:
        mix = Mix(
            get_paths=(path,),
            post_share=0,
            slow_share=1.0 if takes_s else 0.0,
            slow_path=path,
            slow_s=takes_s,
            fresh_share=1.0,
        )
        host = self._aim.host or f"{self._address}:{self._aim.pod_port}"
        target = Target(self._address, self._aim.pod_port, host)
        return Load(LoadSpec(target, rate, mix, timeout_s=5.0), records.append)

    async def _gone(self) -> None:
        longest_s = _GONE_WITHIN_S + self._aim.grace_s
        async with asyncio.timeout(longest_s):
            while self._life is None or self._life.gone is None:
                await self._change()

    async def _change(self) -> None:
        """Wait for one, or for a while: patience is a matter of time."""
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_AGAIN_S):
                await self._changed.wait()

    def _observe(self, event: WatchEvent, _before: Obj | None) -> None:
        obj = event.obj
        if obj["kind"] == "Event" or self._is_ours(obj):
            self._lives.observe(event, asyncio.get_running_loop().time())
        if obj["kind"] == "Pod" and self._is_ours(obj):
            self._address = (obj.get("status") or {}).get("podIP") or self._address
        self._changed.set()

    def _is_ours(self, pod: Obj) -> bool:
        there = pod["metadata"].get("namespace") == self._aim.deployment.namespace
        return there and self._aim.labels.items() <= labels_of(pod).items()


def _alone(objects: Sequence[Obj], aim: Aim) -> list[Obj]:
    """The manifests with one replica; whatever is no Deployment as it is."""
    name = aim.deployment.name
    return [
        {**obj, "spec": {**obj["spec"], "replicas": 1}}
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == name
        else obj
        for obj in objects
    ]
