"""What is said of an engine that does not answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nodrop.cli.session import Failure, connect
from nodrop.client.http import Unreachable
from nodrop.statedir import StateDir

KUBECONFIG = """
clusters: [{name: n, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: n, user: {token: t}}]
contexts: [{name: n, context: {cluster: n, user: n}}]
current-context: n
"""


async def hint(state: StateDir, keeper: int) -> str:
    state.engine_json.write_text(json.dumps({"pids": {"keeper": keeper}}))
    state.kubeconfig.write_text(KUBECONFIG)
    with pytest.raises(Failure) as failed:
        async with connect(state):
            raise Unreachable("https://127.0.0.1:1", ConnectionRefusedError("refused"))
    return failed.value.hint


async def test_pods_are_said_to_run_on_only_while_their_keeper_does(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    waits = [sys.executable, "-c", "input()", str(state.keeper)]
    with subprocess.Popen(waits, stdin=subprocess.PIPE) as keeper:
        assert (await hint(state, keeper.pid)).startswith("pods keep running without it")
        keeper.communicate(b"\n")
    assert (await hint(state, keeper.pid)).startswith("the keeper of its pods has ended too")
