"""The runner of examples/rehearsals makes its table itself, shown on a server without needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.harness import ROOT


@pytest.mark.timeout(400)
def test_s14_the_runner_writes_where_a_server_loses_and_what_mends_it(tmp_path: Path) -> None:
    """S14: lost in a cluster's order, not in nodrop's, and not after the mend."""
    folder = tmp_path / "rehearsals"
    shutil.copytree(
        ROOT / "examples" / "rehearsals", folder,
        ignore=shutil.ignore_patterns("env", "manifests", "__pycache__"),
    )  # fmt: skip
    (folder / "env" / "bin").mkdir(parents=True)
    (folder / "env" / "bin" / "python").symlink_to(sys.executable)
    table = tmp_path / "table.md"
    table.write_text("| server |\n| --- |\n| other 1.0 |\n")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    act = ("--act", "restart", "--duration", "4")
    done = subprocess.run(
        [sys.executable, str(folder / "run"), "http.server", "--table", str(table), *act],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, other, row = table.read_text().splitlines()
    assert other == "| other 1.0 |"  # rows of servers that were not rehearsed stay
    name, _ready, _ending, ours, theirs, mended = row.strip("| ").split(" | ")
    assert name.startswith("http.server")
    assert ours == mended == "none", done.stdout
    assert "503 from the proxy" in theirs
