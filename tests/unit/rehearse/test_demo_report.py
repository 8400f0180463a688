"""The demo's figures, its display, and what it finds to deploy."""

from __future__ import annotations

import json
from io import StringIO

import pytest
import yaml
from rich.console import Console, RenderableType

from nodrop.cli.demo_examples import FIRST, STEPS, demo_script, hello_folder
from nodrop.cli.demo_report import Report, report_of
from nodrop.cli.demo_view import Picture, Window, plain_line, render_picture, render_report
from nodrop.rehearse.lives import Life, Lives, Phase
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.summary import Summary
from nodrop.rehearse.verdict import Stage, Stages


def answer(at: float, outcome: Outcome = Outcome.OK, *, pod: str = "old") -> Record:
    version = "v1" if outcome is Outcome.OK else ""
    return Record(int(at * 1000), at, at, at + 0.02, outcome, 200, "GET", version, pod, False)


def report(*records: Record) -> Report:
    lives = Lives(
        {
            "first": Life("first", "v1", 0, ready=0.5, first_answer=1.0),
            "old": Life("old", "v1", 0, ready=1.5, deleting=3, gone=4, first_answer=1.51),
        }
    )
    stages, summary = Stages(), Summary()
    stages.begin(Stage("before", 1, is_rollout=False))
    stages.begin(Stage("v1 → v2", 2, rolled_out=5.5))
    for record in records:
        stages.add(record)
        summary.add(record)
    memory = {"engine": 50 << 20, "keeper": 10 << 20, "proxy": 20 << 20, "total": 80 << 20}
    return report_of(
        summary=summary, stages=stages, lives=lives, memory_bytes=memory, seconds=6, rate=500
    )


def text_of(what: RenderableType) -> str:
    out = StringIO()
    Console(file=out, width=120).print(what)
    return out.getvalue()


def test_a_passing_run() -> None:
    found = report(answer(1.2), answer(2.5), answer(3.5))
    assert found.exit_code == 0
    figures = json.loads(json.dumps(found.figures))
    assert (figures["verdict"], figures["requests"], figures["lost"]) == ("pass", 3, 0)
    assert figures["ready_to_traffic_ms"] == {"pods": 1, "p50": 10.0, "max": 10.0}
    (rollout,) = figures["rollouts"]
    assert (rollout["name"], rollout["requests"], rollout["seconds"]) == ("v1 → v2", 2, 3.5)
    assert (rollout["terminations"], rollout["terminations_under_load"]) == (1, 1)
    printed = text_of(render_report(figures))
    for part in ("v1 → v2", "3.5", "1/1", "lost: 0", "80 MiB", "verdict: pass"):
        assert part in printed


@pytest.mark.parametrize(
    ("records", "verdict"),
    [
        ([answer(2.5), answer(3.5, Outcome.RESET)], "lost"),
        ([answer(2.5)], "inconclusive"),
    ],
)
def test_a_run_that_lost_or_showed_nothing_fails(records: list[Record], verdict: str) -> None:
    found = report(*records)
    assert (found.verdict.result, found.exit_code) == (verdict, 1)
    assert f"verdict: {verdict}" in text_of(render_report(found.figures))


def test_the_picture() -> None:
    pods: dict[tuple[str, Phase], int] = {("v1", "ready"): 3, ("v2", "starting"): 1}
    picture = Picture("v1 → v2", 1.25, pods, {"v1": 499, "lost": 1}, 0.0123, 700, 1)
    line = plain_line(picture)
    assert line == (
        "[v1 → v2] pods v1:3 ready v2:1 starting | lost:1/s v1:499/s | "
        "p99 12.3 ms, 700 requests, 1 lost"
    )
    drawn = text_of(render_picture(picture))
    for part in ("v1 → v2", "starting", "499", "12.3 ms", "1 lost"):
        assert part in drawn


def test_the_window_holds_one_second() -> None:
    window = Window()
    window.add([answer(1.0), answer(1.5), answer(1.9, Outcome.RESET)])
    assert window.rates(2.1) == {"v1": 1, "lost": 1}
    assert window.p99_s(2.1) == pytest.approx(0.02, rel=0.03)
    assert window.rates(9) == {}


def test_the_demos_manifests() -> None:
    """They differ in version, in what SIGTERM does, and in grace; nothing has a preStop hook."""
    files = {FIRST, *(step.file for step in STEPS if step.file)}
    assert files == {"v1.yaml", "v2.yaml", "v3.yaml", "v4.yaml"}
    on_sigterm = {}
    for file in files:
        deployment, *_ = yaml.safe_load_all((hello_folder() / file).read_text())
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        environment = {each["name"]: each.get("value") for each in container["env"]}
        assert container["image"] == f"hello:{environment['VERSION']}"
        assert "lifecycle" not in container
        assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
        on_sigterm[environment["VERSION"]] = environment["ON_SIGTERM"]
    assert on_sigterm == {"v1": "graceful", "v2": "graceful", "v3": "exit", "v4": "ignore"}


def test_the_demo_may_hurry() -> None:
    deployment, *_ = demo_script().objects(FIRST, surge=2)
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 2
