"""engine.json is believed only while the process that wrote it lives."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from nodrop.cli import background
from nodrop.cli.background import (
    _ended_if_given_up,
    ensure_engine,
    is_locked,
    running_engine,
    settled,
    start_engine,
)
from nodrop.cli.session import Failure, engine_of
from nodrop.keeper.proc import start_ticks
from nodrop.statedir import StateDir
from nodrop.wiring.enginefile import disown_earlier


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


def test_what_an_engine_wrote_before_it_started_again_is_not_what_runs(tmp_path: Path) -> None:
    """It keeps pid and start time: its old engine.json was believed until the next was written."""
    state = StateDir(tmp_path)
    found = {"pids": {"engine": os.getpid()}, "start_ticks": start_ticks(os.getpid())}
    with state.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state.engine_json.write_text(json.dumps(found))
        disown_earlier(state)
        assert running_engine(state) is None
        assert engine_of(state)["pids"] == found["pids"], "it is only away"
        for other in (json.dumps({**found, "pids": {"engine": 1}}), "{", "[]", "{}"):
            state.engine_json.write_text(other)
            disown_earlier(state)
            assert state.engine_json.read_text() == other


async def test_modules_that_lie_in_the_current_folder_are_not_the_engines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An app's queue.py or asyncio.py ran in the engine, which did not start."""
    (tmp_path / "asyncio.py").write_text("raise SystemExit('the app ran')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Failure, match="Invalid value for '--http-port'"):
        await ensure_engine(StateDir(tmp_path / "state"), ["--http-port=x"])


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


async def test_an_engine_that_is_ending_everything_is_waited_for(tmp_path: Path) -> None:
    """``nodrop up`` while ``nodrop down`` runs: its objects belong to the next engine."""
    state = StateDir(tmp_path)
    engine = {"pids": {"engine": os.getpid()}, "start_ticks": start_ticks(os.getpid())}
    with state.lock.open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state.engine_json.write_text(json.dumps({**engine, "ending": True}))
        assert await settled(state, ending_too=True)
        waiting = asyncio.ensure_future(settled(state))
        await asyncio.sleep(0)
        assert not waiting.done()
    async with asyncio.timeout(10):
        assert await waiting is None


async def test_an_engine_whose_starter_is_interrupted_ends() -> None:
    """Ctrl-C in a rehearsal removed the folder under an engine that was about to serve in it."""
    with subprocess.Popen(["sleep", "1000"]) as process:

        async def start() -> None:
            async with _ended_if_given_up(process):
                await asyncio.Event().wait()

        starting = asyncio.ensure_future(start())
        await asyncio.sleep(0)
        starting.cancel()
        async with asyncio.timeout(10):
            with pytest.raises(asyncio.CancelledError):
                await starting
        assert process.poll() is not None


async def test_one_that_hangs_is_killed_when_it_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else Ctrl-C would hang too: a stopped process takes no SIGTERM."""
    monkeypatch.setattr(background, "_GIVEN_UP_S", 0.05)
    with subprocess.Popen(["sleep", "1000"]) as process:
        process.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(os.waitpid, process.pid, os.WUNTRACED)  # it has stopped
        with pytest.raises(asyncio.CancelledError):
            async with _ended_if_given_up(process):
                raise asyncio.CancelledError
        assert process.returncode == -signal.SIGKILL
