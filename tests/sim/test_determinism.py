"""Same seed, same timeline, byte for byte, whatever the process and its hash seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import nodrop

_SOURCE = Path(nodrop.__file__).parents[1]
_ROOT = Path(__file__).parents[2]
#: Chosen for their faults: kills, lost watches, a failing runtime, clock jumps.
_SEEDS = (3, 8, 21, 147)
_PLAY = f"""
from nodrop.sim.generate import scenario_of
from nodrop.sim.world import simulate
for seed in {_SEEDS}:
    print(simulate(scenario_of(seed)).timeline.digest())
"""


def _digests(python: str, hash_seed: int, *paths: str) -> list[str]:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    environment["PYTHONPATH"] = os.pathsep.join([str(_SOURCE), *paths])
    run = subprocess.run(
        [python, "-c", _PLAY], env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.split()


def test_two_processes_with_different_hash_seeds_agree() -> None:
    one, other = (_digests(sys.executable, hash_seed) for hash_seed in (1, 2))
    assert len(one) == len(_SEEDS)
    assert one == other


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_every_supported_python_repeats_itself(version: str) -> None:
    python = _python(version)
    if python is None:
        pytest.skip(f"no Python {version} with nodrop's dependencies; make .venv-{version} of them")
    one, other = (_digests(python, hash_seed) for hash_seed in (3, 4))
    assert one == other
    if version == "3.11":
        assert one == _digests(sys.executable, 5) or sys.version_info[:2] != (3, 11)


@cache
def _python(version: str) -> str | None:
    """An interpreter of this version that can import what nodrop needs.

    Installing them here would cost every run a minute; a ``.venv-3.12`` beside ``.venv``, made
    once with ``pip install -r requirements.lock``, is found.
    """
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    made = _ROOT / f".venv-{version}" / "bin" / "python"
    found = str(made) if made.exists() else shutil.which(f"python{version}")
    if found is None:
        return None
    probe = [found, "-c", f"import sys, msgspec, aiohttp; assert sys.version[:4] == '{version}'"]
    usable = subprocess.run(probe, capture_output=True, timeout=60).returncode == 0
    return found if usable else None
