"""Event in its newer form, events.k8s.io/v1, and in the one that is stored, core/v1; pure.

Source: upstream's conversions (pkg/apis/events/v1/conversion.go), validation (pkg/apis/core/
validation/events.go): both forms show the same objects, fields only have other names.
"""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.kinds import EVENT, EVENTS_EVENT
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import forbidden, invalid, required, too_long, unsupported

#: Names of fields: newer form, stored form.
_NAMES = (
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
)
_TO_STORED = dict(_NAMES)
_TO_NEWER = {stored: newer for newer, stored in _NAMES}
_REFERENCE = ("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid")
#: What field selectors of the newer form are called in the stored one.
STORED_LABELS = {
    "metadata.name": "metadata.name",
    "metadata.namespace": "metadata.namespace",
    "reason": "reason",
    "type": "type",
    "reportingController": "reportingComponent",
    **{f"regarding.{name}": f"involvedObject.{name}" for name in _REFERENCE},
}
_LONGEST = {"reason": 128, "action": 128, "reportingInstance": 128, "note": 1024}
_NEEDED = ("reportingController", "reportingInstance", "action", "reason")
_TYPES = ("Normal", "Warning")


def newer_event(event: Obj) -> Obj:
    """The stored Event as events.k8s.io/v1 shows it; ``eventTime`` is always there, or null."""
    named = {_TO_NEWER.get(name, name): value for name, value in event.items()}
    named |= {"apiVersion": EVENTS_EVENT.api_version, "kind": EVENTS_EVENT.kind}
    return {**named, "eventTime": event.get("eventTime")}


def stored_event(event: Obj) -> Obj:
    """An events.k8s.io/v1 Event as it is stored. What the form doesn't know is dropped."""
    named = {
        _TO_STORED.get(name, name): value
        for name, value in event.items()
        if name not in _TO_NEWER and value is not None
    }
    return {**named, "apiVersion": EVENT.api_version, "kind": EVENT.kind}


def validate_newer_event(event: Obj) -> list[Cause]:
    """Causes against a new Event of the newer form, which asks for more than the stored one."""
    causes = [] if event.get("eventTime") else [required("eventTime")]
    causes += [required(name) for name in _NEEDED if not event.get(name)]
    causes += [
        too_long(name, most) for name, most in _LONGEST.items() if len(event.get(name) or "") > most
    ]
    if event.get("type") not in _TYPES:
        causes.append(unsupported("type", event.get("type") or "", _TYPES))
    causes += [
        forbidden(name, "needs to be unset")
        for name in ("deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp")
        if event.get(name)
    ]
    if event.get("deprecatedCount"):
        causes.append(forbidden("deprecatedCount", "needs to be unset"))
    series = event.get("series")
    if series is not None and (series.get("count") or 0) < 2:
        causes.append(invalid("series.count", series.get("count") or 0, "should be at least 2"))
    return causes
