"""From a bad manifest to a green one by what the checker says: the guide's own two manifests."""

from __future__ import annotations

import re
from pathlib import Path

from nodrop.check.fix import fixed_text
from nodrop.check.judge import judge
from nodrop.check.settings import Settings
from nodrop.check.source import read_text

GUIDE = (Path(__file__).parents[3] / "docs/guides/check.md").read_text(encoding="utf-8")
SECTION = GUIDE.partition("## From a bad manifest to a green one")[2].partition("\n## ")[0]
SETTINGS = Settings(peak_utilisation=0.7)


def found_in(text: str) -> set[str]:
    documents = list(read_text(text, file="shop.yaml", folder=Path()))
    return {finding.card.id for finding in judge(documents, SETTINGS)}


def test_the_guide_leads_from_the_bad_manifest_to_a_green_one() -> None:
    bad, good = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
    prose = re.sub(r"```.*?```", "", SECTION, flags=re.DOTALL)
    findings, _, mends = prose.partition("`--fix` mends")
    told = set(re.findall(r"ND\d+", findings))
    assert found_in(bad) == told
    mended = fixed_text(bad, file="shop.yaml", settings=SETTINGS)
    assert found_in(mended) == told - set(re.findall(r"ND\d+", mends))
    assert found_in(good) == set()
    assert "# the web process" in mended
