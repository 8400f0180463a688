"""Paths of rules: plain ones, and regular expressions as far as they go."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.model.ingressoptions import IngressOptions
from nodrop.model.ingresspaths import BadPath, Rewrite, RulePath, read_path

PLAIN = IngressOptions()


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("/a/", "Prefix", RulePath("/a", False)),
        ("/a/", "Exact", RulePath("/a/", True)),
        ("", "ImplementationSpecific", RulePath("/", False)),
        ("/a(b)", "Prefix", RulePath("/a(b)", False)),
    ],
)
def test_without_annotations_a_path_is_what_it_says(
    text: str, kind: str, expected: RulePath
) -> None:
    assert read_path(text, kind, PLAIN) == expected


@pytest.mark.parametrize(
    ("text", "target", "prefix", "pattern", "becomes"),
    [
        ("/shop(/|$)(.*)", "/$2", "/shop", "/shop(/|$)(.*)", r"/\2"),
        ("/shop/(.*)", "/$1", "/shop", "/shop/(.*)", r"/\1"),
        ("/shop/?(.*)", "/$1", "/shop", "/shop/?(.*)", r"/\1"),
        ("/shop(.*)", "/x$1", "/shop", "/shop(.*)", r"/x\1"),
        (r"/v(\d+)/a", "/a/$1", "/", r"/v(\d+)/a", r"/a/\1"),
        (r"/api/v[12]/(.*)", "/$1", "/api", r"/api/v[12]/(.*)", r"/\1"),
        ("/(.*)", "/x/$1", "/", "/(.*)", r"/x/\1"),
        ("^/a/(.+)$", "/$1", "/a", "/a/(.+)$", r"/\1"),
        ("/old", "/new", "/old", "/old", "/new"),
        ("/a.b", "/c", "/", "/a.b", "/c"),
    ],
)
def test_with_a_rewrite_target_a_path_may_be_an_expression(
    text: str, target: str, prefix: str, pattern: str, becomes: str
) -> None:
    read = read_path(text, "ImplementationSpecific", IngressOptions(rewrite_target=target))
    assert read == RulePath(prefix, False, Rewrite(pattern, becomes))


def test_an_exact_path_is_no_expression() -> None:
    read = read_path("/a.b", "Exact", IngressOptions(rewrite_target="/c"))
    assert read == RulePath("/a.b", True, Rewrite(r"/a\.b", "/c"))


def test_an_expression_without_target_only_has_to_match() -> None:
    read = read_path("/a/(x|y)", "Prefix", IngressOptions(use_regex=True))
    assert read == RulePath("/a", False, Rewrite("/a/(x|y)", ""))


@pytest.mark.parametrize(
    "text",
    [
        "/(a+)+b",
        "/(?=x)",
        "/a|/b",
        "/(a",
        r"/(a)\1",
        "/a*b*c*d*e*",
        "/[",
        "/a{2}",
        "/[[:x:]]",
        "/a\\Z",
    ],
)
def test_what_can_take_long_or_means_something_else_is_refused(text: str) -> None:
    with pytest.raises(BadPath):
        read_path(text, "ImplementationSpecific", IngressOptions(use_regex=True))


@pytest.mark.parametrize("options", [PLAIN, IngressOptions(use_regex=True)])
def test_a_path_that_is_too_long_is_refused(options: IngressOptions) -> None:
    assert read_path("/" + "a" * 1999, "Prefix", options).prefix == "/" + "a" * 1999
    with pytest.raises(BadPath, match="2000 letters"):
        read_path("/" + "a" * 2000, "Prefix", options)


def test_a_target_refers_to_groups_that_are_there() -> None:
    with pytest.raises(BadPath, match=r"\$2"):
        read_path("/a/(.*)", "Prefix", IngressOptions(rewrite_target="/$2"))


@given(st.from_regex(r"/[a-z]{1,4}(/[a-z]{0,3})?[(.*+?|)\[\]{}^$]{0,4}[a-z]{0,2}", fullmatch=True))
def test_every_path_that_matches_begins_with_the_prefix(text: str) -> None:
    """Requests are found by the prefix: what it leaves out would never be asked for."""
    try:
        read = read_path(text, "Prefix", IngressOptions(use_regex=True))
    except BadPath:
        return
    assert read.prefix.startswith("/")
    if read.rewrite is not None:
        assert read.rewrite.target == ""
        re.compile(read.rewrite.pattern)
        assert not re.search(r"\s", read.rewrite.pattern)
