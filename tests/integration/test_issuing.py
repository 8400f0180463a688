"""Certificates made by a process of its own."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

from nodrop.apiserver.certificates import are_good
from nodrop.clock import SystemClock
from nodrop.proxy.haproxy.certificates import Certificates, default_file
from nodrop.statedir import StateDir

ISSUE = """
import asyncio, sys
from pathlib import Path
from nodrop.clock import SystemClock
from nodrop.statedir import StateDir
from nodrop.wiring.issuing import issue_apart
asyncio.run(issue_apart(StateDir(Path(sys.argv[1])), SystemClock().now()))
print("cryptography" in sys.modules)
"""


def issue(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ISSUE, str(root)], capture_output=True, text=True, check=True
    )


def test_certificates_are_made_without_loading_cryptography(tmp_path: Path) -> None:
    state, now = StateDir(tmp_path), SystemClock().now()
    assert not are_good(state.pki, now)
    assert issue(tmp_path).stdout == "False\n"
    assert are_good(state.pki, now)
    for key in (state.pki / "ca.key", default_file(state.proxy)):
        assert oct(key.stat().st_mode & 0o777) == "0o600"


def test_the_proxy_finds_its_default_certificate(tmp_path: Path) -> None:
    """Made with the others, so that the engine itself never loads what makes it."""
    state = StateDir(tmp_path)
    issue(tmp_path)
    made = default_file(state.proxy).read_bytes()
    Certificates(state.proxy).prepare()
    assert default_file(state.proxy).read_bytes() == made
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(default_file(state.proxy))  # the certificate with its own key


def test_good_ones_are_left_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    issue(tmp_path)
    files = (state.pki / "ca.crt", default_file(state.proxy))
    before = [file.read_bytes() for file in files]
    issue(tmp_path)
    assert [file.read_bytes() for file in files] == before


def test_a_child_that_fails_is_told_of(tmp_path: Path) -> None:
    StateDir(tmp_path).pki.write_text("in the way")
    assert "making them here" in issue(tmp_path).stderr
