"""Each rule's page is its test: the bad manifest triggers that rule alone, the good one nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nodrop.check.catalogue import CATALOGUE
from nodrop.check.finding import BOTH, NODROP, Card
from nodrop.check.fix import fixed_text
from nodrop.check.judge import judge
from nodrop.check.rules import RULES
from nodrop.check.settings import Settings
from nodrop.check.source import read_text

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs/reference/rules"
CARDS = list(CATALOGUE.values())


def blocks(card: Card) -> tuple[str, str]:
    """(bad, good) of a rule's page."""
    text = (ROOT / card.page).read_text(encoding="utf-8")
    found = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(found) == 2, "a page has one bad and one good manifest"
    return found[0], found[1]


def settings_of(card: Card) -> Settings:
    """The flags that a page says it was checked with."""
    text = (ROOT / card.page).read_text(encoding="utf-8")
    peak = re.search(r"Checked with: `--peak-utilisation ([0-9.]+)`", text)
    only = NODROP if "Checked with: `--target nodrop`" in text else BOTH
    return Settings(peak_utilisation=float(peak[1]) if peak else None, targets=only)


def found_in(text: str, settings: Settings) -> list[str]:
    documents = list(read_text(text, file="app.yaml", folder=Path()))
    return [finding.card.id for finding in judge(documents, settings)]


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_the_bad_manifest_triggers_its_rule_alone_and_the_good_one_none(card: Card) -> None:
    """S20, S15, S6 and all others: rules carry the statements they stand for."""
    bad, good = blocks(card)
    settings = settings_of(card)
    assert found_in(bad, settings) == [card.id]
    assert found_in(good, settings) == []


@pytest.mark.parametrize("card", CARDS[1:], ids=lambda card: card.id)
def test_a_rule_is_silent_for_a_target_that_it_does_not_hold_for(card: Card) -> None:
    """All but ND001, which depends on the rule that its comment is about."""
    bad, _ = blocks(card)
    for target in ("nodrop", "cluster"):
        ids = found_in(bad, replace(settings_of(card), targets=frozenset({target})))
        assert (card.id in ids) is (target in card.targets)


@pytest.mark.parametrize("card", [c for c in CARDS if c.fixable], ids=lambda card: card.id)
def test_fix_mends_the_bad_manifest_and_has_nothing_left_to_do(card: Card) -> None:
    bad, _ = blocks(card)
    mended = fixed_text(bad, file="app.yaml", settings=settings_of(card))
    assert mended != bad
    assert found_in(mended, settings_of(card)) == []
    assert fixed_text(mended, file="app.yaml", settings=settings_of(card)) == mended
    kept = [line for line in bad.splitlines() if line.lstrip().startswith("#")]
    assert all(line in mended.splitlines() for line in kept)


def test_every_rule_has_a_page_and_a_line_in_the_index_and_nothing_else_does() -> None:
    pages = {path.name for path in PAGES.glob("ND*.md")}
    assert pages == {Path(card.page).name for card in CARDS}
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    rows = {cells[1]: cells for cells in map(_cells, index.splitlines()) if len(cells) == 8}
    for card in CARDS:
        cells = rows[f"[{card.id}]({Path(card.page).name})"]
        assert cells[2:5] == [card.name, card.title, card.level]
        assert cells[5] == ("both" if card.targets == BOTH else next(iter(card.targets)))
        assert (cells[6] == "yes") is card.fixable
    assert len(rows) == len(CARDS) + 2  # the heading and the dashes


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.id)
def test_a_page_says_what_the_catalogue_says(card: Card) -> None:
    text = (ROOT / card.page).read_text(encoding="utf-8")
    assert text.startswith(f"# {card.id} {card.name}\n\n{card.title}.\n")
    assert f"Level: {card.level} · " in text
    assert ("--fix` mends it" in text) is card.fixable
    assert all(statement in text for statement in card.statements)


def test_every_rule_of_the_catalogue_is_judged() -> None:
    assert set(CATALOGUE) == set(RULES) | {"ND001", "ND002"}


# Private


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("|")]
