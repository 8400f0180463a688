"""Mends change what they must: comments, order, quotes and line ends stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.check.edits import edited, edits_of
from nodrop.check.finding import Change, Prefix, RenameKey, SetValue
from nodrop.check.fix import diff_of
from nodrop.check.source import read_text

HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def changed(text: str, *changes: Change) -> str:
    (document,) = read_text(HEAD + text, file="a.yaml", folder=Path())
    edits = [edit for change in changes if (edit := edits_of(document, change))]
    return edited(HEAD + text, edits).removeprefix(HEAD)


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ("spec:\n  a: 1 # one\n", SetValue(("spec", "a"), 2), "spec:\n  a: 2 # one\n"),
        ("spec: {a: '1', b: 2}\n", SetValue(("spec", "a"), 2), "spec: {a: 2, b: 2}\n"),
        ("spec: {a: 1}\n", SetValue(("spec", "b"), 2), "spec: {a: 1, b: 2}\n"),
        (
            "spec:\n  a: 1 # one\n\n# end\n",
            SetValue(("spec", "b"), 2),
            "spec:\n  a: 1 # one\n  b: 2\n\n# end\n",
        ),
        ("spec:\n  a: 1", SetValue(("spec", "b"), 2), "spec:\n  a: 1\n  b: 2\n"),
        (
            "spec:\n  a: |\n    x\n    y\nlast: 1\n",
            SetValue(("spec", "b", "c"), 2),
            "spec:\n  a: |\n    x\n    y\n  b:\n    c: 2\nlast: 1\n",
        ),
        (
            "list:\n- a: 1\n  b: [1, 2]\n- a: 2\n",
            SetValue(("list", 0, "c"), {"d": {"e": 1}}),
            "list:\n- a: 1\n  b: [1, 2]\n  c:\n    d:\n      e: 1\n- a: 2\n",
        ),
        (
            "hook:\n  exec:\n    command: [sleep, '5'] # wait\nx: 1\n",
            SetValue(("hook",), {"sleep": {"seconds": 5}}),
            "hook:\n  sleep:\n    seconds: 5\nx: 1\n",
        ),
        (
            "hook: {exec: {command: [sleep, '5']}} # wait\n",
            SetValue(("hook",), {"sleep": {"seconds": 5}}),
            "hook: {sleep: {seconds: 5}} # wait\n",
        ),
        ("spec:\n  nmae: 1 # x\n", RenameKey(("spec", "nmae"), "name"), "spec:\n  name: 1 # x\n"),
        ('{"b": {"nmae": 1}}\n', RenameKey(("b", "nmae"), "name"), None),
        ("c: [sh, -c, 'run it']\n", Prefix(("c", 2), "exec "), "c: [sh, -c, 'exec run it']\n"),
        ("c: [sh, -c, run it]\n", Prefix(("c", 2), "exec "), "c: [sh, -c, exec run it]\n"),
        ("c:\n- |-\n  run it\n", Prefix(("c", 0), "exec "), "c:\n- |-\n  exec run it\n"),
        ("spec: 1\n", SetValue(("spec", "a"), 2), "spec: 1\n"),  # no mapping: nothing is done
        ("spec: {}\n", SetValue(("spec", "a"), 2), "spec: {}\n"),
    ],
)
def test_one_change(before: str, change: Change, after: str | None) -> None:
    if after is None:
        text = '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "b": {"nmae": 1}}'
        (document,) = read_text(text, file="a.json", folder=Path())
        edit = edits_of(document, change)
        assert edit is not None
        assert edited(text, [edit]) == text.replace("nmae", "name")
        return
    assert changed(before, change) == after


def test_a_new_field_in_json_is_json() -> None:
    text = '{"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}}'
    (document,) = read_text(text, file="a.json", folder=Path())
    edit = edits_of(document, SetValue(("spec", "b"), {"c": 1}))
    assert edit is not None
    assert edited(text, [edit]).endswith(', "spec": {"b": {"c": 1}}}')


def test_what_comes_by_a_merge_key_is_not_touched() -> None:
    """Others share it; an own field overrides it."""
    text = "base: &base {nmae: 1, a: 1}\nspec:\n  <<: *base\n  b: 2\nlist: [*base]\nc: *base\n"
    assert changed(text, RenameKey(("spec", "nmae"), "name")) == text
    assert changed(text, SetValue(("c", "a"), 2)) == text
    assert changed(text, SetValue(("list", 0, "a"), 2)) == text
    mended = text.replace("  b: 2\n", "  b: 2\n  a: 2\n")
    assert changed(text, SetValue(("spec", "a"), 2)) == mended


def test_of_two_edits_at_one_place_one_waits() -> None:
    both = (SetValue(("a",), 2), SetValue(("a",), 3))
    assert changed("a: 1\n", *both) in ("a: 2\n", "a: 3\n")


def test_a_diff_ends_every_line() -> None:
    assert diff_of("a.yaml", "a: 1", "a: 2\n").splitlines()[2:] == ["@@ -1 +1 @@", "-a: 1", "+a: 2"]
