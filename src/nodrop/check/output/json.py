"""Findings as one JSON object. Pure."""

from __future__ import annotations

import json

from nodrop.check.bundle import namespace_of
from nodrop.check.finding import LEVELS, Finding
from nodrop.check.output.report import Report
from nodrop.check.position import spoken
from nodrop.model.meta import Obj


def render(report: Report) -> str:
    return json.dumps(
        {
            "version": 1,
            "findings": [finding_json(finding) for finding in report.findings],
            "summary": {
                "files": len(report.files),
                **{level: report.count(level) for level in reversed(LEVELS)},
            },
            "problems": list(report.problems),
        },
        indent=2,
        ensure_ascii=False,
    )


def finding_json(finding: Finding) -> Obj:
    """One finding; the fields are documented in docs/guides/check.md."""
    obj, where = finding.document.obj, finding.position
    return {
        "rule": finding.card.id,
        "name": finding.card.name,
        "level": finding.level,
        "file": finding.file,
        "line": where.line,
        "column": where.column,
        "endLine": where.end_line,
        "endColumn": where.end_column,
        "object": {
            "kind": obj["kind"],
            "namespace": namespace_of(obj),
            "name": obj["metadata"].get("name") or obj["metadata"].get("generateName"),
        },
        "path": spoken(finding.path),
        "message": finding.message,
        "mend": finding.mend,
        "statements": list(finding.card.statements),
        "page": finding.card.page,
        "fixable": bool(finding.fix),
    }
