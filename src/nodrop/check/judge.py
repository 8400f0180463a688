"""From manifests to findings: every rule, then what comments and settings ignore. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatch

from nodrop.check.bundle import Bundle
from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import Finding, Hit
from nodrop.check.ignores import apply_ignores
from nodrop.check.position import position_of
from nodrop.check.rules import RULES
from nodrop.check.rules.case import Case
from nodrop.check.settings import Settings
from nodrop.check.source import Document


def judge(documents: Sequence[Document], settings: Settings) -> list[Finding]:
    """All findings, in the order of files and lines."""
    case = Case(Bundle(documents), settings)
    ran = [rule for rule in RULES if CATALOGUE[rule].holds_for(settings.targets)]
    if settings.peak_utilisation is None:
        ran.remove("ND106")
    found = [finding_of(rule, hit) for rule in ran for hit in RULES[rule](case)]
    kept = apply_ignores(documents, found, ran=ran)
    return sorted((one for one in kept if _wanted(one, settings)), key=_order(documents))


def finding_of(rule: str, hit: Hit) -> Finding:
    card = CATALOGUE[rule]
    return Finding(
        card=card,
        level=hit.level or card.level,
        document=hit.document,
        path=hit.path,
        position=position_of(hit.document, hit.path),
        message=hit.message,
        mend=hit.mend,
        fix=hit.fix,
    )


# Private


def _wanted(finding: Finding, settings: Settings) -> bool:
    if not settings.runs(finding.card.id):
        return False
    return not any(
        fnmatch(finding.file, pattern) and finding.card.id.startswith(rules)
        for pattern, rules in settings.per_path_ignores.items()
    )


def _order(documents: Sequence[Document]) -> Callable[[Finding], tuple[int, int, int, str, str]]:
    files = {name: number for number, name in enumerate(dict.fromkeys(d.file for d in documents))}

    def place(one: Finding) -> tuple[int, int, int, str, str]:
        where = one.position
        return files[one.file], where.line, where.column, one.card.id, one.message

    return place
