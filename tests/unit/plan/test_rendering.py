"""A plan as text, JSON and SVG."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from nodrop.plan.assumptions import Assumptions, StartUp
from nodrop.plan.report import PlanReport, as_json, report_of
from nodrop.plan.rows import bars_of, rows_of
from nodrop.plan.spans import Fate, PodSpan
from nodrop.plan.svg import render_svg
from nodrop.plan.text import Paper, render_text, seconds
from tests.unit.plan.support import course, new, old


def _report() -> PlanReport:
    stuck = course(old("a"), old("b"), new("c", 0.1, None))
    stuck = replace(stuck, fate=Fate(deadline_s=600.4), ended_s=601)
    return report_of([course()], [stuck], Assumptions())


def test_text() -> None:
    lines = render_text(_report(), Paper(columns=60)).splitlines()
    assert lines[0] == "deployment/web: 2 pods are replaced (maxSurge 1, maxUnavailable 0)"
    assert "  rolled out after       10.5 s; the last old pod is gone after 11 s" in lines
    assert "  least available        2 of 2 (promised: 2)" in lines
    assert "  most pods at once      3 (allowed: 3), 4 with those that are ending" in lines
    (row,) = [line for line in lines if line.startswith("  old a")]
    assert set(row.split()[-1]) == {"█", "░"}
    assert "    it stands still at 2 old and 1 new pods, 2 of 2 available; told after" in "\n".join(
        lines
    )
    assert "  web serves 5 s (assumed) after its start" in lines
    assert max(map(len, (line for line in lines if line.startswith("  old")))) <= 60


def test_colour_is_only_for_terminals() -> None:
    assert "\x1b[" not in render_text(_report(), Paper(80))
    assert "\x1b[32m█" in render_text(_report(), Paper(80, colour=True))


def test_json_is_json() -> None:
    told = json.loads(json.dumps(as_json(_report())))
    (one,) = told["deployments"]
    assert one["summary"]["duration_s"] == 11.0
    assert one["ifNeverReady"]["deadline_s"] == 600.4
    assert [pod["name"] for pod in one["pods"]] == ["a", "b", "c", "d"]


def test_svg_is_self_contained_and_says_who_is_what_when() -> None:
    text = render_svg(_report())
    root = ET.fromstring(text)
    assert root.tag.endswith("svg")
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    titles = [e.text for e in root.iter() if e.tag.endswith("title")]
    assert "old  a: available 0.00–5.10 s" in titles
    assert "new  c: starting 0.10–5.00 s" in titles


def test_svg_escapes() -> None:
    spans = replace(new("<d>&", 0.1, 5.0), version="new")
    ET.fromstring(render_svg(report_of([course(old("a", 5.1, 6), spans)], [], Assumptions())))


@pytest.mark.parametrize(
    ("pod", "min_ready_s", "phases"),
    [
        (new("n", 1, 3), 0, [("starting", 1, 3), ("available", 3, 10)]),
        (new("n", 1, 3), 2, [("starting", 1, 3), ("ready", 3, 5), ("available", 5, 10)]),
        (new("n", 1, None), 0, [("starting", 1, 10)]),
        (old("o", 4, 6), 2, [("available", 0, 4), ("ending", 4, 6)]),
    ],
)
def test_bars(pod: PodSpan, min_ready_s: int, phases: list[tuple[str, float, float]]) -> None:
    whole = replace(course(pod, minReadySeconds=min_ready_s), ended_s=10)
    assert [(bar.phase, bar.from_s, bar.to_s) for bar in bars_of(pod, whole)] == phases


def test_pods_that_live_alike_share_a_row_when_there_are_many() -> None:
    pods = [old(f"o{n}", 5.0 + n / 1000, 6) for n in range(50)] + [new("n", 0.1, 5)]
    rows = rows_of(course(*pods), most=10)
    assert [(row.version, row.count) for row in rows] == [("old", 50), ("new", 1)]
    assert rows[0].name == "o0 and 49 more"
    assert len(rows_of(course(*pods), most=60)) == 51


@pytest.mark.parametrize(
    ("value", "told"),
    [(0.0, "0 s"), (5.04, "5 s"), (5.26, "5.3 s"), (600.0, "10 min"), (3725.0, "1 h 2 min 5 s"),
     (None, "never")],
)  # fmt: skip
def test_seconds(value: float | None, told: str) -> None:
    assert seconds(value) == told


def test_start_up_says_where_it_is_from() -> None:
    assert str(StartUp((1.0, 2.5), "observed")) == "1–2.5 s (observed)"
