"""What every Runtime promises; run against each one there is."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from signal import Signals

import pytest

from nodrop.agent.runtime.process import ProcessRuntime
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec, Runtime, RuntimeFailure
from nodrop.keeper.client import ensure_keeper
from nodrop.statedir import StateDir
from tests.contract.simulated import simulated_runtime


@pytest.fixture(params=["process", "simulated"])
async def runtime(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Runtime]:
    if request.param == "simulated":
        yield simulated_runtime()
        return
    state = StateDir(tmp_path)
    keeper = await ensure_keeper(state.keeper, state.keeper_socket)
    try:
        yield ProcessRuntime(keeper)
    finally:
        await keeper.shutdown(grace_s=0.2)


def _container(folder: Path, script: str, *, restarts: int = 0) -> ContainerSpec:
    return ContainerSpec(
        id=ContainerId(f"uid-1_web_{restarts}"),
        pod_uid="uid-1",
        name="web",
        argv=("/bin/sh", "-c", script),
        env={"PATH": os.defpath, "COLOUR": "blue"},
        cwd=str(folder),
        pod_ip="127.9.8.7",
        log_path=str(folder / "logs" / f"{restarts}.log"),
        labels={"namespace": "default"},
    )


async def test_a_started_container_is_listed_and_ends(runtime: Runtime, tmp_path: Path) -> None:
    started = await runtime.start(_container(tmp_path, "sleep 0.2; exit 3"))
    assert (started.pod_uid, started.name, started.exit) == ("uid-1", "web", None)
    assert await runtime.list() == [started]
    exits = await asyncio.gather(runtime.wait(started.id), runtime.wait(started.id))
    assert [(exit.code, exit.known) for exit in exits] == [(3, True)] * 2
    (ended,) = await runtime.list()
    assert ended.exit == exits[0]
    assert exits[0].at >= started.started_at


async def test_a_second_start_gives_the_first(runtime: Runtime, tmp_path: Path) -> None:
    spec = _container(tmp_path, "sleep 600")
    first = await runtime.start(spec)
    assert await runtime.start(spec) == first


async def test_a_program_that_is_missing_is_named(runtime: Runtime, tmp_path: Path) -> None:
    spec = _container(tmp_path, "")
    missing = ContainerSpec(
        id=spec.id, pod_uid="uid-1", name="web", argv=("no-such-program",), env=spec.env,
        cwd=spec.cwd, pod_ip=spec.pod_ip, log_path=spec.log_path,
    )  # fmt: skip
    with pytest.raises(RuntimeFailure, match="no-such-program"):
        await runtime.start(missing)
    assert await runtime.list() == []


async def test_terminate_and_kill(runtime: Runtime, tmp_path: Path) -> None:
    polite = await runtime.start(_container(tmp_path, "exec sleep 600"))
    await runtime.signal(polite.id, Signals.SIGTERM)
    assert (await runtime.wait(polite.id)).code == 143
    await runtime.signal(polite.id, Signals.SIGTERM)
    deaf = await runtime.start(
        _container(tmp_path, "trap '' TERM; echo up; while :; do sleep 600; done", restarts=1)
    )
    async with asyncio.timeout(20):
        log = tmp_path / "logs" / "1.log"
        while not log.exists() or not log.read_text():
            await asyncio.sleep(0.01)
    await runtime.signal(deaf.id, Signals.SIGTERM)
    await runtime.signal(deaf.id, Signals.SIGKILL)
    assert (await runtime.wait(deaf.id)).code == 137


async def test_unknown_containers(runtime: Runtime) -> None:
    ghost = ContainerId("uid-0_web_0")
    end = await runtime.wait(ghost)
    assert (end.code, end.known) == (137, False)
    assert end.at.tzinfo is not None
    await runtime.signal(ghost, Signals.SIGTERM)
    await runtime.remove(ghost)
    with pytest.raises(RuntimeFailure):
        await runtime.exec(ghost, ["true"], timeout_s=1)


async def test_exec(runtime: Runtime, tmp_path: Path) -> None:
    web = await runtime.start(_container(tmp_path, "sleep 600"))
    result = await runtime.exec(web.id, ["sh", "-c", "echo $COLOUR; exit 5"], timeout_s=20)
    assert (result.code, result.output) == (5, b"blue\n")
    with pytest.raises(TimeoutError):
        await runtime.exec(web.id, ["sleep", "600"], timeout_s=0.3)
    with pytest.raises(RuntimeFailure, match="no-such-program"):
        await runtime.exec(web.id, ["no-such-program"], timeout_s=20)
    assert (await runtime.list())[0].exit is None


async def test_notes_stay_until_removal(runtime: Runtime, tmp_path: Path) -> None:
    web = await runtime.start(_container(tmp_path, "sleep 600"))
    await runtime.note(web.id, "preStop", "done")
    (found,) = await runtime.list()
    assert found.notes["preStop"] == "done"
    with pytest.raises(RuntimeFailure):
        await runtime.remove(web.id)
    await runtime.signal(web.id, Signals.SIGKILL)
    await runtime.wait(web.id)
    await runtime.remove(web.id)
    assert await runtime.list() == []
    assert (tmp_path / "logs" / "0.log").exists()
