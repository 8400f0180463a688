"""Findings as workflow commands, which GitHub shows as annotations. Pure."""

from __future__ import annotations

from nodrop.check.finding import Finding
from nodrop.check.output.report import Report

_COMMANDS = {"error": "error", "warning": "warning", "info": "notice"}


def render(report: Report) -> str:
    lines = [_annotation(finding) for finding in report.findings]
    lines += [f"::error::{_escaped(problem)}" for problem in report.problems]
    return "\n".join([*lines, report.summary()])


# Private


def _annotation(finding: Finding) -> str:
    where = finding.position
    places = {
        "file": finding.file,
        "line": where.line,
        "col": where.column,
        "endLine": where.end_line,
        "endColumn": where.end_column,
        "title": f"{finding.card.id} {finding.card.title}",
    }
    told = ",".join(f"{key}={_property(str(value))}" for key, value in places.items())
    message = f"{finding.subject}: {finding.message}\nmend: {finding.mend}"
    return f"::{_COMMANDS[finding.level]} {told}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
