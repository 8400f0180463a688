"""The demo's figures: from what was counted to what is printed and written as JSON. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nodrop.rehearse.lives import Lives
from nodrop.rehearse.summary import Histogram, Summary, milliseconds
from nodrop.rehearse.verdict import Stage, Stages, Verdict, judge_run, overlap_of


@dataclass(frozen=True, slots=True)
class Report:
    """All figures as JSON has them, and the verdict."""

    figures: dict[str, Any]
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        return 0 if self.verdict.result == "pass" else 1


def report_of(
    *,
    summary: Summary,
    stages: Stages,
    lives: Lives,
    memory_bytes: dict[str, int],
    seconds: float,
    rate: float,
) -> Report:
    """Put the figures together and judge them."""
    verdict = judge_run(stages, lives)
    rollouts = [_rollout(stage, stages, lives) for stage in stages.stages if stage.is_rollout]
    figures = {
        "verdict": verdict.result,
        "because": list(verdict.because),
        "requests": summary.total.requests,
        "lost": summary.total.lost,
        "rollouts": rollouts,
        "ready_to_traffic_ms": _ready_to_traffic(lives),
        "memory_bytes": memory_bytes,
        "seconds": round(seconds, 2),
        "rate": rate,
        "load": summary.figures(),
    }
    return Report(figures, verdict)


def _rollout(stage: Stage, stages: Stages, lives: Lives) -> dict[str, Any]:
    overlap = overlap_of(stage, stages, lives)
    seconds = stage.rollout_s
    return {
        "name": stage.name,
        "seconds": None if seconds is None else round(seconds, 2),
        **stage.tally.figures(),
        "terminations": overlap.terminations,
        "terminations_under_load": overlap.under_load,
    }


def _ready_to_traffic(lives: Lives) -> dict[str, Any]:
    """Of pods that became ready while requests were being sent: before, nobody asked them."""
    first = min((life.first_answer for life in lives.pods.values() if life.first_answer), default=0)
    histogram = Histogram()
    for life in lives.pods.values():
        waited_s = life.ready_to_traffic_s
        if waited_s is not None and life.ready is not None and life.ready >= first:
            histogram.add(waited_s)
    return {
        "pods": histogram.count,
        "p50": milliseconds(histogram.percentile_s(50)),
        "max": milliseconds(histogram.largest_s),
    }
