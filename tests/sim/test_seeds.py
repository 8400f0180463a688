"""S5, S8, S9, S12-S20: every invariant holds for scenarios with faults; failing seeds stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodrop.cli.sim import read_seed_file
from nodrop.sim.generate import scenario_of
from nodrop.sim.scenario import from_json, to_json
from nodrop.sim.world import simulate

_FILES = sorted((Path(__file__).parent / "seeds").glob("*.txt"))


@pytest.mark.parametrize("first", range(1, 201, 10))
def test_seeds_hold(first: int) -> None:
    """Ten scenarios with faults; replay one with: ./dev sim SEED."""
    for seed in range(first, first + 10):
        result = simulate(scenario_of(seed))
        assert result.violation is None, f"./dev sim {seed}: {result.violation}"


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_a_seed_that_once_failed_stays_mended(path: Path) -> None:
    result = simulate(read_seed_file(path))
    assert result.violation is None, f"./dev sim --file {path}: {result.violation}"


def test_a_scenario_survives_its_file() -> None:
    for seed in range(50):
        scenario = scenario_of(seed)
        assert from_json(to_json(scenario)) == scenario


def test_a_healthy_rollout_answers_every_request() -> None:
    """S2, S5: without faults, sound versions behind a readiness probe lose nothing."""
    results = [simulate(scenario_of(seed, with_faults=False)) for seed in range(1000, 1010)]
    assert all(result.violation is None for result in results)
    assert sum(result.answered for result in results) > 300
