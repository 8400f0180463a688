"""The rows of a chart: pods, or groups that live alike, and what each is at a time; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nodrop.plan.spans import Course, PodSpan, Version

Phase = Literal["starting", "ready", "available", "ending"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of one phase."""

    phase: Phase
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class Row:
    """``count`` pods of one version that live alike; ``bars`` are those of the first of them."""

    name: str
    version: Version
    count: int
    bars: tuple[Bar, ...]


def rows_of(course: Course, *, most: int) -> tuple[Row, ...]:
    """One row a pod; if that were more than ``most``, one for all pods that live alike, as
    exactly as it takes."""
    ordered = sorted(course.pods, key=_order)
    for grain_s in (0.0, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0, 86400.0):
        groups = _groups(ordered, grain_s)
        if len(groups) <= most:
            break
    return tuple(_row(group, course) for group in groups)


def bars_of(pod: PodSpan, course: Course) -> tuple[Bar, ...]:
    """What a pod is, from its creation to its end."""
    end_s = course.ended_s if pod.gone_s is None else pod.gone_s
    leaves_s = end_s if pod.deleted_s is None else pod.deleted_s
    bars: list[Bar] = []
    at_s = max(0.0, pod.created_s)
    available = list(pod.available(course.min_ready_s))
    for begin_s, until_s in pod.ready:
        until_s = min(leaves_s, leaves_s if until_s is None else until_s)
        counts_s = next((a for a, b in available if begin_s <= a < b and a <= until_s), until_s)
        _add(bars, "starting", at_s, begin_s)
        _add(bars, "ready", max(at_s, begin_s), counts_s)
        _add(bars, "available", max(at_s, counts_s), until_s)
        at_s = max(at_s, until_s)
    _add(bars, "starting", at_s, leaves_s)
    _add(bars, "ending", max(leaves_s, 0.0), end_s)
    return tuple(bars)


# Private


def _add(bars: list[Bar], phase: Phase, from_s: float, to_s: float) -> None:
    if from_s < to_s:
        bars.append(Bar(phase, from_s, to_s))


def _order(pod: PodSpan) -> tuple[object, ...]:
    """Old pods in the order in which they go, then new ones in the order in which they come."""
    forever = float("inf")
    gone_s = forever if pod.deleted_s is None else pod.deleted_s
    return (pod.version == "new", pod.created_s if pod.version == "new" else 0.0, gone_s, pod.name)


def _groups(pods: Sequence[PodSpan], grain_s: float) -> list[list[PodSpan]]:
    if not grain_s:
        return [[pod] for pod in pods]
    groups: dict[object, list[PodSpan]] = {}
    for pod in pods:
        times = (pod.created_s, pod.ready_s, pod.deleted_s, pod.gone_s)
        alike = tuple(None if at_s is None else int(at_s / grain_s) for at_s in times)
        groups.setdefault((pod.version, alike), []).append(pod)
    return list(groups.values())


def _row(group: Sequence[PodSpan], course: Course) -> Row:
    first = group[0]
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return Row(first.name + more, first.version, len(group), bars_of(first, course))
