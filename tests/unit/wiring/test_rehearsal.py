"""Cluster-faithful mode can't be had on an engine that serves anybody."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from nodrop.proxy.haproxy.manner import Manner
from nodrop.statedir import StateDir
from nodrop.wiring.files import EngineFailure, Settings
from nodrop.wiring.rehearsal import (
    Rehearsal,
    grace_of,
    late_of,
    manner_of,
    mark_for_rehearsal,
    owner_gone,
    read_rehearsal,
)

SERVING = Settings(network=16, http_port=8080, bind=(), api_port=6443)
REHEARSING = msgspec.structs.replace(SERVING, rehearsal=True)


def test_an_engine_without_the_mark_serves(tmp_path: Path) -> None:
    assert read_rehearsal(StateDir(tmp_path), None) is None
    assert read_rehearsal(StateDir(tmp_path), SERVING) is None


def test_a_marked_folder_is_a_rehearsals(tmp_path: Path) -> None:
    mark_for_rehearsal(StateDir(tmp_path), "cluster", seed=7)
    found = read_rehearsal(StateDir(tmp_path), None)
    assert found is not None
    assert (found.mode, found.seed) == ("cluster", 7)
    assert late_of(found) is not None
    assert not manner_of(found).retries
    assert read_rehearsal(StateDir(tmp_path), REHEARSING) == found


def test_nodrop_mode_changes_nothing_but_that_answers_tell_their_pod(tmp_path: Path) -> None:
    mark_for_rehearsal(StateDir(tmp_path), "nodrop", seed=7)
    found = read_rehearsal(StateDir(tmp_path), None)
    assert found is not None
    assert late_of(found) is None
    assert manner_of(found) == Manner(names_pods=True)
    assert manner_of(None) == Manner()


def test_an_engine_that_has_served_refuses_the_mark(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    mark_for_rehearsal(state, "cluster", seed=7)
    with pytest.raises(EngineFailure, match="serving engine"):
        read_rehearsal(state, SERVING)
    state.database.touch()
    with pytest.raises(EngineFailure, match="serving engine"):
        read_rehearsal(state, None)


def test_what_was_a_rehearsals_never_serves(tmp_path: Path) -> None:
    with pytest.raises(EngineFailure, match="was a rehearsal's"):
        read_rehearsal(StateDir(tmp_path), REHEARSING)


def test_a_rehearsal_whose_owner_has_gone_does_not_start(tmp_path: Path) -> None:
    gone = Rehearsal(mode="cluster", seed=1, owner_pid=2**22 + 1, owner_ticks=5)
    (tmp_path / "rehearsal.json").write_bytes(msgspec.json.encode(gone))
    with pytest.raises(EngineFailure, match="has ended"):
        read_rehearsal(StateDir(tmp_path), None)


async def test_the_owners_end_is_noticed() -> None:
    from nodrop.keeper.proc import start_ticks

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        marked = Rehearsal("cluster", 1, owner.pid, start_ticks(owner.pid))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(owner_gone(marked))
            await asyncio.sleep(0)
            assert not waiting.done()
            assert owner.stdin is not None
            owner.stdin.close()
            async with asyncio.timeout(30):
                await waiting


def test_only_the_pods_of_a_rehearsal_are_not_given_their_own_time_at_its_end() -> None:
    ours = Rehearsal(mode="nodrop", seed=1, owner_pid=1, owner_ticks=1)
    assert (grace_of(None), grace_of(ours)) == (None, 1)
