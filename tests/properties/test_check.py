"""The checker never breaks, points into the file, and mends to a fixed point."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nodrop.check.broken import BrokenManifest
from nodrop.check.fix import fixed_text, fixed_texts
from nodrop.check.judge import judge
from nodrop.check.output import FORMATS
from nodrop.check.output.report import Report
from nodrop.check.output.text import render
from nodrop.check.settings import Settings
from nodrop.check.source import Document, read_text
from nodrop.model.kinds import kind_of
from nodrop.model.meta import Obj
from tests.properties.odd_objects import mutated

ROOT = Path(__file__).parents[2]
MANY = 150
SETTINGS = Settings(peak_utilisation=0.7, start_up_s=30)
MANIFESTS = [
    document
    for file in sorted((ROOT / "tests/unit/check/well_made").glob("*.yaml"))
    for document in read_text(file.read_text(encoding="utf-8"), file=file.name, folder=Path())
]
PAGES = [
    block
    for page in sorted((ROOT / "docs/reference/rules").glob("ND*.md"))
    for block in page.read_text(encoding="utf-8").split("```yaml\n")[1:]
]
BLOCKS = [block.partition("```")[0] for block in PAGES]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["25%", "http"])
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def looked_at(documents: list[Document]) -> None:
    """Judge and show in every format; every place lies inside the file."""
    findings = judge(documents, SETTINGS)
    for finding in findings:
        where, text = finding.position, finding.document.text
        lines = text.split("\n")
        assert 1 <= where.line <= where.end_line <= max(1, len(lines))
        if text:
            assert 1 <= where.column <= len(lines[where.line - 1]) + 1
            assert 1 <= where.end_column <= len(lines[where.end_line - 1]) + 1
    report = Report(findings, tuple(dict.fromkeys(one.file for one in documents)))
    assert render(report)
    assert all(form(report) for form in FORMATS.values())


def written(objects: list[Obj], *, as_json: bool) -> str:
    """Objects as text again: every document in one file."""
    if as_json:
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    return yaml.safe_dump_all(objects, allow_unicode=True)


@settings(max_examples=MANY, deadline=None)
@given(st.randoms(use_true_random=False), st.booleans())
def test_odd_values_in_real_manifests_break_nothing(rng: random.Random, as_json: bool) -> None:
    objects = []
    for document in rng.sample(MANIFESTS, 4):
        obj = document.obj
        for _ in range(rng.randint(0, 6)):
            if kind := kind_of(obj["apiVersion"], obj["kind"]):
                obj = mutated(obj, kind, rng)
        objects.append(obj)
    text = written(objects, as_json=as_json)
    try:
        documents = list(read_text(text, file="odd.yaml", folder=Path()))
    except BrokenManifest:
        return  # e.g. a name that is gone
    looked_at(documents)
    mended = fixed_text(text, file="odd.yaml", settings=SETTINGS)
    assert fixed_text(mended, file="odd.yaml", settings=SETTINGS) == mended


@settings(max_examples=MANY, deadline=None)
@given(st.data())
def test_any_tree_at_any_place_breaks_nothing(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(MANIFESTS))
    tree = json.loads(json.dumps(document.obj))
    holder: Any = tree
    while True:
        steps = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        step = data.draw(st.sampled_from(steps))
        inner = holder[step]
        if isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
            holder = inner
            continue
        holder[step] = data.draw(TREES)
        break
    tree["apiVersion"], tree["kind"] = document.obj["apiVersion"], document.obj["kind"]
    tree["metadata"] = document.obj["metadata"]
    looked_at([replace(document, obj=tree), document])


@settings(max_examples=MANY, deadline=None)
@given(st.text(), st.sampled_from(BLOCKS), st.integers(0, 3000), st.integers(0, 40))
def test_any_text_is_read_or_refused(text: str, block: str, at: int, cut: int) -> None:
    """A page's manifest with characters put in and cut out, as while somebody types."""
    typed = block[:at] + text + block[at + cut :]
    try:
        documents = list(read_text(typed, file="typed.yaml", folder=Path()))
    except BrokenManifest:
        return
    looked_at(documents)
    if documents:
        once = fixed_texts(documents, SETTINGS).get("typed.yaml", typed)
        assert fixed_text(once, file="typed.yaml", settings=SETTINGS) == once
