"""Certificates on disk: made once, kept, renewed."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

from nodrop.apiserver.auth import ensure_token
from nodrop.apiserver.certificates import ensure_certificates
from nodrop.clock import SystemClock

NOW = SystemClock().now()

LAZY = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from nodrop.apiserver.certificates import ensure_certificates, server_context
server_context(ensure_certificates(Path(sys.argv[1]), datetime.now(timezone.utc)))
print("cryptography" in sys.modules, "yaml" in sys.modules)
"""


def contents(folder: Path, now: datetime) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in ensure_certificates(folder, now).files()}


def test_good_files_are_kept(tmp_path: Path) -> None:
    assert contents(tmp_path, NOW) == contents(tmp_path, NOW + timedelta(days=300))


def test_leaves_are_renewed_in_time_by_the_same_authority(tmp_path: Path) -> None:
    before, after = contents(tmp_path, NOW), contents(tmp_path, NOW + timedelta(days=340))
    assert before["ca.crt"] == after["ca.crt"]
    assert before["server.crt"] != after["server.crt"]
    assert before["client.crt"] != after["client.crt"]


def test_an_authority_near_its_end_is_replaced(tmp_path: Path) -> None:
    before, after = contents(tmp_path, NOW), contents(tmp_path, NOW + timedelta(days=3600))
    assert before["ca.crt"] != after["ca.crt"]


def test_a_lost_file_is_made_again(tmp_path: Path) -> None:
    before = contents(tmp_path, NOW)
    (tmp_path / "server.key").unlink()
    assert contents(tmp_path, NOW)["ca.crt"] == before["ca.crt"]
    assert (tmp_path / "server.key").exists()


def test_a_restart_with_good_files_does_not_load_cryptography(tmp_path: Path) -> None:
    ensure_certificates(tmp_path, NOW)
    shown = subprocess.run(
        [sys.executable, "-c", LAZY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["False", "False"]


def test_the_token_stays(tmp_path: Path) -> None:
    first = ensure_token(tmp_path / "token")
    assert len(first) >= 43
    assert ensure_token(tmp_path / "token") == first
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
