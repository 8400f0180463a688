"""Patterns of custom kinds: what RE2 says of them, and that none can stop the engine."""

from __future__ import annotations

import random

import pytest

from nodrop.model.custom.patterns import Effort, PatternError, check_pattern, mismatch

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        (LABEL, ["a", "a-b.c0"], ["", "-a", "a.", "A", "a_b"]),
        (r"^\d+(ms|s)$", ["5s", "10ms"], ["s", "5m", "٣s", "5s\n"]),
        (r"b{2,3}", ["abbc", "bbbbb"], ["ab", ""]),
        (r"(?i)^[a-c]+$", ["aBC"], ["d"]),
        (r"^.$", ["a", "é", "\ud800"], ["", "\n", "ab"]),
        (r"^[[:alpha:]]\p{L}$", ["aé"], ["éa"]),
        (r"\A\x41\z", ["A"], ["A\n"]),
        (r"", ["", "a"], []),
    ],
)
def test_patterns(pattern: str, fits: list[str], fails: list[str]) -> None:
    check_pattern(pattern)
    assert [text for text in fits if mismatch(pattern, text, Effort())] == []
    assert {mismatch(pattern, text, Effort()) for text in fails} <= {f"should match '{pattern}'"}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 5_000 + "!"),
        (r"^(a|a)*$", "a" * 5_000 + "!"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5_000),
        (r"^(a?){50}a{50}$", "a" * 49),
        (LABEL, "a-" * 50_000),
        ("(x*)" * 3_000 + "y", "x" * 1_000),
    ],
)
def test_patterns_that_python_would_try_for_years(pattern: str, text: str) -> None:
    assert mismatch(pattern, text, Effort()) == f"should match '{pattern}'"


def test_the_values_of_one_object_share_what_they_may_cost() -> None:
    letters = "".join(random.Random(1).choices("ac", k=20_000))
    pattern, effort = r"a.{400}b", Effort()
    told = [mismatch(pattern, letters, effort) for _ in range(10)]
    assert told[0] == f"should match '{pattern}'"
    assert told[-1] == f"can't be matched with '{pattern}': the object's values are too long for it"


def test_groups_with_names_cost_more() -> None:
    """RE2 notes where each begins and ends, for every step: minutes for thousands of them."""
    pattern = "".join(f"(?P<n{number}>x*)" for number in range(1_000))
    assert "values are too long for it" in mismatch(pattern, "x" * 1_000, Effort())
    assert mismatch(r"^(?P<major>\d+)\.(?P<minor>\d+)$", "1.20", Effort()) == ""


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(?=a)b", "invalid perl operator: (?="),
        (r"(?<!a)b", "(?<"),
        (r"(a)\1", r"invalid escape sequence: \1"),
        (r"a{1001}", "invalid repetition size: {1001}"),
        (r"a(", "missing ): a("),
        ("\ud800", "half a surrogate pair"),
        (r"(\p{L}{100}){10}\p{L}{900}", "too large"),
    ],
)
def test_what_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(PatternError) as refused:
        check_pattern(pattern)
    assert why in str(refused.value)
    assert "can't be matched" in mismatch(pattern, "a", Effort())
