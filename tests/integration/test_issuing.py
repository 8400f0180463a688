"""Certificates made by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from nodrop.apiserver.certificates import are_good, ensure_certificates
from nodrop.clock import SystemClock

ISSUE = """
import asyncio, sys
from pathlib import Path
from nodrop.clock import SystemClock
from nodrop.wiring.issuing import issue_apart
asyncio.run(issue_apart(Path(sys.argv[1]), SystemClock().now()))
print("cryptography" in sys.modules)
"""


def issue(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ISSUE, str(folder)], capture_output=True, text=True, check=True
    )


def test_certificates_are_made_without_loading_cryptography(tmp_path: Path) -> None:
    assert not are_good(tmp_path, SystemClock().now())
    assert issue(tmp_path).stdout == "False\n"
    assert are_good(tmp_path, SystemClock().now())
    assert oct(tmp_path.joinpath("ca.key").stat().st_mode & 0o777) == "0o600"


def test_good_ones_are_left_alone(tmp_path: Path) -> None:
    made = ensure_certificates(tmp_path, SystemClock().now())
    before = made.ca_cert.read_bytes()
    issue(tmp_path)
    assert made.ca_cert.read_bytes() == before


def test_a_child_that_fails_is_told_of(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.write_text("in the way")
    assert "making them here" in issue(folder).stderr
