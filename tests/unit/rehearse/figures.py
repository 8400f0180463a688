"""Figures of a small rehearsal in cluster mode, made by the code that makes them."""

from __future__ import annotations

from typing import Any

from nodrop.rehearse.figures import Setting, figures_of
from nodrop.rehearse.ledger import Evidence, write_ledger
from nodrop.rehearse.lives import Life, Lives
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.series import Series
from nodrop.rehearse.summary import Summary
from nodrop.rehearse.verdict import Stage, Stages, judge_rehearsal


def small_figures(*, lost: int = 3, name: str = "web") -> dict[str, Any]:
    """Ten seconds at 20 requests/s; the old pod ends at 4 s and loses the first ``lost`` after."""
    old = Life("web-a", "v1", 98.0, uid="a", ready=99.0, deleting=104.0, signalled=104.0,
               exited=104.2, exit_code=0, gone=104.3, first_answer=100.0)  # fmt: skip
    new = Life("web-b", "v2", 102.0, uid="b", ready=103.0)
    lives, series, summary, stages = Lives(), Series(100.0), Summary(), Stages()
    lives.pods |= {"web-a": old, "web-b": new}
    lives._by_uid |= {"a": old, "b": new}
    stages.begin(Stage("before", 100.0, is_rollout=False))
    stages.begin(Stage("rolling <restart>", 102.0, rolled_out=104.3))
    evidence = Evidence()
    for number in range(200):
        at = 100.0 + number / 20
        fails = 104.0 <= at < 104.0 + lost / 20
        pod = "a_127.0.0.1_80" if at < 104 or fails else "b_127.0.0.1_80"
        outcome = Outcome.STATUS_5XX if fails else Outcome.OK
        record = Record(number, at, at, at + 0.01, outcome, 503 if fails else 200, "GET", "", pod,
                        False, path="/<a>")  # fmt: skip
        evidence.add_all([record])
        summary.add(record)
        stages.add(record)
        series.add(record, "v1" if pod.startswith("a") else "v2")
    ledger = write_ledger(evidence, lives)
    setting = Setting(name=name, mode="cluster", place="engine", rate=20, paths=("/",), seed=1,
                      has_pre_stop=False, grace_s=30.0)  # fmt: skip
    return figures_of(
        setting,
        ledger=ledger,
        verdict=judge_rehearsal(ledger, stages, lives, behind_p99_s=0.0),
        summary=summary,
        stages=stages,
        lives=lives,
        series=series,
        ended=110.0,
    )
