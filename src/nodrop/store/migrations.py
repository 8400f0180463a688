"""The formats of the state file, and how a file of an older one becomes one of today's.

A new format is a SQL file here and an entry in ``STEPS``. Files only move forward. The file as it
was is kept beside it (``nodrop.db.format1``): who goes back to the older nodrop goes back to that.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from importlib import resources
from pathlib import Path

#: Format → the file of statements that makes it from the one before.
STEPS = {2: "written_by.sql"}
SCHEMA_VERSION = max(STEPS)
_FIRST = "schema.sql"


def create(db: sqlite3.Connection, application_id: int) -> None:
    """Everything in an empty file, in one transaction."""
    statements = ";".join(_text(name) for name in (_FIRST, *STEPS.values()))
    db.executescript(
        f"BEGIN IMMEDIATE; {statements}; PRAGMA application_id = {application_id};"
        f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    )


def migrate(db: sqlite3.Connection, path: str) -> None:
    """Bring a sound file of ours to today's format: a copy first, then step by step.

    Each step is a transaction with its version in it: kill -9 leaves one format or the next.
    """
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    if version < SCHEMA_VERSION and path != ":memory:":
        _copy(db, kept_copy(path, version))
    for step in range(version + 1, SCHEMA_VERSION + 1):
        db.executescript(
            f"BEGIN IMMEDIATE; {_text(STEPS[step])}; PRAGMA user_version = {step}; COMMIT;"
        )


def kept_copy(path: Path | str, version: int) -> Path:
    """Where the file of format ``version`` is kept when it is migrated."""
    return Path(f"{path}.format{version}")


def restore(path: Path, version: int) -> bool:
    """Put the copy of format ``version`` back in place; False when there is none.

    For a file that no process has open. What was written since the copy was made is gone.
    """
    copy = kept_copy(path, version)
    if not copy.exists():
        return False
    for suffix in ("-wal", "-shm"):  # they belong to the file that goes
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    os.replace(copy, path)
    return True


def _copy(db: sqlite3.Connection, target: Path) -> None:
    partial = Path(f"{target}.new")
    partial.unlink(missing_ok=True)
    db.execute("VACUUM INTO ?", (str(partial),))
    with contextlib.suppress(OSError):
        partial.chmod(0o600)
    os.replace(partial, target)


def _text(name: str) -> str:
    return resources.files("nodrop.store").joinpath(name).read_text().strip().rstrip(";")
