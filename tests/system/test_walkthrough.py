"""From a bad manifest to a green one by following only what check and rehearse say (tutorial)."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.system.harness import HELLO, ROOT

_REHEARSE = ("rehearse", "--rate", "100", "--duration", "4", "--act", "restart", "--no-probe")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A copy of the tutorial's manifest, beside the program that it runs."""
    program, tutorial = tmp_path / "examples" / "hello", tmp_path / "docs" / "tutorial"
    for folder in (program, tutorial):
        folder.mkdir(parents=True)
    shutil.copy(HELLO / "app.py", program)
    return Path(shutil.copy(ROOT / "docs" / "tutorial" / "app.yaml", tutorial))


def nodrop(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nodrop", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def findings(manifest: Path) -> set[str]:
    """The rules that check finds broken, of those that would lose requests."""
    done = nodrop("check", str(manifest), "--format", "json")
    found = json.loads(done.stdout)["findings"]
    return {one["rule"] for one in found if one["level"] != "info"}


def rehearse(manifest: Path, mode: str) -> dict[str, Any]:
    figures = manifest.parent / "figures.json"
    done = nodrop(*_REHEARSE, "-f", str(manifest), "--mode", mode, "--json", str(figures))
    assert figures.exists(), done.stdout + done.stderr
    return dict(json.loads(figures.read_text()))


def add_to_container(manifest: Path, setting: str) -> None:
    """Write lines of the report into the manifest, as a person would."""
    lines = "".join(f"          {line}\n" for line in setting.splitlines())
    text = manifest.read_text()
    assert text.count("          image: shop:v1\n") == 1
    manifest.write_text(
        text.replace("          image: shop:v1\n", f"          image: shop:v1\n{lines}")
    )


@pytest.mark.timeout(300)
def test_s7_s14_s15_s16_from_bad_to_green(manifest: Path) -> None:
    """S7, S14, S15, S16: every change below is one that a command has asked for."""
    refused = nodrop(*_REHEARSE, "-f", str(manifest))
    assert refused.returncode == 1
    assert "terminationGradePeriodSeconds" in refused.stderr

    assert findings(manifest) == {"ND201", "ND301", "ND701"}
    nodrop("check", "--fix", str(manifest))
    assert "terminationGracePeriodSeconds: 20" in manifest.read_text()
    assert findings(manifest) == {"ND201"}

    figures = rehearse(manifest, "cluster")
    assert figures["verdict"] == "lost"
    advice = figures["advice"][0]
    assert "ND201" in advice["rules"]  # the very rule that check still finds
    add_to_container(manifest, advice["setting"])

    assert findings(manifest) == set()
    assert rehearse(manifest, "cluster")["verdict"] == "pass"
    assert rehearse(manifest, "nodrop")["verdict"] == "pass"
