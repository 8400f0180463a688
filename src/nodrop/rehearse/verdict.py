"""What a rehearsal has shown: passed, lost something, or shown nothing. Pure.

A run in which no request met the end of a pod proves nothing about the end of pods, so it is
inconclusive and never passes.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from nodrop.rehearse.cause import Cause
from nodrop.rehearse.ledger import Completion, Ledger
from nodrop.rehearse.lives import Lives
from nodrop.rehearse.record import Record
from nodrop.rehearse.summary import Tally

Result = Literal["pass", "lost", "inconclusive"]


@dataclass(slots=True)
class Stage:
    """A stretch of the run, such as one rollout with the time it settles. Seconds of the loop."""

    name: str
    start: float
    is_rollout: bool = True
    revision: str = ""  # the pod-template-hash that it rolls out
    rolled_out: float | None = None  # complete, and all old pods gone
    tally: Tally = field(default_factory=Tally)

    @property
    def rollout_s(self) -> float | None:
        return None if self.rolled_out is None else self.rolled_out - self.start


@dataclass(slots=True)
class Stages:
    """Stages one after another; every request belongs to the one it was due in."""

    stages: list[Stage] = field(default_factory=list)
    _done: list[float] = field(default_factory=list)

    def begin(self, stage: Stage) -> None:
        self.stages.append(stage)

    def add(self, record: Record) -> None:
        starts = [stage.start for stage in self.stages]
        at = max(0, bisect_right(starts, record.intended) - 1)
        self.stages[at].tally.add(record)
        if record.sent:
            self._done.append(record.done)

    def end_of(self, stage: Stage) -> float:
        following = self.stages.index(stage) + 1
        return self.stages[following].start if following < len(self.stages) else float("inf")

    def ended_between(self, times: Sequence[tuple[float, float]]) -> list[int]:
        """How many requests ended in each of some stretches of time."""
        done = sorted(self._done)
        return [bisect_right(done, end) - bisect_left(done, start) for start, end in times]


@dataclass(frozen=True, slots=True)
class Overlap:
    """How many pods were ended in a stage, and how many of those ends met requests."""

    terminations: int
    under_load: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result, and one sentence for each reason."""

    result: Result
    because: tuple[str, ...]


def overlap_of(stage: Stage, stages: Stages, lives: Lives) -> Overlap:
    """Ends of pods that had served, and those during which requests were under way.

    Where no answer ever names a pod (a real cluster), a pod that was ready has served.
    """
    named = not lives.anonymous or any(life.first_answer for life in lives.pods.values())
    ended = [
        life
        for life in lives.ended(stage.start, stages.end_of(stage))
        if (life.first_answer if named else life.ready)
    ]
    ends = [
        (life.deleting, life.gone if life.gone is not None else float("inf"))
        for life in ended
        if life.deleting is not None
    ]
    return Overlap(len(ends), sum(number > 0 for number in stages.ended_between(ends)))


def judge_run(stages: Stages, lives: Lives) -> Verdict:
    """Lost anything: lost. Any rollout without ends of pods under load: inconclusive."""
    lost = [
        f"{stage.name}: {stage.tally.lost} of {stage.tally.requests} requests lost "
        f"({', '.join(f'{cause} {number}' for cause, number in stage.tally.causes().items())})"
        for stage in stages.stages
        if stage.tally.lost
    ]
    if lost:
        return Verdict("lost", tuple(lost))
    missing = tuple(
        reason
        for stage in stages.stages
        if stage.is_rollout and (reason := _gap(stage, stages, lives))
    )
    if missing or not any(stage.is_rollout for stage in stages.stages):
        return Verdict("inconclusive", missing or ("there was no rollout",))
    return Verdict("pass", ("every request was answered, and pods ended under load",))


def _gap(stage: Stage, stages: Stages, lives: Lives) -> str:
    """Why a rollout proves nothing, or an empty string."""
    if not stage.tally.requests:
        return f"{stage.name}: no request was sent"
    overlap = overlap_of(stage, stages, lives)
    if not overlap.terminations:
        return f"{stage.name}: no pod that had served was ended"
    if overlap.under_load < overlap.terminations:
        idle = overlap.terminations - overlap.under_load
        return f"{stage.name}: {idle} of {overlap.terminations} pods ended while no request ran"
    return ""


def completions_of(stages: Stages) -> list[Completion]:
    """From when on every answer should be of one revision, until the next stage begins."""
    return [
        Completion(stage.rolled_out, stages.end_of(stage), stage.revision)
        for stage in stages.stages
        if stage.rolled_out is not None and stage.revision
    ]


#: A load that is later than this at p99 did not send what it was asked to.
_LATEST_S = 0.25


def judge_rehearsal(
    ledger: Ledger, stages: Stages, lives: Lives, *, behind_p99_s: float
) -> Verdict:
    """Lost anything: lost. Nothing shown, or the rate not reached: inconclusive, never a pass."""
    unsent = ledger.causes().get(Cause.UNSENT, 0)
    if ledger.lost > unsent:
        causes = ", ".join(f"{cause} {number}" for cause, number in ledger.causes().items())
        return Verdict("lost", (f"{ledger.lost} of {ledger.requests} requests lost: {causes}",))
    doubts = []
    if unsent or behind_p99_s > _LATEST_S:
        doubts.append(
            f"the rate was not reached: {unsent} requests could not be sent, p99 "
            f"{behind_p99_s * 1000:.0f} ms behind schedule; lower --rate"
        )
    found = judge_run(stages, lives)
    if found.result == "inconclusive":
        doubts.extend(found.because)
    return Verdict("inconclusive", tuple(doubts)) if doubts else found
