"""``nodrop down`` looks again until nothing is left, whatever happens to the engine meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nodrop.cli import background, down
from nodrop.cli.session import Failure
from nodrop.keeper import proc
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

ENDED_PID = 2**22 + 1


def record_of(pid: int, **fields: object) -> str:
    """As the keeper writes it."""
    known: dict[str, object] = {
        "id": "web",
        "argv": ["sleep"],
        "cwd": "/",
        "log": None,
        "bind_ip": None,
        "fds": {},
        "restart": False,
        "labels": {},
        "pid": pid,
        "start_ticks": proc.start_ticks(pid),
        "mark": 0,
        "boot_id": proc.boot_id(),
        "started_at": 1.0,
        "exit_code": None,
        "exited_at": None,
        "known": True,
        "notes": {},
        "signals": [],
        "bind_redirect": False,
        "bind_error": "",
        "restarts": 0,
    }
    return json.dumps({**known, **fields})


def test_what_a_killed_keeper_has_left_running_is_found(tmp_path: Path) -> None:
    """Else "nothing runs" would be said of pods that serve."""
    state = StateDir(tmp_path)
    assert not down._left_behind(state)
    records = state.keeper / "processes"
    records.mkdir(parents=True)
    with subprocess.Popen(["sleep", "1000"]) as process:
        web = records / "web.json"
        web.write_text(record_of(process.pid))
        assert down._left_behind(state)
        web.write_text(record_of(process.pid, exit_code=0))
        assert not down._left_behind(state)
        web.write_text(record_of(process.pid))
        process.kill()
    assert not down._left_behind(state)


class Engines:
    """Stands in for starting engines and looking for them: what each look finds, one by one."""

    def __init__(self, *found: Obj | None) -> None:
        self.found = list(found)

    async def look(self, _state: StateDir) -> tuple[Obj | None, bool]:
        engine = self.found.pop(0)
        return engine, bool(engine and engine.get("started by us"))


def engine(pid: int, keeper: int) -> Obj:
    return {"pids": {"engine": pid, "keeper": keeper}}


Stop = Callable[..., str]


@pytest.fixture
def stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Stop:
    """Run it on what the looks find; returns what it said."""

    def run(*found: Obj | None) -> str:
        engines = Engines(*found)
        monkeypatch.setattr(down, "_engine_to_end", engines.look)
        monkeypatch.setattr(down, "_KEEPER_ENDS_WITHIN_S", 0.01)
        asyncio.run(down._stop_everything(StateDir(tmp_path), 10.0, []))
        assert engines.found == []
        return capsys.readouterr().out

    return run


def test_nothing_to_end(stop: Stop) -> None:
    assert "nothing runs" in stop(None)


def test_an_engine_that_ends_as_it_is_asked_to_is_no_traceback(stop: Stop) -> None:
    """Two ``nodrop down`` at once."""
    assert "everything has ended" in stop(engine(ENDED_PID, ENDED_PID))


def test_a_keeper_that_goes_on_gets_an_engine_that_ends_it(stop: Stop) -> None:
    """SIGTERM ended the control plane, and only that, before it was asked to end everything."""
    alive = engine(ENDED_PID, os.getpid())
    assert "everything has ended" in stop(alive, None)
    with pytest.raises(Failure, match="its keeper goes on"):
        stop(alive, alive, alive)


def test_who_begins_anew_meanwhile_is_left_alone(stop: Stop) -> None:
    """``nodrop up`` waits for the end, and is quick then."""
    assert "everything has ended" in stop(
        engine(ENDED_PID, os.getpid()), engine(os.getpid(), ENDED_PID)
    )


def test_an_engine_started_to_end_what_a_killed_keeper_left_is_ended_too(stop: Stop) -> None:
    """It has a keeper of its own, and was taken for somebody else's: it stayed, with all pods."""
    ours = engine(ENDED_PID, ENDED_PID) | {"started by us": True}
    assert "everything has ended" in stop(engine(ENDED_PID, os.getpid()), ours)


async def test_an_engine_that_is_only_starting_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "Nothing runs" was said, and then it served."""

    async def settled(_state: StateDir, *, ending_too: bool) -> Obj | None:
        return engine(7, 8) if ending_too else None

    monkeypatch.setattr(background, "settled", settled)
    assert await down._engine_to_end(StateDir(tmp_path)) == (engine(7, 8), False)
