"""`nodrop upgrade` to another installed version, under load: nothing is lost, no pod restarts."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

import nodrop
from nodrop.model.meta import Obj, is_deleting
from tests.system.harness import ROOT, Engine, Traffic, Watching, apply, hello


class Copy:
    """A second installation of nodrop: an interpreter of its own, and the package at a version."""

    def __init__(self, folder: Path, version: str) -> None:
        self.version = version
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        self.python = folder / "bin" / "python"
        site = next(folder.glob("lib/python*/site-packages"))
        shutil.copytree(
            ROOT / "src" / "nodrop", site / "nodrop", ignore=shutil.ignore_patterns("*.pyc.*")
        )
        (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
        self.package = site / "nodrop"
        self.change("__init__.py", nodrop.__version__, version)

    def change(self, file: str, old: str, new: str) -> None:
        path = self.package / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    def run(self, engine: Engine, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, "-m", "nodrop", *arguments],
            env=dict(engine.environment),
            capture_output=True,
            text=True,
            timeout=150,
            check=False,
        )


@pytest.fixture
def next_version(short_tmp: Path) -> Copy:
    return Copy(short_tmp / "next", "99.1.0")


def identities(pods: list[Obj]) -> dict[str, int]:
    """uid → restarts, of pods that are to stay."""
    return {
        pod["metadata"]["uid"]: sum(
            status["restartCount"] for status in pod["status"].get("containerStatuses") or ()
        )
        for pod in pods
        if not is_deleting(pod)
    }


async def test_forth_and_back_under_load_in_mid_rollout(engine: Engine, next_version: Copy) -> None:
    """S2 S13: 0 lost; every rollout converges; no pod is restarted; the keeper stays."""
    await apply(engine, hello("v1", env={"ON_SIGTERM": "exit"}), wait=True)
    keeper = engine.info["pids"]["keeper"]
    async with Traffic(engine.url, rate=150) as traffic:
        await apply(engine, hello("v2", env={"ON_SIGTERM": "exit"}))
        done = await asyncio.to_thread(next_version.run, engine, "upgrade")
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"nodrop {next_version.version}" in done.stdout
        assert engine.info["versions"]["nodrop"] == next_version.version
        async with engine.client() as client, Watching(client) as watching:
            await watching.until(lambda: watching.rolled_out("v2"))
            before = identities(watching.pods())
        assert set(before.values()) == {0}
        back = await asyncio.to_thread(engine.run, "upgrade")
        assert f"nodrop {nodrop.__version__}" in back.stdout
        async with engine.client() as client, Watching(client) as watching:
            assert identities(watching.pods()) == before
        await traffic.seen(100)
    assert traffic.lost == []
    assert engine.info["pids"]["keeper"] == keeper


async def test_a_version_that_does_not_get_up_is_rolled_back(
    engine: Engine, next_version: Copy
) -> None:
    await apply(engine, hello("v1"), wait=True)
    next_version.change(
        "wiring/engine.py", "await parts.proxy.start()", 'raise EngineFailure("I am broken")'
    )
    async with Traffic(engine.url, rate=100) as traffic:
        done = await asyncio.to_thread(next_version.run, engine, "upgrade")
        await traffic.seen(50)
        assert done.returncode == 1
        assert "I am broken" in done.stderr
        assert f"rolled back: nodrop {nodrop.__version__}" in done.stderr
        assert engine.info["versions"]["nodrop"] == nodrop.__version__
        engine.run("rollout", "status", "hello")
        await traffic.seen(50)
    assert traffic.lost == []


async def test_a_version_that_adopts_nothing_is_rolled_back(
    engine: Engine, next_version: Copy
) -> None:
    """It serves the API, but its agent never gets to the pods."""
    await apply(engine, hello("v1", replicas=1), wait=True)
    next_version.change("agent/agent.py", "self.adopted.set()", "pass")
    done = await asyncio.to_thread(next_version.run, engine, "upgrade", "--timeout", "4")
    assert done.returncode == 1
    assert "did not get there within 4 s" in done.stderr
    assert engine.info["versions"]["nodrop"] == nodrop.__version__


def test_a_store_that_was_migrated_goes_back_with_the_version(
    engine: Engine, next_version: Copy
) -> None:
    """A new format of the state file, whose nodrop fails: the old file is put back."""
    next_version.change("store/migrations.py", "STEPS = {2:", 'STEPS = {3: "more.sql", 2:')
    (next_version.package / "store" / "more.sql").write_text("CREATE TABLE more (x TEXT);\n")
    next_version.change(
        "wiring/engine.py", "await parts.proxy.start()", 'raise EngineFailure("I am broken")'
    )
    done = next_version.run(engine, "upgrade")
    assert done.returncode == 1
    assert "its state file is the one from before" in done.stderr
    engine.run("status")


def test_an_older_nodrop_refuses_a_newer_store_before_it_touches_anything(
    engine: Engine, next_version: Copy
) -> None:
    next_version.change("store/migrations.py", "STEPS = {2:", 'STEPS = {3: "more.sql", 2:')
    (next_version.package / "store" / "more.sql").write_text("CREATE TABLE more (x TEXT);\n")
    assert next_version.run(engine, "upgrade").returncode == 0
    pid = engine.info["pids"]["engine"]
    refused = engine.run("upgrade", check=False)
    assert refused.returncode == 1
    assert "format 3, written by nodrop 99.1.0" in refused.stderr
    assert engine.info["pids"]["engine"] == pid


def test_a_keeper_that_is_too_old_is_named_before_anything_is_touched(
    engine: Engine, next_version: Copy
) -> None:
    next_version.change("keeper/wire.py", "OLDEST_PROTOCOL = 2", "OLDEST_PROTOCOL = 3")
    next_version.change("keeper/wire.py", "PROTOCOL = 2", "PROTOCOL = 3")
    pid = engine.info["pids"]["engine"]
    done = next_version.run(engine, "upgrade")
    assert done.returncode == 1
    assert re.search(r"keeper \(pid \d+\) is too old", done.stderr)
    assert "nodrop down" in done.stderr
    assert engine.info["pids"]["engine"] == pid


async def test_the_proxy_is_replaced_under_load(engine: Engine) -> None:
    await apply(engine, hello("v1", env={"ON_SIGTERM": "exit"}), wait=True)
    before = engine.info["pids"]["proxy"]
    async with Traffic(engine.url, rate=150) as traffic:
        await apply(engine, hello("v2", env={"ON_SIGTERM": "exit"}))
        done = await asyncio.to_thread(engine.run, "upgrade", "--proxy")
        assert "done: HAProxy" in done.stdout
        async with engine.client() as client, Watching(client) as watching:
            await watching.until(lambda: watching.rolled_out("v2"))
        await traffic.seen(100)
    assert traffic.lost == []
    assert len(running_proxies(engine) - set(before)) == 2, "a main and an edge of their own"
    refused = engine.run("upgrade", "--proxy", "--haproxy", "/bin/true", check=False)
    assert refused.returncode == 2
    assert "/bin/true is not an HAProxy" in refused.stderr


def running_proxies(engine: Engine) -> set[int]:
    found: set[int] = set(engine.info["pids"]["proxy"])
    return found


def test_nothing_to_upgrade_is_said(new_engine: Callable[[], Engine]) -> None:
    refused = new_engine().run("upgrade", check=False)
    assert refused.returncode == 1
    assert "no control plane runs" in refused.stderr


async def test_what_systemd_does_with_killmode_process(engine: Engine) -> None:
    """Only the main process is ended, and one is started anew: pods and traffic don't notice."""
    await apply(engine, hello("v1"), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        before = identities(watching.pods())
    assert engine.process is not None
    async with Traffic(engine.url, rate=100) as traffic:
        for how in (signal.SIGTERM, signal.SIGKILL):
            os.kill(engine.process.pid, how)
            await asyncio.to_thread(engine.process.wait)
            await asyncio.to_thread(engine.serve)
        async with engine.client() as client, Watching(client) as watching:
            await watching.until(lambda: watching.rolled_out("v1"))
            assert identities(watching.pods()) == before
        await traffic.seen(50)
    assert traffic.lost == []
