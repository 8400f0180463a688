"""The agent over real processes under the keeper: order of endings, hooks, adoption."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from nodrop.agent.folders import DiskFolders
from nodrop.agent.probers.every import EveryProber
from nodrop.agent.runtime.process import ProcessRuntime
from nodrop.keeper.client import KeeperClient, ensure_keeper
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir
from tests.unit.agent.rig import Rig, container, container_status, is_ready, pod

#: Writes what happens to it, line by line, into the file given; serves /healthz on port 8080.
APP = dedent(
    """
    import os, signal, sys, threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    journal = os.open(sys.argv[1], os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    mode = sys.argv[2] if len(sys.argv) > 2 else "polite"

    def on_term(number, frame):
        os.write(journal, b"SIGTERM\\n")
        if mode == "polite":
            os._exit(0)

    signal.signal(signal.SIGTERM, on_term)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            ok = os.path.exists(sys.argv[1] + ".ok") if mode == "gated" else True
            self.send_response(200 if ok else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
    os.write(journal, b"up\\n")
    print("serving", flush=True)
    server.serve_forever()
    """
)
HTTP = {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1}


class World:
    """A rig with the real runtime and prober; ``journal`` is what a process wrote."""

    def __init__(self, folder: Path, keeper: KeeperClient, rig: Rig) -> None:
        self.folder, self.keeper, self.rig = folder, keeper, rig
        self.app = folder / "app.py"
        self.app.write_text(APP)

    def container(self, name: str, *arguments: str, **fields: object) -> Obj:
        command = (sys.executable, "-I", "-S", str(self.app), str(self.folder / name), *arguments)
        return container(*command, name="app", **fields)

    def journal(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def write(self, name: str, line: str) -> list[str]:
        """A hook's command that adds a line to a journal."""
        return ["/bin/sh", "-c", f"echo {line} >> {self.folder / name}"]


@asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[World]:
    state = StateDir(folder / "state")
    keeper = await ensure_keeper(state.keeper, state.keeper_socket)
    runtime = ProcessRuntime(keeper)
    prober = EveryProber(runtime)
    try:
        network = (await keeper.info()).network
        rig = Rig(
            runtime=runtime,
            prober=prober,
            folders=DiskFolders(state.pods),
            pod_cidr=f"127.{network}.128.0/17",
        )
        yield World(folder, keeper, rig)
    finally:
        await prober.close()
        await keeper.shutdown()
        keeper.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with _world(tmp_path) as made:
        yield made


async def test_two_pods_on_one_port_become_ready(world: World) -> None:
    """Both bind 0.0.0.0:8080; each gets its own address."""
    rig = world.rig
    async with rig.running():
        for name in ("a", "b"):
            await rig.create(pod(name, world.container(name, readinessProbe=HTTP)))
        first, second = await rig.until_ready("a"), await rig.until_ready("b")
        assert first["status"]["podIP"] != second["status"]["podIP"]


async def test_s7_ready_follows_the_http_probe(world: World) -> None:
    """S7: ready only while the probe passes, with upstream's message when it does not."""
    rig = world.rig
    async with rig.running():
        probe = HTTP | {"failureThreshold": 1}
        await rig.create(pod("web", world.container("web", "gated", readinessProbe=probe)))
        message = "Readiness probe failed: HTTP probe failed with statuscode: 503"
        await rig.until(lambda: message in rig.events("Unhealthy"))
        assert not is_ready(rig.pod("web"))
        (world.folder / "web.ok").touch()
        await rig.until_ready("web")
        (world.folder / "web.ok").unlink()
        await rig.until_ready("web", ready=False)


async def test_s9_s10_without_a_probe_ready_means_running(world: World) -> None:
    """S9, S10: the instant from which minReadySeconds counts is that of Ready, set at the start."""
    rig = world.rig
    async with rig.running():
        await rig.create(pod("web", world.container("web")))
        found = await rig.until_ready("web")
        [ready] = [c for c in found["status"]["conditions"] if c["type"] == "Ready"]
        started = container_status(found)["state"]["running"]["startedAt"]
        assert ready["lastTransitionTime"] >= started


async def test_s12_s13_sigterm_waits_for_the_proxy(world: World) -> None:
    """S12, S13: no signal before the data plane has let go of the pod; then SIGTERM."""
    rig = world.rig
    rig.traffic.release.clear()
    async with rig.running():
        await rig.create(pod("web", world.container("web", readinessProbe=HTTP)))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until(lambda: rig.traffic.history != [])
        assert world.journal("web") == ["up"]
        rig.traffic.release.set()
        await rig.until_gone("web")
        assert world.journal("web") == ["up", "SIGTERM"]
        assert rig.pods[-1]["status"]["phase"] == "Succeeded"


async def test_s15_sigkill_ends_what_ignores_sigterm(world: World) -> None:
    """S15: SIGKILL after the grace period, with exit code 137."""
    rig = world.rig
    async with rig.running():
        stubborn = world.container("web", "stubborn", readinessProbe=HTTP)
        await rig.create(pod("web", stubborn, terminationGracePeriodSeconds=1))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        assert world.journal("web") == ["up", "SIGTERM"]
        ended = container_status(rig.pods[-1])["state"]["terminated"]
        assert ended["exitCode"] == 137


async def test_s16_s18_s19_pre_stop_comes_before_sigterm(world: World) -> None:
    """S16, S18, S19: preStop is over before SIGTERM is sent."""
    rig = world.rig
    slow = ["/bin/sh", "-c", f"sleep 0.5; echo preStop >> {world.folder / 'web'}"]
    async with rig.running():
        hooks = {"preStop": {"exec": {"command": slow}}}
        await rig.create(pod("web", world.container("web", lifecycle=hooks, readinessProbe=HTTP)))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        assert world.journal("web") == ["up", "preStop", "SIGTERM"]


async def test_s20_pre_stop_does_not_extend_the_grace_period(world: World) -> None:
    """S20: a hook longer than the grace period is cut; SIGTERM and the end come all the same."""
    rig = world.rig
    endless = ["/bin/sh", "-c", f"sleep 60; echo preStop >> {world.folder / 'web'}"]
    async with rig.running():
        hooks = {"preStop": {"exec": {"command": endless}}}
        made = world.container("web", lifecycle=hooks, readinessProbe=HTTP)
        await rig.create(pod("web", made, terminationGracePeriodSeconds=2))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        assert world.journal("web") == ["up", "SIGTERM"]
        assert rig.events("FailedPreStopHook") == [
            "PreStopHook failed: the grace period ended before the hook did"
        ]


async def test_s17_post_start_runs_after_the_start(world: World) -> None:
    """S17: postStart ran when the pod becomes ready; a failing one ends the container."""
    rig = world.rig
    async with rig.running():
        hooks = {"postStart": {"exec": {"command": world.write("a", "postStart")}}}
        await rig.create(pod("a", world.container("a", lifecycle=hooks)))
        await rig.until_ready("a")
        assert "postStart" in world.journal("a")
        failing = {"postStart": {"exec": {"command": ["/bin/false"]}}}
        await rig.create(pod("b", world.container("b", lifecycle=failing)))
        await rig.until(lambda: rig.events("FailedPostStartHook") != [])
        await rig.until(lambda: container_status(rig.pod("b")).get("restartCount", 0) >= 1)
        assert not any(is_ready(one) for one in rig.pods if one["metadata"]["name"] == "b")


async def test_a_killed_engine_leaves_pods_running_and_finds_them_again(world: World) -> None:
    rig = world.rig
    async with rig.running():
        await rig.create(pod("web", world.container("web", readinessProbe=HTTP)))
        before = await rig.until_ready("web")
    async with rig.running():
        await rig.until(lambda: rig.events("Adopted") != [])
        after = rig.pod("web")
        assert container_status(after)["containerID"] == container_status(before)["containerID"]
        assert is_ready(after)
        await rig.delete("web")
        await rig.until_gone("web")
        async with asyncio.timeout(60):
            while await world.keeper.list():
                await asyncio.sleep(0.01)
    assert world.journal("web") == ["up", "SIGTERM"]


async def test_an_end_in_the_middle_of_pre_stop_goes_on(world: World) -> None:
    rig = world.rig
    async with rig.running():
        hooks = {"preStop": {"sleep": {"seconds": 2}}}
        await rig.create(pod("web", world.container("web", lifecycle=hooks, readinessProbe=HTTP)))
        await rig.until_ready("web")
        await rig.delete("web")
        while "preStop" not in (await world.keeper.list())[0].notes:
            await asyncio.sleep(0.01)
    assert world.journal("web") == ["up"]
    async with rig.running():
        await rig.until_gone("web")
    assert world.journal("web") == ["up", "SIGTERM"]


async def test_a_program_that_is_not_there_is_named(world: World) -> None:
    rig = world.rig
    async with rig.running():
        await rig.create(pod("web", container("no-such-program")))
        await rig.until(lambda: rig.events("Failed") != [])
        [message] = rig.events("Failed")
        assert "no-such-program" in message


async def test_logs_and_folders_go_with_the_pod(world: World) -> None:
    rig = world.rig
    async with rig.running():
        made = await rig.create(pod("web", world.container("web", readinessProbe=HTTP)))
        await rig.until_ready("web")
        folder = StateDir(world.folder / "state").pods / made["metadata"]["uid"]
        assert "serving" in (folder / "logs" / "app" / "0.log").read_text()
        await rig.delete("web")
        await rig.until_gone("web")
        async with asyncio.timeout(60):
            while folder.exists():
                await asyncio.sleep(0.01)
