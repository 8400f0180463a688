"""ProcessRuntime over a real keeper: adoption, and what the keeper's loss means."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.agent.runtime.process import ProcessRuntime
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec, RuntimeFailure
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.keeper.protocol import ProcessSpec
from nodrop.statedir import StateDir


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[KeeperClient]:
    state = StateDir(tmp_path)
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    yield client
    last = await ensure_keeper(state.keeper, state.keeper_socket)  # a test may have killed it
    await last.shutdown(grace_s=0.2)
    client.close()


def _container(folder: Path, name: str, script: str) -> ContainerSpec:
    return ContainerSpec(
        id=ContainerId(f"uid-1_{name}_0"), pod_uid="uid-1", name=name,
        argv=("/bin/sh", "-c", script), env={"PATH": os.defpath}, cwd=str(folder),
        pod_ip="127.9.8.6", log_path=str(folder / f"{name}.log"),
    )  # fmt: skip


async def test_another_control_plane_adopts(keeper: KeeperClient, tmp_path: Path) -> None:
    before = ProcessRuntime(keeper)
    running = await before.start(_container(tmp_path, "web", "sleep 600"))
    short = await before.start(_container(tmp_path, "short", "exit 6"))
    ended = await before.wait(short.id)
    await before.note(running.id, "postStart", "done")
    keeper.close()

    client = KeeperClient(StateDir(tmp_path).keeper_socket)
    after = ProcessRuntime(client)
    found = {state.name: state for state in await after.list()}
    assert found["web"].pid == running.pid
    assert found["web"].wildcard_bind
    assert found["web"].notes == {"postStart": "done"}
    assert found["short"].exit == ended
    assert await after.wait(short.id) == ended
    client.close()


async def test_a_proxy_is_no_container(keeper: KeeperClient) -> None:
    await keeper.start(ProcessSpec(id="proxy", argv=("/bin/sleep", "600"), env={}, cwd="/"))
    assert await ProcessRuntime(keeper).list() == []


async def test_a_lost_keeper_fails_clearly_and_its_containers_are_unknown(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    runtime = ProcessRuntime(keeper)
    web = await runtime.start(_container(tmp_path, "web", "sleep 600"))
    os.kill((await keeper.info()).pid, signal.SIGKILL)
    with pytest.raises(RuntimeFailure, match="keeper"):
        await runtime.wait(web.id)
    state = StateDir(tmp_path)
    client = await ensure_keeper(state.keeper, state.keeper_socket)
    again = ProcessRuntime(client)
    exit = await again.wait(web.id)
    assert (exit.code, exit.known) == (137, False)
    # The same id does not start again: the agent counts a restart and takes the next id.
    assert (await again.start(_container(tmp_path, "web", "sleep 600"))).exit == exit
    client.close()
