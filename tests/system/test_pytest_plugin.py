"""The pytest fixture: a project's own test of its manifests, and nothing where it is not used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.system.harness import hello, write

_OWN_TEST = """
import pytest
from nodrop.rehearse.pytest_plugin import RehearsalFailed

OPTIONS = ("--rate", "100", "--duration", "3", "--act", "restart", "--no-probe")

def test_my_app_survives(nodrop_rehearsal):
    rehearsal = nodrop_rehearsal("app.yaml", options=OPTIONS, html="report.html")
    assert rehearsal.passed, rehearsal.summary
    assert rehearsal.lost == 0

def test_what_is_wrong_is_told(nodrop_rehearsal):
    with pytest.raises(RehearsalFailed, match="nowhere.yaml"):
        nodrop_rehearsal("nowhere.yaml", options=OPTIONS)
"""


def test_a_project_asserts_that_its_app_survives(tmp_path: Path) -> None:
    write(tmp_path / "app.yaml", hello(replicas=2))
    (tmp_path / "test_app.py").write_text(_OWN_TEST)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "report.html").exists()


def test_the_plugin_imports_nothing_heavy() -> None:
    heavy = ("aiohttp", "msgspec", "click", "rich", "yaml", "asyncio")
    code = (
        "import pytest, sys; before = set(sys.modules); import nodrop.rehearse.pytest_plugin; "
        f"print([m for m in {heavy!r} if m in set(sys.modules) - before])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
