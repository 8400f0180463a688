"""The verdict: nothing lost is a pass only if pods ended while requests ran (S5, S14)."""

from __future__ import annotations

from typing import Literal

import pytest

from nodrop.client.protocol import WatchEvent
from nodrop.model.meta import Obj, Revision
from nodrop.rehearse.lives import Lives, version_of
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.verdict import Stage, Stages, judge_run, overlap_of


def pod(name: str, *, ready: bool = False, deleting: bool = False, image: str = "hello:v1") -> Obj:
    metadata: Obj = {"name": name}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {
        "metadata": metadata,
        "spec": {"containers": [{"image": image}]},
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def seen(
    lives: Lives, obj: Obj, at: float, kind: Literal["ADDED", "MODIFIED", "DELETED"] = "MODIFIED"
) -> None:
    lives.observe(WatchEvent(kind, obj, Revision(1)), at)


def answer(at: float, pod_name: str = "a", outcome: Outcome = Outcome.OK) -> Record:
    return Record(int(at * 1000), at, at, at + 0.01, outcome, 200, "GET", "v1", pod_name, False)


def lives_of_a_pod() -> Lives:
    """Seen at 1, ready at 2, deleted at 10, gone at 12."""
    lives = Lives()
    seen(lives, pod("a"), 1, "ADDED")
    seen(lives, pod("a", ready=True), 2)
    seen(lives, pod("a", ready=True, deleting=True), 10)
    seen(lives, pod("a", deleting=True), 12, "DELETED")
    return lives


def test_a_life_is_read_from_the_watch() -> None:
    lives = Lives()
    phases = []
    for at, obj in enumerate((pod("a"), pod("a", ready=True), pod("a", deleting=True))):
        seen(lives, obj, at)
        phases.append(lives.pods["a"].phase)
    assert phases == ["starting", "ready", "terminating"]
    assert lives.count() == {("v1", "terminating"): 1}
    seen(lives, pod("a", deleting=True), 9, "DELETED")
    assert lives.count() == {}
    life = lives.pods["a"]
    assert (life.seen, life.ready, life.deleting, life.gone) == (0, 1, 2, 9)


def test_ready_to_traffic_ends_with_the_first_answer_less_the_time_asked_for() -> None:
    lives = lives_of_a_pod()
    assert lives.pods["a"].ready_to_traffic_s is None
    lives.answered([answer(2.5), answer(2.2, outcome=Outcome.STATUS_5XX)])
    assert lives.pods["a"].ready_to_traffic_s == pytest.approx(0.51)
    slow = Record(9, 2.1, 2.1, 2.43, Outcome.OK, 200, "GET", "v1", "a", False, 0.3)
    lives.answered([slow])
    assert lives.pods["a"].ready_to_traffic_s == pytest.approx(0.13)
    lives.answered([answer(1.5)])
    assert lives.pods["a"].ready_to_traffic_s == 0


@pytest.mark.parametrize(
    ("image", "version"),
    [("hello:v1", "v1"), ("localhost:5000/x/hello:2.0", "2.0"), ("hello", "latest")],
)
def test_versions(image: str, version: str) -> None:
    assert version_of(pod("a", image=image)) == version


def run_with(records: list[Record], lives: Lives) -> Stages:
    stages = Stages()
    stages.begin(Stage("warm-up", 0, is_rollout=False))
    stages.begin(Stage("roll", 9))
    lives.answered(records)
    for record in records:
        stages.add(record)
    return stages


def test_a_pass_needs_requests_during_the_ends_of_pods() -> None:
    lives = lives_of_a_pod()
    stages = run_with([answer(at) for at in (3, 9.5, 11, 13)], lives)
    assert judge_run(stages, lives).result == "pass"
    overlap = overlap_of(stages.stages[1], stages, lives)
    assert (overlap.terminations, overlap.under_load) == (1, 1)
    assert [stage.tally.requests for stage in stages.stages] == [1, 3]


def test_a_loss_is_a_loss_wherever_it_happens() -> None:
    lives = lives_of_a_pod()
    stages = run_with([answer(3, outcome=Outcome.RESET), answer(11)], lives)
    verdict = judge_run(stages, lives)
    assert verdict.result == "lost"
    assert verdict.because == ("warm-up: 1 of 1 requests lost (reset 1)",)


@pytest.mark.parametrize(
    ("times", "why"),
    [
        ((3.0, 9.5, 13.0), "1 of 1 pods ended while no request ran"),
        ((3.0,), "no request was sent"),
    ],
)
def test_a_load_beside_the_ends_of_pods_is_inconclusive(times: tuple[float, ...], why: str) -> None:
    lives = lives_of_a_pod()
    verdict = judge_run(run_with([answer(at) for at in times], lives), lives)
    assert verdict.result == "inconclusive"
    assert why in verdict.because[0]


def test_a_rollout_that_ended_no_pod_that_served_is_inconclusive() -> None:
    lives = lives_of_a_pod()
    stages = run_with([answer(at, pod_name="other") for at in (3, 9.5, 11)], lives)
    verdict = judge_run(stages, lives)
    assert verdict.because == ("roll: no pod that had served was ended",)


def test_no_rollout_at_all_is_inconclusive() -> None:
    stages = Stages()
    stages.begin(Stage("warm-up", 0, is_rollout=False))
    stages.add(answer(1))
    assert judge_run(stages, Lives()).result == "inconclusive"
