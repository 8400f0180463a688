"""Findings as text and as what other programs read; pure, one format a module."""

from __future__ import annotations

from collections.abc import Callable

from nodrop.check.output import github, json, junit, sarif
from nodrop.check.output.report import Report

#: What ``--format`` may be, but for text.
FORMATS: dict[str, Callable[[Report], str]] = {
    "json": json.render,
    "sarif": sarif.render,
    "github": github.render,
    "junit": junit.render,
}
