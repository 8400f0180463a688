"""Mounts of one process: seen by it alone, for root and for anybody else."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodrop.keeper import mounts
from nodrop.keeper.client import KeeperClient
from nodrop.keeper.failure import Failed
from nodrop.keeper.protocol import BindMount, KeeperFailure, ProcessSpec

NOBODY = 65534
PROBE = """
import os, sys
sys.path.insert(0, sys.argv[1])
from nodrop.keeper.mounts import enter
source = sys.argv[2]
enter([
    (source, "/nodrop-data/deep", False),
    (source + "/file", "/etc/nodrop-test/conf", True),
    (source + "/file", "/dev/nodrop-log", False),
    (source, source + "/../beside", True),
])
assert open("/etc/nodrop-test/conf").read() == "hi"
assert os.path.exists("/etc/passwd") and os.path.exists("/proc/self/status")
open("/nodrop-data/deep/new", "w").write("1")
open("/dev/nodrop-log", "w").write("bye")
open("/dev/null", "w").write("x")
for path in ("/nodrop-data/x", "/etc/x", "/x", source + "/../beside/x", "/etc/nodrop-test/conf"):
    try:
        open(path, "w")
    except OSError as error:
        assert error.strerror == "Read-only file system", (path, error)
    else:
        raise AssertionError(path)
print("uid", os.getuid())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user may enter, unlike those of pytest."""
    made = Path(tempfile.mkdtemp(prefix="nodrop-mounts-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def interpreter() -> str | None:
    """A Python that every user may execute."""
    for candidate in (sys.executable, "/usr/bin/python3"):
        real = Path(candidate).resolve()
        closed = [p for p in (real, *real.parents) if not p.stat().st_mode & 0o005]
        if real.exists() and not closed:
            return str(real)
    return None


@pytest.mark.parametrize("user", [0, NOBODY])
def test_a_process_sees_its_mounts_and_the_machine_does_not(folder: Path, user: int) -> None:
    own = os.geteuid()
    if own != 0 and user == 0:
        pytest.skip("only root can be root")
    wanted = user if own == 0 else own
    python = sys.executable if wanted == own else interpreter()
    if python is None:
        pytest.skip("no interpreter that everybody may execute")
    source, code = folder / "volume", folder / "code"
    source.mkdir()
    (source / "file").write_text("hi")
    package = Path(mounts.__file__).parents[1]
    shutil.copytree(package / "keeper", code / "nodrop/keeper")
    (code / "nodrop/__init__.py").touch()
    subprocess.run(["chmod", "-R", "a+rX", code], check=True)  # whatever the umask is
    if own == 0:
        for path in (source, source / "file"):
            os.chown(path, wanted, wanted)
    command = [python, "-c", PROBE, str(code), str(source)]
    more: dict[str, Any] = {}
    if own == 0:
        more = {"user": wanted, "group": wanted, "extra_groups": []}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    assert done.stdout == f"uid {wanted}\n", done.stderr
    assert (source / "file").read_text() == "bye"
    assert sorted(os.listdir(source)) == ["file", "new"]
    assert os.listdir(folder / "..").count("beside") == 0
    for target in ("/nodrop-data", "/etc/nodrop-test", "/dev/nodrop-log"):
        assert not os.path.exists(target)


def spec(id: str, script: str, *wanted: BindMount, cwd: str = "/tmp") -> ProcessSpec:
    return ProcessSpec(
        id=id,
        argv=("sh", "-c", script),
        env={"PATH": os.environ["PATH"]},
        cwd=cwd,
        bind_ip="127.0.0.1",
        mounts=wanted,
    )


async def test_the_keeper_mounts_for_a_process_and_for_commands_beside_it(
    keeper: KeeperClient, tmp_path: Path
) -> None:
    source = tmp_path / "volume"
    source.mkdir()
    (source / "greeting").write_text("hello")
    mount = BindMount(str(source), "/nodrop-data/v")
    script = "cat greeting > said; exec sleep 1000"
    await keeper.start(spec("a", script, mount, cwd="/nodrop-data/v"))
    code, output = await keeper.exec("a", ["cat", "/nodrop-data/v/greeting"], timeout_s=20)
    assert (code, output) == (0, b"hello")
    async with asyncio.timeout(20):
        while not (source / "said").exists() or not (source / "said").read_text():
            await asyncio.sleep(0.01)
    await keeper.signal("a", 9, tree=True)
    assert (await keeper.wait("a")).exit_code == 137
    assert (source / "said").read_text() == "hello"


async def test_what_cannot_be_mounted_is_named(keeper: KeeperClient) -> None:
    with pytest.raises(KeeperFailure, match="mounting /no/such/folder at /data: No such file"):
        await keeper.start(spec("b", "true", BindMount("/no/such/folder", "/data")))
    assert await keeper.list() == []


def test_a_machine_that_forbids_it_is_told_of_with_a_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(mounts, "_own_namespace", refuse)
    with pytest.raises(Failed, match="run the engine as root") as caught:
        mounts.enter([("/a", "/b", False)])
    assert caught.value.code == "EPERM"
