"""engine.json is believed only while the process that wrote it lives."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

from nodrop.cli.background import running_engine
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
