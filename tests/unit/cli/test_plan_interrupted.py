"""Ctrl-C ends a plan in one line, whatever its world was about to do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 300
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "web:VERSION", command: [web]}]}
"""


def test_ctrl_c_ends_both_processes_of_a_plan_in_one_line(tmp_path: Path) -> None:
    for version in ("old", "new"):
        (tmp_path / f"{version}.yaml").write_text(MANIFEST.replace("VERSION", version))
    command = [sys.executable, "-m", "nodrop", "plan", "-f", "new.yaml", "--from", "old.yaml"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # what a terminal does: Ctrl-C is for the whole group
    ) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None and not children.read_text():
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, said = process.communicate(timeout=30)
    assert (process.returncode, out, said) == (130, "", "interrupted\n")
