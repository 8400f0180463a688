"""House rules that no linter knows: sizes, banned words, statements that a test must name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "src").rglob("*.py"))
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
BANNED_NAMES = ("manager", "helper", "utils")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_modules_and_functions_are_short_and_say_what_they_are(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LONGEST_MODULE
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "a module says what may live in it"
    assert not any(word in path.stem for word in BANNED_NAMES)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{node.name} has {length} lines"


@pytest.mark.parametrize("number", range(1, 21))
def test_every_statement_of_the_mission_is_named_by_a_test(number: int) -> None:
    named = re.compile(rf"(?<![A-Za-z0-9])S{number}(?![0-9])|_s{number}_")
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    assert any(named.search(path.read_text(encoding="utf-8")) for path in tests)


def test_nothing_is_left_as_a_note_to_oneself() -> None:
    words = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    left = [str(path) for path in MODULES if words.search(path.read_text(encoding="utf-8"))]
    assert left == []
