"""Folders of rehearsals that were killed are removed, and nobody else's."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

import pytest

from nodrop.cli.leftovers import own_folder, remove_leftovers

LATER_S = time.time() + 3600


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left(folder: Path, name: str = "nodrop-rehearsal-a") -> Path:
    made = folder / name
    (made / "keeper").mkdir(parents=True)
    for lock in ("owner.lock", "engine.lock", "keeper/lock"):
        (made / lock).touch()
    return made


def test_what_nobody_holds_is_removed(folder: Path) -> None:
    rehearsal, demo = left(folder), left(folder, "nodrop-demo-b")
    empty = folder / "nodrop-rehearsal-c"
    empty.mkdir()
    assert sorted(remove_leftovers(LATER_S)) == sorted([rehearsal, demo, empty])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("lock", ["owner.lock", "engine.lock", "keeper/lock"])
def test_a_held_lock_is_a_living_process(folder: Path, lock: str) -> None:
    made = left(folder)
    with (made / lock).open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_leftovers(LATER_S) == []
        assert made.is_dir()
    assert remove_leftovers(LATER_S) == [made]


def test_the_folder_of_this_process_stays_until_it_lets_go(folder: Path) -> None:
    with own_folder("rehearsal") as state:
        assert remove_leftovers(LATER_S) == []
    assert remove_leftovers(LATER_S) == [state.root]


def test_young_folders_links_and_other_names_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = folder / "precious"
    target.mkdir()
    (folder / "nodrop-rehearsal-link").symlink_to(target)
    young = left(folder)
    assert remove_leftovers() == []
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert remove_leftovers(LATER_S) == []
    assert target.is_dir()
    assert young.is_dir()
