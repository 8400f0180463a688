"""The references of metrics and Events are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from nodrop.events import Reason
from nodrop.metrics.catalog import CATALOG, render_reference

DOCS = Path(__file__).parents[3] / "docs/reference"


def test_the_table_of_metrics_is_the_catalogue() -> None:
    """To renew it: python -m nodrop.metrics.catalog"""
    page = (DOCS / "metrics.md").read_text(encoding="utf-8")
    assert render_reference() in page


def test_names_follow_the_conventions() -> None:
    for name, metric in CATALOG.items():
        assert re.fullmatch(r"nodrop_[a-z][a-z_]*", name)
        assert (metric.type == "counter") == name.endswith("_total")
        assert metric.type != "histogram" or name.endswith("_seconds")
        assert metric.help.endswith(".")


def test_every_reason_of_an_event_is_documented_and_no_other() -> None:
    page = (DOCS / "events.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([A-Za-z]+)` \|", page, re.MULTILINE)
    assert sorted(documented) == sorted(map(str, Reason))
