"""Findings as SARIF 2.1.0, which code hosts show beside the lines. Pure."""

from __future__ import annotations

import hashlib
import json
from urllib.parse import quote

import nodrop
from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import Card, Finding
from nodrop.check.output.report import Report
from nodrop.check.position import spoken
from nodrop.model.meta import Obj

_LEVELS = {"error": "error", "warning": "warning", "info": "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render(report: Report) -> str:
    used = sorted({finding.card.id for finding in report.findings})
    run = {
        "tool": {
            "driver": {
                "name": "nodrop check",
                "version": nodrop.__version__,
                "rules": [_rule(CATALOGUE[rule]) for rule in used],
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(report)],
        "results": [_result(finding, used.index(finding.card.id)) for finding in report.findings],
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2)


# Private


def _rule(card: Card) -> Obj:
    return {
        "id": card.id,
        "name": "".join(word.capitalize() for word in card.name.split("-")),
        "shortDescription": {"text": f"{card.title}."},
        "help": {"text": f"See {card.page}."},
        "defaultConfiguration": {"level": _LEVELS[card.level]},
        "properties": {"tags": ["kubernetes", "zero-downtime", *card.statements]},
    }


def _invocation(report: Report) -> Obj:
    notes = [{"level": "error", "message": {"text": problem}} for problem in report.problems]
    return {"executionSuccessful": not notes, "toolExecutionNotifications": notes}


def _result(finding: Finding, index: int) -> Obj:
    where = finding.position
    region = {
        "startLine": where.line,
        "startColumn": where.column,
        "endLine": where.end_line,
        "endColumn": where.end_column,
    }
    path = spoken(finding.path)
    logical = {"fullyQualifiedName": f"{finding.subject} {path}".strip(), "kind": "member"}
    return {
        "ruleId": finding.card.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.level],
        "message": {"text": f"{finding.message}. Mend: {finding.mend}."},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.file)},
                    "region": region,
                },
                "logicalLocations": [logical],
            }
        ],
        "partialFingerprints": {"place/v1": _fingerprint(finding, path)},
    }


def _fingerprint(finding: Finding, path: str) -> str:
    """The same while rule, object and field stay, wherever the line has moved."""
    text = "\n".join((finding.card.id, finding.file, finding.subject, path))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
