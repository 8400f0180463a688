"""From pods and their times to what a person wants to know: levels, waves, durations; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from nodrop.model.intstr import resolve_fenceposts
from nodrop.plan.spans import Course, PodSpan, Version

#: What happens within this time of the event before belongs together.
TOGETHER_S = 0.25

What = Literal["starts", "ready", "traffic", "available", "leaves", "signalled", "gone"]
#: In the order in which they happen to one pod: the order of those that happen together.
_ORDER: tuple[What, ...] = (
    "gone", "signalled", "starts", "ready", "traffic", "available", "leaves",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Moment:
    """The same thing happens to pods of one version, from ``at_s`` to ``until_s``."""

    at_s: float
    until_s: float
    what: What
    version: Version
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wave:
    """New pods that start together, and all that follows until the next ones start."""

    number: int
    at_s: float
    until_s: float
    moments: tuple[Moment, ...]

    def count(self, what: What, version: Version) -> int:
        return sum(len(m.pods) for m in self.moments if (m.what, m.version) == (what, version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The numbers of one Deployment's rollout; times in seconds since it was applied.

    ``most`` counts pods that are not being ended, ``most_processes`` all that run; ``reduced_s``
    is the longest stretch with fewer than ``desired`` available. ``complete_s`` is when
    ``kubectl rollout status`` returns, ``duration_s`` when the last old pod is gone. ``floor``
    and ``ceiling`` are what maxUnavailable and maxSurge promise.
    """

    desired: int
    floor: int
    ceiling: int
    least: int
    least_at_s: float
    most: int
    most_at_s: float
    most_processes: int
    reduced_s: float
    complete_s: float | None
    duration_s: float | None
    waves: tuple[Wave, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """What becomes of it when no new pod ever serves.

    ``deadline_s`` is None when nothing tells; ``unnoticed``: the broken version is rolled out,
    because containers without a readinessProbe count as ready while they run.
    """

    old: int
    new: int
    available: int
    deadline_s: float | None
    message: str
    unnoticed: bool = False


def summarize(course: Course) -> Summary:
    """All numbers of a course that came to its end."""
    least, least_at_s = _extreme(_available(course), min)
    most, most_at_s = _extreme(_active(course), max)
    floor, ceiling = bounds(course)
    return Summary(
        desired=course.desired,
        floor=floor,
        ceiling=ceiling,
        least=least,
        least_at_s=least_at_s,
        most=most,
        most_at_s=most_at_s,
        most_processes=_extreme(_running(course), max)[0],
        reduced_s=longest_below(_available(course), course.desired, course.ended_s),
        complete_s=course.fate.complete_s,
        duration_s=course.fate.settled_s,
        waves=waves_of(course),
    )


def stuck_of(course: Course) -> Stuck:
    """What is left when the run of a version that never is ready ends."""
    alive = [pod for pod in course.pods if pod.deleted_s is None and pod.gone_s is None]
    return Stuck(
        old=sum(pod.version == "old" for pod in alive),
        new=sum(pod.version == "new" for pod in alive),
        available=level_at(_available(course), course.ended_s),
        deadline_s=course.fate.deadline_s,
        message=course.fate.message,
        unnoticed=course.fate.complete_s is not None,
    )


def bounds(course: Course) -> tuple[int, int]:
    """(floor, ceiling) as the new spec promises them; while it scales, from the smaller size to
    the larger one."""
    spec = course.new["spec"]
    before = course.desired if course.old is None else int(course.old["spec"]["replicas"])
    largest = max(before, int(spec["replicas"]))
    if spec["strategy"]["type"] == "Recreate":
        return 0, largest
    rolling = spec["strategy"]["rollingUpdate"]
    _, down = resolve_fenceposts(rolling["maxSurge"], rolling["maxUnavailable"], course.desired)
    up, _ = resolve_fenceposts(rolling["maxSurge"], rolling["maxUnavailable"], largest)
    floor = 0 if course.old is None else max(0, course.desired - down)
    return floor, largest + up


# Levels: steps of (second, level from then on), one step a second at most.

Level = Sequence[tuple[float, int]]


def level_of(intervals: Iterable[tuple[float, float | None]]) -> Level:
    """How many intervals are open; one that ends where another begins leaves no gap or bump."""
    steps: dict[float, int] = {0.0: 0}
    for begin_s, end_s in intervals:
        steps[max(0.0, begin_s)] = steps.get(max(0.0, begin_s), 0) + 1
        if end_s is not None:
            steps[max(0.0, end_s)] = steps.get(max(0.0, end_s), 0) - 1
    times = sorted(steps)
    return list(zip(times, accumulate(steps[at] for at in times), strict=True))


def level_at(level: Level, at_s: float) -> int:
    """The level at a second."""
    return next((count for since_s, count in reversed(level) if since_s <= at_s), 0)


def longest_below(level: Level, wanted: int, ended_s: float) -> float:
    """The longest stretch below ``wanted``; one that lasts to the end ends there."""
    longest_s, since_s = 0.0, None
    for at_s, count in [*level, (ended_s, wanted)]:
        if count < wanted:
            since_s = at_s if since_s is None else since_s
        elif since_s is not None:
            longest_s, since_s = max(longest_s, at_s - since_s), None
    return longest_s


# Waves


def moments_of(course: Course) -> tuple[Moment, ...]:
    """Everything that happens after the change, gathered, in order."""
    found: list[Moment] = []
    for version in ("old", "new"):
        pods = [pod for pod in course.pods if pod.version == version]
        for what in _ORDER:
            times = [
                (at_s, p.name) for p in pods if (at_s := _time_of(p, what, course)) is not None
            ]
            found += _gathered([one for one in times if one[0] > 0], what, version)
    return tuple(sorted(found, key=lambda m: (m.at_s, _ORDER.index(m.what), m.version)))


def waves_of(course: Course) -> tuple[Wave, ...]:
    """The moments cut wherever pods start; what comes before the first start is part of it."""
    moments = moments_of(course)
    if not moments:
        return ()
    cuts = [at for at, moment in enumerate(moments) if moment.what == "starts"]
    starts = [0, *cuts[1:]]
    ends = [*starts[1:], len(moments)]
    return tuple(
        _wave(number, moments[begin:end])
        for number, (begin, end) in enumerate(zip(starts, ends, strict=True), 1)
    )


# Private


def _wave(number: int, moments: tuple[Moment, ...]) -> Wave:
    return Wave(number, moments[0].at_s, max(m.until_s for m in moments), moments)


def _time_of(pod: PodSpan, what: What, course: Course) -> float | None:
    match what:
        case "starts":
            return pod.started_s
        case "ready":
            return pod.ready_s
        case "traffic":
            if pod.routed_s is None or pod.ready_s is None:
                return None
            return pod.routed_s if pod.routed_s - pod.ready_s > TOGETHER_S else None
        case "available":
            if not course.min_ready_s:
                return None
            return next((begin_s for begin_s, _ in pod.available(course.min_ready_s)), None)
        case "leaves":
            return pod.deleted_s
        case "signalled":
            return pod.signalled_s
        case "gone":
            return pod.gone_s


def _gathered(times: Iterable[tuple[float, str]], what: What, version: Version) -> Iterable[Moment]:
    together: list[tuple[float, str]] = []
    for one in sorted(times):
        if together and one[0] - together[-1][0] > TOGETHER_S:
            yield _moment(together, what, version)
            together = []
        together.append(one)
    if together:
        yield _moment(together, what, version)


def _moment(together: Sequence[tuple[float, str]], what: What, version: Version) -> Moment:
    names = tuple(name for _, name in together)
    return Moment(together[0][0], together[-1][0], what, version, names)


def _available(course: Course) -> Level:
    return level_of(
        (begin_s, end_s if end_s <= course.ended_s else None)
        for pod in course.pods
        for begin_s, end_s in pod.available(course.min_ready_s)
    )


def _active(course: Course) -> Level:
    return level_of(
        (p.created_s, p.gone_s if p.deleted_s is None else p.deleted_s) for p in course.pods
    )


def _running(course: Course) -> Level:
    return level_of((p.created_s, p.gone_s) for p in course.pods)


def _extreme(level: Level, choose: Callable[[list[int]], int]) -> tuple[int, float]:
    """(the level, since when): the least or the largest, and when it first is that."""
    value = choose([count for _, count in level])
    return value, next(at_s for at_s, count in level if count == value)
