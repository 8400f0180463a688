"""The state folder and its files are for their owner only, whatever was there before."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodrop.statedir import StateDir
from nodrop.store.sqlite import SqliteStore
from nodrop.wiring.files import EngineFailure, make_folders, take_lock


@pytest.fixture(autouse=True)
def generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_folder_that_was_open_is_closed(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "state")
    state.root.mkdir(mode=0o755)
    state.pki.mkdir(mode=0o755)
    make_folders(state)
    for folder in (state.root, state.sockets, state.keeper, state.pods, state.proxy, state.pki):
        assert mode(folder) == 0o700, folder


def test_the_store_is_private(tmp_path: Path) -> None:
    path = tmp_path / "nodrop.db"
    for _ in range(2):
        store = SqliteStore(str(path))
        for file in tmp_path.iterdir():
            assert mode(file) == 0o600, file
        store.close()
        path.chmod(0o644)  # as older versions left it


async def test_who_only_looks_whether_an_engine_runs_keeps_none_from_starting(
    tmp_path: Path,
) -> None:
    """``nodrop up`` holds the lock, shared, for as long as it takes to ask."""
    state = StateDir(tmp_path / "state")
    state.root.mkdir()
    with state.lock.open("ab") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        starting = asyncio.ensure_future(take_lock(state))
        await asyncio.sleep(0)
        assert not starting.done()
    async with asyncio.timeout(10):
        (await starting).close()


async def test_a_second_engine_is_refused_and_touches_nothing(tmp_path: Path) -> None:
    """The first may be ending, and removing what the second would have made."""
    state = StateDir(tmp_path / "state")
    with await take_lock(state):
        with pytest.raises(EngineFailure, match="another nodrop engine runs"):
            await take_lock(state)
        assert [path.name for path in state.root.iterdir()] == ["engine.lock"]
