"""The pytest fixture ``nodrop_rehearsal``: "my app survives a rollout" as a test of one's own.

Loaded by every pytest that has nodrop installed, so it imports nothing but the standard library
and pytest; a rehearsal is the command ``nodrop rehearse`` in a process of its own::

    def test_my_app_survives_a_rollout(nodrop_rehearsal):
        rehearsal = nodrop_rehearsal("deploy/app.yaml", mode="cluster")
        assert rehearsal.passed, rehearsal.summary
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_LONGEST_S = 600.0


class RehearsalFailed(Exception):
    """The rehearsal could not be carried out; the message is what the command said."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """``figures`` are those of ``--json``; ``summary`` is what a terminal would show."""

    figures: dict[str, Any]
    summary: str

    @property
    def verdict(self) -> str:
        """``pass``, ``lost`` or ``inconclusive``."""
        return str(self.figures["verdict"])

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def lost(self) -> int:
        return int(self.figures["lost"])


@pytest.fixture
def nodrop_rehearsal(tmp_path: Path) -> Callable[..., Rehearsal]:
    """Run ``nodrop rehearse`` on manifests: ``(file, …, to=None, mode="nodrop", options=())``.

    ``options`` are more of the command's, e.g. ``("--url", "/healthz", "--rate", "100")``. With
    ``html=PATH`` the report is kept there, whatever the verdict. Raises RehearsalFailed.
    """

    def rehearse(
        *files: str | Path,
        to: str | Path | None = None,
        mode: str = "nodrop",
        options: Sequence[str] = (),
        html: str | Path | None = None,
    ) -> Rehearsal:
        figures = tmp_path / "rehearsal.json"
        arguments = ["--mode", mode, "--json", str(figures), *options]
        for file in files:
            arguments += ["-f", str(file)]
        arguments += ["--to", str(to)] if to else []
        arguments += ["--html", str(html)] if html else []
        done = subprocess.run(
            [sys.executable, "-P", "-m", "nodrop", "rehearse", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        if not figures.exists():
            raise RehearsalFailed((done.stderr or done.stdout).strip())
        return Rehearsal(json.loads(figures.read_text(encoding="utf-8")), done.stdout)

    return rehearse
