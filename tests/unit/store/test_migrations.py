"""State files of older formats are brought forward, newer ones are refused, and back is a way."""

from __future__ import annotations

import sqlite3
from importlib import resources
from pathlib import Path

import pytest

import nodrop
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import ObjectKey
from nodrop.store import migrations
from nodrop.store.migrations import SCHEMA_VERSION, kept_copy, restore
from nodrop.store.protocol import ABSENT, StoreCorrupt, Write
from nodrop.store.sqlite import APPLICATION_ID, SqliteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "nodrop.db"


def first_format(path: Path) -> None:
    """A file as nodrop 0.1.0 wrote it, with one object."""
    schema = resources.files("nodrop.store").joinpath("schema.sql").read_text()
    db = sqlite3.connect(path)
    db.executescript(
        f"{schema}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;"
        "INSERT INTO log VALUES (7, 'ADDED', 'configmaps', 'default', 'a', 0,"
        """ '{"kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}');"""
    )
    db.close()


def version_of(path: Path) -> int:
    db = sqlite3.connect(path)
    version: int = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return version


def names(store: SqliteStore) -> list[str]:
    return [one.obj["metadata"]["name"] for one in store.list(CONFIGMAP)]


def put(store: SqliteStore, name: str) -> None:
    key = ObjectKey(CONFIGMAP, "default", name)
    obj = {"kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"}}
    store.commit(Write(key, obj, expected=ABSENT))


def test_an_old_file_goes_forward_with_its_objects_and_revision(path: Path) -> None:
    first_format(path)
    store = SqliteStore(path)
    assert (names(store), store.revision) == (["a"], 7)
    put(store, "b")
    store.close()
    assert version_of(path) == SCHEMA_VERSION
    assert version_of(kept_copy(path, 1)) == 1
    assert kept_copy(path, 1).stat().st_mode & 0o777 == 0o600
    again = SqliteStore(path)
    assert names(again) == ["a", "b"]
    again.close()


def test_a_file_of_today_is_not_copied(path: Path) -> None:
    SqliteStore(path).close()
    SqliteStore(path).close()
    assert [file.name for file in path.parent.iterdir() if "format" in file.name] == []


def test_what_was_kept_can_be_put_back(path: Path) -> None:
    assert not restore(path, 1)
    first_format(path)
    store = SqliteStore(path)
    put(store, "b")
    store.close()
    assert restore(path, 1)
    assert version_of(path) == 1
    store = SqliteStore(path)
    assert names(store) == ["a"]
    store.close()


def test_a_step_that_fails_leaves_the_format_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_format(path)
    real = migrations._text
    monkeypatch.setattr(
        migrations, "_text", lambda name: real(name) + "; INSERT INTO nowhere VALUES (1)"
    )
    with pytest.raises(StoreCorrupt, match="nowhere"):
        SqliteStore(path)
    monkeypatch.undo()
    assert version_of(path) == 1
    store = SqliteStore(path)
    assert names(store) == ["a"]
    store.close()


def test_a_newer_file_names_who_wrote_it(path: Path) -> None:
    SqliteStore(path).close()
    db = sqlite3.connect(path)
    db.executescript("PRAGMA user_version = 99; UPDATE written_by SET version = '9.8.7'")
    db.close()
    with pytest.raises(StoreCorrupt) as refused:
        SqliteStore(path)
    for part in ("format 99", "by nodrop 9.8.7", nodrop.__version__, f"up to {SCHEMA_VERSION}"):
        assert part in str(refused.value)
