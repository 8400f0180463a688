"""Well-made manifests, modelled on common charts, give no finding at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.check.judge import judge
from nodrop.check.reading import gather
from nodrop.check.settings import Settings

ROOT = Path(__file__).parents[3]
WELL_MADE = sorted((Path(__file__).parent / "well_made").glob("*.yaml"))
EXAMPLES = sorted((ROOT / "examples").glob("*/*.yaml"))


@pytest.mark.parametrize(
    "file", [*WELL_MADE, *EXAMPLES], ids=lambda file: f"{file.parent.name}/{file.stem}"
)
def test_a_well_made_manifest_is_left_alone(file: Path) -> None:
    found = gather([file])
    assert found.problems == []
    told = [f"{one.card.id} {one.path} {one.message}" for one in judge(found.documents, Settings())]
    assert told == []


def test_there_are_enough_of_them() -> None:
    assert len(WELL_MADE) >= 10
