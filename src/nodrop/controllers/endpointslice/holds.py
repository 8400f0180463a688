"""S9: how long a pod without a readinessProbe gets no traffic, whatever the clock does; pure.

A hold is a span of wall time from Ready on, and somebody may set the wall clock. What was decided
once is therefore noted beside the endpoint, in an annotation of its slice: a hold that is over
stays over, and one whose end has moved away with the clock begins anew, once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec

from nodrop.controllers.pods import HOLD_ANNOTATION, has_readiness_probe, ready_since
from nodrop.model.meta import Obj, annotations_of, due_after, parse_time, seconds_until, uid_of

#: On an EndpointSlice, as JSON: uid of a pod → what became of its hold.
HOLDS_ANNOTATION = "nodrop.dev/holds"
_OVER = "over"
#: Clocks are steered by milliseconds all the time; that moves no end.
_TOLERANCE = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Hold:
    """The hold of a pod that is Ready. ``due`` None: it is over.

    ``note`` is to be remembered: the time of Ready that it is about (a container that was
    restarted is held again), and ``over`` or the moved end. Empty: the pod tells it all.
    """

    due: datetime | None
    note: str

    def left_s(self, now: datetime) -> float:
        return 0.0 if self.due is None else seconds_until(self.due, now)


def hold_seconds(pod: Obj) -> int:
    """How long the pod gets no traffic after Ready; 0 for a pod with a readinessProbe.

    The seconds stand on the pod since its creation; a pod with a probe has none (S11).
    """
    text = annotations_of(pod).get(HOLD_ANNOTATION)
    if text is None or not text.isdecimal() or has_readiness_probe(pod["spec"]):
        return 0
    return int(text)


def hold_of(pod: Obj, note: str, now: datetime) -> Hold | None:
    """S9, S11: what keeps a Ready pod from traffic; None where nothing ever does.

    An end that lies further ahead than a whole hold was moved there by a clock that was set back.
    It is brought back to one hold from now: neither traffic too early nor a wait without end.
    """
    wait_s, since = hold_seconds(pod), ready_since(pod)
    if wait_s <= 0 or since is None:
        return None
    about, _, noted = note.partition("/")
    if about != since:
        noted = ""
    if noted == _OVER:
        return Hold(None, note)
    due = parse_time(noted) if noted else due_after(since, wait_s)
    latest = now + (due_after(since, wait_s) - parse_time(since))
    if due <= now:
        return Hold(None, f"{since}/{_OVER}")
    if due > latest + _TOLERANCE:
        return Hold(latest, f"{since}/{latest.isoformat()}")
    return Hold(due, note if noted else "")


def notes_in(slices: Iterable[Obj]) -> dict[str, str]:
    """What the slices of a Service remember, by pod uid; what can't be read is forgotten."""
    notes: dict[str, str] = {}
    for one in slices:
        if text := annotations_of(one).get(HOLDS_ANNOTATION):
            try:
                notes.update(msgspec.json.decode(text, type=dict[str, str]))
            except msgspec.DecodeError:
                continue
    return notes


def note_of(slices: Iterable[Obj], pod: Obj) -> str:
    return notes_in(slices).get(uid_of(pod), "")


def render_notes(notes: dict[str, str]) -> str:
    return msgspec.json.encode(notes, order="sorted").decode()
