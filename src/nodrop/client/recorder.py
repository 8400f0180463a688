"""Event recording: an Emit becomes the Create of an Event, or a Patch that counts a repeat."""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from nodrop.client.actions import Create, Emit, Patch
from nodrop.clock import Clock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import EVENT
from nodrop.model.meta import Obj, ObjectKey, format_time

log = logging.getLogger(__name__)

#: Series remembered for counting, as many as upstream's recorder keeps. One that was forgotten
#: starts again with count 1.
_REMEMBERED = 4_096
_LONGEST_NAME = 253 - 17


class Series(NamedTuple):
    """What makes two Events the same: only count and time differ."""

    uid: str
    type: str
    reason: str
    message: str


@dataclass(slots=True)
class _Recorded:
    key: ObjectKey
    count: int


class EventRecorder:
    """Turns Emits of one component into writes of core/v1 Events."""

    def __init__(self, component: str, clock: Clock, rng: random.Random) -> None:
        self._component = component
        self._clock = clock
        self._rng = rng
        self._recorded: OrderedDict[Series, _Recorded] = OrderedDict()

    async def emit(
        self, emit: Emit, write: Callable[[Create | Patch], Awaitable[Obj | None]]
    ) -> None:
        """Record with ``write``. An Event that is refused is logged: it must not stop the work."""
        action = self.record(emit)
        try:
            try:
                await write(action)
            except ApiError as error:
                if not isinstance(action, Patch) or error.code != 404:
                    raise
                # The Event has expired meanwhile: begin a new series.
                self.forget(emit)
                await write(self.record(emit))
        except ApiError as error:
            self.forget(emit)
            log.warning("event %s %r was not recorded: %s", emit.reason, emit.message, error)

    def record(self, emit: Emit) -> Create | Patch:
        """The write that records ``emit``: a new Event, or a higher count on one before."""
        now = format_time(self._clock.now())
        series = _series(emit)
        known = self._recorded.get(series)
        if known is not None:
            known.count += 1
            self._recorded.move_to_end(series)
            return Patch(known.key, {"count": known.count, "lastTimestamp": now})
        event = self._event(emit, now)
        meta = event["metadata"]
        self._remember(series, ObjectKey(EVENT, meta["namespace"], meta["name"]))
        return Create(event)

    def forget(self, emit: Emit) -> None:
        self._recorded.pop(_series(emit), None)

    # Private

    def _remember(self, series: Series, key: ObjectKey) -> None:
        self._recorded[series] = _Recorded(key, 1)
        if len(self._recorded) > _REMEMBERED:
            self._recorded.popitem(last=False)

    def _event(self, emit: Emit, now: str) -> Obj:
        meta = emit.regarding["metadata"]
        name = meta["name"][:_LONGEST_NAME]
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {
                "name": f"{name}.{self._rng.getrandbits(64):016x}",
                "namespace": meta.get("namespace") or "default",
            },
            "involvedObject": _reference(emit.regarding),
            "reason": str(emit.reason),
            "message": emit.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": emit.type,
        }


def _series(emit: Emit) -> Series:
    uid = emit.regarding["metadata"].get("uid", "")
    return Series(uid, emit.type, str(emit.reason), emit.message)


def _reference(obj: Obj) -> Obj:
    meta = obj["metadata"]
    reference = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "name": meta["name"]}
    for field in ("namespace", "uid", "resourceVersion"):
        if meta.get(field):
            reference[field] = meta[field]
    return reference
