"""Patterns of custom kinds: what RE2 says of them, and that none can stop the engine."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.model.custom.regex import Effort, TooCostly, compiled, mismatch

LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


def found(pattern: str, text: str) -> bool:
    return compiled(pattern).search(text, Effort())


@pytest.mark.parametrize(
    ("pattern", "fits", "fails"),
    [
        (LABEL, ["a", "a-b.c0"], ["", "-a", "a.", "A", "a_b"]),
        (r"^\d+(ms|s)$", ["5s", "10ms"], ["s", "5m", "٣s", "5s\n"]),
        (r"^(https?)://[^/\s]+(/.*)?$", ["http://a", "https://a.b/c d"], ["ftp://a", "http://"]),
        (r"b{2,3}", ["abbc", "bbbbb"], ["ab", ""]),
        (r"^b{2,3}?$", ["bb", "bbb"], ["b", "bbbb"]),
        (r"^(?i:ab)c$", ["ABc", "aBc"], ["abC"]),
        (r"(?i)^[a-c]+$", ["aBC"], ["d"]),
        (r"^.$", ["a", "é"], ["", "\n", "ab"]),
        (r"(?s)^.$", ["\n"], [""]),
        (r"(?m)^b$", ["a\nb\nc", "b"], ["ab"]),
        (r"\bcat\b", ["a cat!", "cat"], ["cats", "concat"]),
        (r"\Bx", ["ax"], ["x", "-x"]),
        (r"^[^\W\d]+$", ["ab_"], ["a1", "a-"]),
        (r"^(?:a|b|)$", ["", "a", "b"], ["c"]),
        (r"^(?P<n>a*)*$", ["", "aaa"], ["b"]),
        (r"\A\x41\u00e9\Z", ["Aé"], ["Ae"]),
        (r"", ["", "a"], []),
    ],
)
def test_patterns(pattern: str, fits: list[str], fails: list[str]) -> None:
    assert [text for text in fits if not found(pattern, text)] == []
    assert [text for text in fails if found(pattern, text)] == []


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(a+)+$", "a" * 5_000 + "!"),
        (r"^(a|a)*$", "a" * 5_000 + "!"),
        (r"^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 5_000),
        (r"^(a?){50}a{50}$", "a" * 49),
        (LABEL, "a-" * 50_000),
    ],
)
def test_patterns_that_python_would_try_for_years(pattern: str, text: str) -> None:
    effort = Effort()
    assert not compiled(pattern).search(text, effort)
    assert effort.left > 200_000


def test_the_values_of_one_object_share_what_they_may_cost() -> None:
    letters = "".join(random.Random(1).choices("ac", k=5_000))
    values = [letters[number:] + "a" * number for number in range(100)]
    pattern, effort = r"a.{400}b", Effort()
    found_out = [mismatch(pattern, value, effort) for value in values]
    assert found_out[-1] == (
        "can't be matched with 'a.{400}b': the object's values take too long to be matched"
    )
    assert mismatch(pattern, "a" + "x" * 400 + "b", Effort()) == ""
    with pytest.raises(TooCostly):
        effort.spend(1)


def test_what_is_remembered_is_bounded_and_right_after_it_was_forgotten() -> None:
    pattern = compiled(r"^(.?)(.?)z$|x(.)y$")
    letters = "".join(map(chr, range(0x100, 0x3100)))
    assert not pattern.search(letters, Effort())
    assert pattern._remembered <= 2_000
    assert pattern.search(letters + "xay", Effort())


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(?=a)b", "assert is not supported"),
        (r"(?<!a)b", "assert not is not supported"),
        (r"(a)\1", "groupref is not supported"),
        (r"(a{0,50}){0,50}", "more than 2000 steps"),
        (r"a(", "missing )"),
        (r"[[:alpha:]]", "write [a-zA-Z]"),
        (r"\p{L}", r"bad escape \p"),
    ],
)
def test_what_is_refused_by_re2_or_too_large(pattern: str, why: str) -> None:
    with pytest.raises(re.error, match=re.escape(why)):
        compiled(pattern)
    assert "can't be matched" in mismatch(pattern, "a", Effort())


ATOMS = st.sampled_from(
    ["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b", "^", "$", "c", "(?:)", r"\d", "-", r"\B", "[a-c]"]
)
PATTERNS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda one: f"(?:{one[0]}){one[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("abc1- ", min_size=1, max_size=8))
def test_a_pattern_matches_what_python_matches(pattern: str, text: str) -> None:
    """But for what is empty, where \\B of Python (before 3.14) and RE2 differ."""
    assert found(pattern, text) is bool(re.search(pattern, text, re.ASCII))
