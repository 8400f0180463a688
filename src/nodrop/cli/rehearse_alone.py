"""One pod of the app, started and ended alone and asked directly, before the rehearsal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from nodrop.cli.apply import apply_all
from nodrop.cli.rehearse_aim import Aim
from nodrop.cli.rehearse_place import Place
from nodrop.client.actions import Patch
from nodrop.client.cache import Cache
from nodrop.client.protocol import WatchEvent
from nodrop.model.kinds import EVENT, POD
from nodrop.model.meta import Obj
from nodrop.rehearse.alone import AppFacts, facts_of
from nodrop.rehearse.lives import Life, Lives
from nodrop.rehearse.load import Load
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import LoadSpec, Mix, Target

_READY_WITHIN_S = 60.0
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
) -> AppFacts | None:
    """What it does; None when it is not ready within a minute (the rehearsal then says why)."""
    cache = Cache(place.client, (POD, EVENT))
    look = _Look(place, aim, cache)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(cache.run(), name="probe watch")
        await cache.synced()
        await apply_all(place.client, place.placed(_alone(objects, aim)))
        facts = await look.run(path=path, slow=slow, slow_s=slow_s)
        watching.cancel()
    return facts


class _Look:
    """Follows the one pod, asks it, and ends it."""

    def __init__(self, place: Place, aim: Aim, cache: Cache) -> None:
        self._place, self._aim, self._cache = place, aim, cache
        self._lives = Lives()
        self._address = ""
        self._changed = asyncio.Event()
        cache.subscribe(self._observe)

    async def run(self, *, path: str, slow: str, slow_s: float) -> AppFacts | None:
        try:
            await self._until(self._is_ready)
        except TimeoutError:
            return None
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
            await self._until(lambda: self._life is not None and self._life.gone is not None)
            for load in loads:
                load.stop()
        assert self._life is not None
        return facts_of(self._life, asked=asked[0], health=asked[1], slow=asked[2])

    def _is_ready(self) -> bool:
        """Raises TimeoutError for a pod that crashes: it has not even to be waited for."""
        if any(_crashes(pod) for pod in self._cache.list(POD, self._aim.deployment.namespace)):
            raise TimeoutError
        return self._life is not None and self._life.ready is not None

    async def _answered(self, asked: Sequence[Record]) -> None:
        """Return once it has answered, which a Ready pod without a probe may not have yet."""
        try:
            async with asyncio.timeout(_READY_WITHIN_S):
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

    async def _until(self, level: Callable[[], bool]) -> None:
        longest_s = _READY_WITHIN_S + self._aim.grace_s
        async with asyncio.timeout(longest_s):
            while not level():
                self._changed.clear()
                await self._changed.wait()

    def _observe(self, event: WatchEvent, _before: Obj | None) -> None:
        obj = event.obj
        if obj["metadata"].get("namespace") == self._aim.deployment.namespace:
            self._lives.observe(event, asyncio.get_running_loop().time())
            if obj["kind"] == "Pod":
                self._address = (obj.get("status") or {}).get("podIP") or self._address
        self._changed.set()


def _alone(objects: Sequence[Obj], aim: Aim) -> list[Obj]:
    """The manifests with one replica; whatever is no Deployment as it is."""
    name = aim.deployment.name
    return [
        {**obj, "spec": {**obj["spec"], "replicas": 1}}
        if obj["kind"] == "Deployment" and obj["metadata"]["name"] == name
        else obj
        for obj in objects
    ]


def _crashes(pod: Obj) -> bool:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(int(status.get("restartCount") or 0) > 1 for status in statuses)
