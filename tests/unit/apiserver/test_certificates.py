"""Certificates are issued by one process at a time."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path

from nodrop.apiserver.certificates import _issue, ensure_certificates, server_context

NOW = datetime(2026, 11, 26, tzinfo=timezone.utc)


def test_whom_a_killed_engine_left_at_it_finishes_first(tmp_path: Path) -> None:
    """Two that issue at once would leave a certificate of one beside the key of the other."""
    pki = ensure_certificates(tmp_path, NOW)
    (tmp_path / "issued.json").unlink()
    with ThreadPoolExecutor(1) as threads:
        with (tmp_path / "lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second = threads.submit(ensure_certificates, tmp_path, NOW)
            _issue(pki, NOW)  # the first, which its engine has not outlived
            issued = {path: path.read_bytes() for path in pki.files()}
        assert second.result(60) == pki
    assert {path: path.read_bytes() for path in pki.files()} == issued
    server_context(pki)
