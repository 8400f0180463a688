"""Findings for people: where, what, the line itself, how to mend it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodrop.check.finding import Finding
from nodrop.check.output.report import Report
from nodrop.check.position import spoken

#: Puts a word into the colours of a level (or of nothing special: "dim").
Paint = Callable[[str, str], str]
_WIDEST = 120


def render(report: Report, paint: Paint = lambda text, _style: text) -> str:
    """All findings and a summary."""
    lines = [line for finding in report.findings for line in (*_finding(finding, paint), "")]
    fixable = sum(bool(finding.fix) for finding in report.findings)
    mendable = f"; --fix can mend {fixable}" if fixable else ""
    return "\n".join([*lines, f"{report.summary()}{mendable}"])


# Private


def _finding(finding: Finding, paint: Paint) -> Iterator[str]:
    where = finding.position
    head = paint(f"{finding.level} {finding.card.id}", finding.level)
    yield f"{finding.file}:{where.line}:{where.column}: {head} {finding.subject}"
    yield f"  {finding.message}"
    yield from _excerpt(finding, paint)
    yield f"  mend: {finding.mend}"
    told = ", ".join(finding.card.statements)
    yield paint(f"  why: {f'{told}, ' if told else ''}{finding.card.page}", "dim")


def _excerpt(finding: Finding, paint: Paint) -> Iterator[str]:
    """The line with a mark under what is meant."""
    where = finding.position
    lines = finding.document.text.split("\n")
    if not finding.document.text or where.line > len(lines):
        return
    line = lines[where.line - 1].rstrip("\r").expandtabs(1)
    number = str(where.line)
    width = where.end_column - where.column if where.end_line == where.line else 1
    mark = " " * (where.column - 1) + "^" * max(1, width)
    if where.column + width <= _WIDEST:
        yield paint(f"  {number} | ", "dim") + line[:_WIDEST]
        yield paint(f"  {' ' * len(number)} | ", "dim") + paint(mark, finding.level)
    if finding.path:
        yield paint(f"  {' ' * len(number)} = {spoken(finding.path)}", "dim")
