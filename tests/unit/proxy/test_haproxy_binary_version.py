"""The version of a program is asked again only when its file has changed."""

from __future__ import annotations

import os
from pathlib import Path

from nodrop.proxy.haproxy.binary import current_version


def program(path: Path, version: str, changed_s: int) -> Path:
    path.write_text(f"#!/bin/sh\necho asked >> {path}.log\necho 'HAProxy version {version}'\n")
    path.chmod(0o755)
    os.utime(path, (changed_s, changed_s))
    return path


def test_a_version_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = program(tmp_path / "haproxy", "2.6.12", 1)
    assert [current_version(path), current_version(path)] == [(2, 6, 12), (2, 6, 12)]
    assert (tmp_path / "haproxy.log").read_text().count("asked") == 1
    program(path, "3.0.1", 2)
    assert current_version(path) == (3, 0, 1)
    assert current_version(tmp_path / "none") == ()
