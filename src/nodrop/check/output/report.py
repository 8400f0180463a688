"""What every format shows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nodrop.check.finding import LEVELS, Finding, Level


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one check: findings, files that were read, and what could not be.

    ``fail_on`` is the level from which a finding makes the check fail.
    """

    findings: Sequence[Finding]
    files: Sequence[str]
    problems: Sequence[str] = ()
    fail_on: Level = "warning"

    def count(self, level: str) -> int:
        return sum(finding.level == level for finding in self.findings)

    def summary(self) -> str:
        """``2 findings (1 error, 1 warning) in 3 files``."""
        files = _counted(len(self.files), "file")
        if not self.findings:
            return f"no findings in {files}"
        counts = [(level, self.count(level)) for level in reversed(LEVELS)]
        told = ", ".join(
            f"{count} info" if level == "info" else _counted(count, level)
            for level, count in counts
            if count
        )
        return f"{_counted(len(self.findings), 'finding')} ({told}) in {files}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
