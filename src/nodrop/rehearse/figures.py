"""A rehearsal's figures as JSON has them; every report is made from these. Pure.

Times are seconds since the load began; what came before is negative.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nodrop.rehearse.advice import Ending, advise
from nodrop.rehearse.ledger import Ledger, Loss
from nodrop.rehearse.lives import Life, Lives
from nodrop.rehearse.series import Series
from nodrop.rehearse.summary import Summary
from nodrop.rehearse.verdict import Stage, Stages, Verdict, overlap_of

_SHOWN_LOSSES = 1_000
#: How much of a pod's story goes with a loss.
_AROUND_S = 5.0
_STEPS = (
    ("seen", "created"),
    ("started", "started"),
    ("ready", "ready"),
    ("deleting", "told to end"),
    ("withdrawn", "out of the proxy, drained"),
    ("signalled_at", "SIGTERM"),
    ("exited", "ended"),
    ("gone", "gone"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What was rehearsed, for the report's head."""

    name: str
    mode: str
    place: str
    rate: float
    paths: Sequence[str]
    seed: int
    has_pre_stop: bool
    grace_s: float
    left_out: Sequence[str] = ()
    app: dict[str, Any] | None = None

    @property
    def ending(self) -> Ending:
        return Ending(
            drains=self.mode == "nodrop", has_pre_stop=self.has_pre_stop, grace_s=self.grace_s
        )


def figures_of(
    setting: Setting,
    *,
    ledger: Ledger,
    verdict: Verdict,
    summary: Summary,
    stages: Stages,
    lives: Lives,
    series: Series,
    ended: float,
) -> dict[str, Any]:
    """All there is to report."""
    zero = series.start
    return {
        "verdict": verdict.result,
        "because": list(verdict.because),
        "deployment": setting.name,
        "mode": setting.mode,
        "place": setting.place,
        "rate": setting.rate,
        "paths": list(setting.paths),
        "seed": setting.seed,
        "seconds": _at(ended, zero),
        "requests": ledger.requests,
        "answered": ledger.answered,
        "lost": ledger.lost,
        "causes": {str(cause): number for cause, number in ledger.causes().items()},
        "kinds": _kinds(ledger),
        "advice": _advice(ledger, setting),
        "losses": [_loss(loss, lives, zero) for loss in ledger.losses[:_SHOWN_LOSSES]],
        "acts": [_act(stage, stages, lives, ledger, zero) for stage in _rollouts(stages)],
        "pods": [_pod(life, zero, ledger) for life in lives.pods.values()],
        "series": series.rows(),
        "load": summary.figures(),
        "left_out": list(setting.left_out),
        "app": setting.app,
    }


def _rollouts(stages: Stages) -> list[Stage]:
    return [stage for stage in stages.stages if stage.is_rollout]


def _kinds(ledger: Ledger) -> list[dict[str, Any]]:
    return [
        {
            "cause": f"{kind.cause}{' of a stream' if kind.is_message else ''}",
            "phase": kind.phase,
            "version": kind.version,
            "requests": number,
        }
        for kind, number in ledger.kinds.most_common()
    ]


def _advice(ledger: Ledger, setting: Setting) -> list[dict[str, Any]]:
    found = advise(ledger, setting.ending)
    return [
        {
            "requests": number,
            "why": advice.why,
            "mend": advice.mend,
            "rules": list(advice.rules),
            "setting": advice.setting,
        }
        for advice, number in found
    ]


def _loss(loss: Loss, lives: Lives, zero: float) -> dict[str, Any]:
    life = lives.of(loss.pod)
    return {
        "request": loss.number,
        "at_s": _at(loss.at, zero),
        "method": loss.method,
        "path": loss.path,
        "status": loss.status,
        "cause": str(loss.cause),
        "detail": loss.detail,
        "pod": loss.pod,
        "version": loss.version,
        "phase": loss.phase,
        "sureness": loss.sureness,
        "around": story_of(life, loss.at, zero) if life else [],
    }


def story_of(life: Life, at: float, zero: float) -> list[dict[str, Any]]:
    """What happened to the pod around a time: steps within 5 s, and the last one before."""
    steps = [(when, told) for name, told in _STEPS if (when := getattr(life, name)) is not None]
    near = [step for step in steps if abs(step[0] - at) <= _AROUND_S]
    before = [step for step in steps if step[0] < at - _AROUND_S][-1:]
    return [
        {"at_s": _at(when, zero), "step": told, "before_s": round(at - when, 3)}
        for when, told in sorted([*before, *near])
    ]


def _act(stage: Stage, stages: Stages, lives: Lives, ledger: Ledger, zero: float) -> dict[str, Any]:
    overlap = overlap_of(stage, stages, lives)
    end = stages.end_of(stage)
    return {
        "name": stage.name,
        "at_s": _at(stage.start, zero),
        "seconds": None if stage.rollout_s is None else round(stage.rollout_s, 2),
        **stage.tally.figures(),
        "lost": sum(stage.start <= loss.intended < end for loss in ledger.losses)
        if ledger.lost <= len(ledger.losses)
        else stage.tally.lost,
        "terminations": overlap.terminations,
        "terminations_under_load": overlap.under_load,
    }


def _pod(life: Life, zero: float, ledger: Ledger) -> dict[str, Any]:
    losses = Counter(loss.pod for loss in ledger.losses)
    times = {
        name: _at(when, zero) for name, _ in _STEPS if (when := getattr(life, name)) is not None
    }
    return {
        "name": life.name,
        "version": life.version,
        "exit_code": life.exit_code,
        "has_pre_stop": life.has_pre_stop,
        "lost": losses[life.name],
        **times,
    }


def _at(when: float, zero: float) -> float:
    return round(when - zero, 3)
