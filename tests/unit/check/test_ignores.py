"""Comments that ignore findings: where they hold, and that they need a reason and a use."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.check.finding import NODROP
from nodrop.check.ignores import ignores_of
from nodrop.check.judge import judge
from nodrop.check.settings import Settings
from nodrop.check.source import read_text

LONE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
"""
BAD = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  strategy:
    rollingUpdate:
      maxSurge: 0
      maxUnavailable: 0%s
  template:
    spec: {containers: []}
"""


def found_in(text: str, settings: Settings | None = None) -> list[tuple[str, int]]:
    documents = list(read_text(text, file="app.yaml", folder=Path()))
    findings = judge(documents, settings or Settings())
    told = [(one.card.id, one.position.line) for one in findings]
    return [one for one in told if one[0] != "ND704"]  # BAD is too short for the API


def test_without_a_comment_the_finding_is_there() -> None:
    assert found_in(BAD % "") == [("ND101", 8)]


@pytest.mark.parametrize(
    "text",
    [
        BAD % " # nodrop: ignore ND101 kept for a test",
        BAD % "  #nodrop:ignore ND101: kept for a test",
        BAD.replace("      maxUn", "      # nodrop: ignore ND101 a test\n      maxUn") % "",
        BAD.replace("      maxUn", "      # nodrop: ignore ND101 a test\n      # more\n      maxUn")
        % "",
        "# nodrop: ignore ND101 a test\n" + BAD % "",
        "# app\n\n# nodrop: ignore ND101 a test\n# of it\n" + BAD % "",
        LONE + "---\n# nodrop: ignore ND101 a test\n" + BAD % "",
        BAD.replace("\n", "\r\n") % " # nodrop: ignore ND101 kept for a test",
    ],
)
def test_a_comment_on_the_line_above_it_or_at_the_top_ignores(text: str) -> None:
    assert found_in(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BAD % " # nodrop: ignore ND101", [("ND002", 8), ("ND101", 8)]),
        (BAD % " # nodrop: ignore the whole line", [("ND002", 8), ("ND101", 8)]),
        (BAD % " # nodrop: ignore ND103 not this one", [("ND001", 8), ("ND101", 8)]),
        (BAD % " # nodrop: ignore ND101,ND999 a test", [("ND001", 8)]),
        ("# nodrop: ignore ND101 a test\n" + LONE + "---\n" + BAD % "", None),
        (LONE + "# nodrop: ignore ND101 ends with its document\n---\n" + BAD % "", None),
    ],
)
def test_a_comment_elsewhere_or_without_reason_does_not(
    text: str, expected: list[tuple[str, int]] | None
) -> None:
    found = found_in(text)
    if expected is None:
        assert [rule for rule, _ in found] == ["ND001", "ND101"]
    else:
        assert sorted(found) == sorted(expected)


def test_a_comment_about_a_rule_of_another_target_is_not_unused() -> None:
    text = "# nodrop: ignore ND301 waits itself\n" + LONE
    assert found_in(text, Settings(targets=NODROP)) == []
    assert found_in(text) == [("ND001", 1)]


def test_several_rules_share_a_reason() -> None:
    (ignore,) = ignores_of("a: 1 # nodrop: ignore ND301, nd605 - one machine\n")
    assert (ignore.rules, ignore.reason) == (("ND301", "ND605"), "one machine")
