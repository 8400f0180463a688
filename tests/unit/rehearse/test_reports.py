"""The reports say what the figures say: terminal, JUnit and one HTML page."""

from __future__ import annotations

import io
import json
import re
from xml.etree import ElementTree

from rich.console import Console

from nodrop.cli.rehearse_view import render_summary
from nodrop.rehearse.junit import render_junit
from nodrop.rehearse.page import render_page
from tests.unit.rehearse.figures import small_figures


def test_figures_add_up_and_can_be_json() -> None:
    figures = json.loads(json.dumps(small_figures()))
    assert figures["requests"] == figures["answered"] + figures["lost"] == 200
    assert figures["verdict"] == "lost"
    assert figures["causes"] == {"503 from the proxy": 3}
    assert figures["acts"][0]["lost"] == 3
    assert sum(sum(row["answered"].values()) + row["lost"] for row in figures["series"]) == 200
    assert [pod["lost"] for pod in figures["pods"]] == [3, 0]


def test_a_loss_tells_the_story_around_it() -> None:
    loss = small_figures()["losses"][0]
    assert (loss["pod"], loss["phase"], loss["sureness"]) == ("web-a", "after SIGTERM", "named")
    steps = [step["step"] for step in loss["around"]]
    assert steps.index("told to end") < steps.index("ended")


def test_junit_counts_what_failed() -> None:
    suite = ElementTree.fromstring(render_junit(small_figures()).split("\n", 1)[1])
    assert suite.get("failures") == "2"
    assert suite.find(".//failure[@message='3 of 160 requests lost']") is not None
    green = ElementTree.fromstring(render_junit(small_figures(lost=0)).split("\n", 1)[1])
    assert (green.get("failures"), green.get("errors")) == ("0", "0")


def test_inconclusive_is_never_a_pass_in_junit() -> None:
    figures = small_figures(lost=0) | {"verdict": "inconclusive"}
    suite = ElementTree.fromstring(render_junit(figures).split("\n", 1)[1])
    assert suite.get("errors") == "1"


def test_the_page_is_whole_and_needs_no_network() -> None:
    page = render_page(small_figures(name="<web>"))
    assert "<web>" not in page
    assert "&lt;web&gt;" in page
    assert re.findall(r"""(?:src|href)\s*=|https?://|@import|url\(""", page) == []
    data = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["lost"] == 3
    assert page.count('class="mark"') == 2 * 3  # in the wide and the narrow picture


def test_the_terminal_summary_names_cause_phase_and_mend() -> None:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render_summary(small_figures()))
    text = console.export_text()
    for part in ("503 from the proxy", "after SIGTERM", "preStop", "ND301", "lost: 3 of 200"):
        assert part in text
