"""Comments that ignore findings: ``# nodrop: ignore ND301 the application waits itself``. Pure.

On the line of a finding, on lines of their own right above it, or at the top of a document, for
all of it. A reason is part of the comment, and a comment that ignores nothing is a finding.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import Finding
from nodrop.check.position import Position
from nodrop.check.source import Document

_COMMENT = re.compile(
    r"(?:^|\s)#\s*nodrop:\s*ignore\b[ :]*((?:ND\d+(?:\s*,\s*|\s+)?)*)(.*)$", re.IGNORECASE
)
_ID = re.compile(r"ND\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Ignore:
    """One comment. ``line`` is its own; ``first`` to ``last`` are the lines it is about."""

    rules: tuple[str, ...]
    reason: str
    line: int
    column: int
    first: int
    last: int

    def covers(self, rule: str, line: int) -> bool:
        return rule in self.rules and self.first <= line <= self.last


def ignores_of(text: str) -> list[Ignore]:
    """Every ignore comment of a file."""
    lines = text.split("\n")
    return list(_found(lines))


def apply_ignores(
    documents: Sequence[Document], findings: Sequence[Finding], *, ran: Collection[str]
) -> list[Finding]:
    """The findings that stay, and those about the comments themselves.

    A comment about a rule that has not ``ran`` is not called unused.
    """
    kept = list(findings)
    for file, first in {one.file: one for one in reversed(documents)}.items():
        for ignore in ignores_of(first.text):
            mine = [one for one in kept if one.file == file]
            hit = [one for one in mine if ignore.covers(one.card.id, one.position.line)]
            if ignore.reason:
                gone = set(map(id, hit))
                kept = [one for one in kept if id(one) not in gone]
            owner = _owner(documents, file, ignore.line)
            unused = [
                rule
                for rule in ignore.rules
                if rule not in {one.card.id for one in hit}
                and (rule in ran or rule not in CATALOGUE)
            ]
            kept.extend(_about(ignore, unused, owner))
    return kept


# Private


def _found(lines: Sequence[str]) -> Iterator[Ignore]:
    for index, line in enumerate(lines):
        comment = _COMMENT.search(line)
        if not comment:
            continue
        rules = tuple(one.upper() for one in _ID.findall(comment[1]))
        reason = comment[2].strip(" \t\r-:–")
        first = last = index + 1
        if line.lstrip().startswith("#"):
            first, last = _below(lines, index)
        column = line.index("#", comment.start()) + 1
        yield Ignore(rules, reason, index + 1, column, first, last)


def _below(lines: Sequence[str], index: int) -> tuple[int, int]:
    """The next line that is no comment; the whole document if nothing of it stands above."""
    start = index
    while start > 0 and _is_void(lines[start - 1]):
        start -= 1
    end = next((i for i in range(index, len(lines)) if lines[i].startswith("---")), len(lines))
    if start == 0 or lines[start - 1].startswith("---"):
        return index + 1, end
    target = index
    while target < len(lines) and _is_void(lines[target]):
        target += 1
    return target + 1, target + 1


def _is_void(line: str) -> bool:
    return not line.strip() or line.lstrip().startswith("#")


def _owner(documents: Sequence[Document], file: str, line: int) -> Document:
    """The object that a comment stands in, or the next one below it."""
    mine = [one for one in documents if one.file == file]
    above = [one for one in mine if one.line <= line]
    return above[-1] if above else mine[0]


def _about(ignore: Ignore, unused: Sequence[str], owner: Document) -> Iterator[Finding]:
    place = Position(ignore.line, ignore.column, ignore.line, ignore.column)
    if not ignore.rules or not ignore.reason:
        what = "which rule" if not ignore.rules else "why"
        yield Finding(
            card=CATALOGUE["ND002"],
            level=CATALOGUE["ND002"].level,
            document=owner,
            path=(),
            position=place,
            message=f"this comment does not say {what}, so it ignores nothing",
            mend="write: # nodrop: ignore ND301 the reason in a few words",
        )
        return
    for rule in unused:
        known = "" if rule in CATALOGUE else " (there is no such rule)"
        yield Finding(
            card=CATALOGUE["ND001"],
            level=CATALOGUE["ND001"].level,
            document=owner,
            path=(),
            position=place,
            message=f"{rule} is not found here, so this comment is not needed{known}",
            mend="remove it",
        )
