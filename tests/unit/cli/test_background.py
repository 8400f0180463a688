"""engine.json is believed only while the process that wrote it lives."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from nodrop.cli.background import is_locked, running_engine, start_engine
from nodrop.cli.session import Failure, engine_of
from nodrop.keeper.proc import start_ticks
from nodrop.statedir import StateDir


def test_a_reused_pid_is_not_the_engine(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    mine = start_ticks(os.getpid())
    with state.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for ticks, known in ((mine, True), (mine - 1, False)):
            found = {"pids": {"engine": os.getpid()}, "start_ticks": ticks}
            state.engine_json.write_text(json.dumps(found))
            assert (running_engine(state) is not None) == known
        state.engine_json.write_text(json.dumps({"pids": {"engine": 2**22 + 1}}))
        assert running_engine(state) is None


async def test_a_state_folder_that_cannot_be_is_named_and_no_traceback_is_shown(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    state = StateDir(tmp_path / "file" / "state")
    refused = f"the state folder {state.root} can't be used: Not a directory"
    for ask in (is_locked, engine_of):
        with pytest.raises(Failure, match=refused):
            ask(state)
    with pytest.raises(Failure, match=refused):
        await start_engine(state, ["true"])


async def test_an_engine_that_dies_without_a_word_is_told_with_the_room_that_is_left(
    tmp_path: Path,
) -> None:
    with pytest.raises(Failure, match=r"its log .*engine.log is empty \(\d+ KiB are free there\)"):
        await start_engine(StateDir(tmp_path), ["false"])
