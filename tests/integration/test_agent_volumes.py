"""Volumes and termination messages of real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from nodrop.agent.folders import DiskFolders
from nodrop.agent.probers.every import EveryProber
from nodrop.agent.runtime.process import ProcessRuntime
from nodrop.agent.volumes import DiskVolumes
from nodrop.client.actions import Patch
from nodrop.keeper.client import ensure_keeper
from nodrop.model.kinds import CONFIGMAP, POD
from nodrop.model.meta import Obj, ObjectKey
from nodrop.statedir import StateDir
from tests.unit.agent.rig import Rig, container, container_status, pod

SETTINGS: Obj = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "settings", "namespace": "default"},
    "data": {"colour": "blue", "size": "1"},
}
#: A mount point that does not exist on this machine, and the same inside a folder that does.
AT, IN_ETC = "/nodrop-test/config", "/etc/nodrop-test.conf"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    state = StateDir(tmp_path / "state")
    keeper = await ensure_keeper(state.keeper, state.keeper_socket)
    runtime = ProcessRuntime(keeper)
    prober = EveryProber(runtime)
    try:
        network = (await keeper.info()).network
        yield Rig(
            runtime=runtime,
            prober=prober,
            folders=DiskFolders(state.pods),
            volumes=DiskVolumes(state.pods),
            pod_cidr=f"127.{network}.128.0/17",
        )
    finally:
        await prober.close()
        await keeper.shutdown()
        keeper.close()


def shell(script: str, **fields: Any) -> Obj:
    return container("/bin/sh", "-c", script, **fields)


def mounted(*mounts: tuple[str, str, str]) -> list[Obj]:
    """volumeMounts from (volume, path, subPath)."""
    named = [{"name": name, "mountPath": path, "subPath": sub} for name, path, sub in mounts]
    return [{key: value for key, value in mount.items() if value} for mount in named]


async def test_a_config_map_is_mounted_and_followed_but_not_by_sub_path(
    rig: Rig, tmp_path: Path
) -> None:
    live, fixed = tmp_path / "live", tmp_path / "fixed"
    script = f"""
        cp {IN_ETC} {fixed}.first
        while true; do
            cat {AT}/colour > {live}.tmp && mv {live}.tmp {live}
            cat {IN_ETC} > {fixed}.tmp && mv {fixed}.tmp {fixed}
            sleep 0.05
        done
    """
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}]
    mounts = mounted(("settings", AT, ""), ("settings", IN_ETC, "size"))
    probe = {"exec": {"command": ["cat", IN_ETC]}, "periodSeconds": 1}
    async with rig.running():
        await rig.create(SETTINGS)
        app = shell(script, volumeMounts=mounts, readinessProbe=probe)
        await rig.create(pod("web", app, volumes=volumes))
        await rig.until(lambda: live.exists() and live.read_text() == "blue")
        assert not os.path.exists(AT)
        assert not os.path.exists(IN_ETC)
        key = ObjectKey(CONFIGMAP, "default", "settings")
        await rig.client.apply(Patch(key, {"data": {"colour": "green", "size": "2"}}))
        await rig.until(lambda: live.read_text() == "green")
        fixed.unlink()
        await rig.until(fixed.exists)
        assert fixed.read_text() == "1"
        await rig.until_ready("web")  # a command beside it sees the mounts too


async def test_an_empty_dir_is_shared_and_outlives_containers_not_the_pod(rig: Rig) -> None:
    volumes: list[Obj] = [{"name": "data", "emptyDir": {}}]
    mounts = mounted(("data", "/nodrop-test/data", ""))
    first = shell("echo once >> /nodrop-test/data/log", name="first", volumeMounts=mounts)
    app = shell("echo run >> /nodrop-test/data/log; exec sleep 1000", volumeMounts=mounts)
    async with rig.running():
        made = await rig.create(pod("web", app, initContainers=[first], volumes=volumes))
        found = await rig.until_ready("web")
        folder = Path(rig.volumes.folder(made["metadata"]["uid"], "data"))
        await rig.until(lambda: (folder / "log").read_text() == "once\nrun\n")
        [state] = [s for s in await rig.runtime.list() if s.name == "app"]
        os.kill(state.pid, signal.SIGKILL)
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        await rig.until(lambda: (folder / "log").read_text() == "once\nrun\nrun\n")
        assert found["status"]["initContainerStatuses"][0]["ready"] is True
        await rig.delete("web", grace_s=1)
        await rig.until_gone("web")
        await rig.until(lambda: not folder.exists())


async def test_labels_are_followed(rig: Rig, tmp_path: Path) -> None:
    out = tmp_path / "out"
    items = [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]
    volumes = [{"name": "me", "downwardAPI": {"items": items}}]
    script = f"while true; do cat {AT}/labels > {out}.tmp && mv {out}.tmp {out}; sleep 0.05; done"
    wanted = pod("web", shell(script, volumeMounts=mounted(("me", AT, ""))), volumes=volumes)
    wanted["metadata"]["labels"] = {"tier": "front"}
    async with rig.running():
        await rig.create(wanted)
        await rig.until(lambda: out.exists() and out.read_text() == 'tier="front"')
        key = ObjectKey(POD, "default", "web")
        await rig.client.apply(Patch(key, {"metadata": {"labels": {"tier": "back"}}}))
        await rig.until(lambda: out.read_text() == 'tier="back"')


async def test_a_termination_message_comes_from_its_file_or_the_log(rig: Rig) -> None:
    path = "/nodrop-test/last-words"
    with_file = shell(f"echo -n bye > {path}", terminationMessagePath=path)
    with_log = shell(
        "echo out; echo oh no >&2; exit 3", terminationMessagePolicy="FallbackToLogsOnError"
    )
    async with rig.running():
        await rig.create(pod("file", with_file, restartPolicy="Never"))
        await rig.create(pod("log", with_log, restartPolicy="Never"))
        await rig.until(lambda: ended(rig, "file") and ended(rig, "log"))
        assert container_status(rig.pod("file"))["state"]["terminated"]["message"] == "bye"
        said = container_status(rig.pod("log"))["state"]["terminated"]["message"]
        assert sorted(said.splitlines()) == ["oh no", "out"]


def ended(rig: Rig, name: str) -> bool:
    return "terminated" in (container_status(rig.pod(name)).get("state") or {})
