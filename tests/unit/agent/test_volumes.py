"""Volumes on disk: updates that come all at once, types of paths, termination messages."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nodrop.agent.plan.volumes import File, HostPath, VolumeFailure
from nodrop.agent.volumes import DiskVolumes


@pytest.fixture
def store(tmp_path: Path) -> DiskVolumes:
    return DiskVolumes(tmp_path / "pods")


def test_files_are_replaced_in_one_step(store: DiskVolumes) -> None:
    first = {"a": File(b"1", 0o600), "d/b": File(b"2"), "gone": File(b"3")}
    base = Path(store.write("u", "v", first, keep_old=False))
    assert (base / "a").read_bytes() == b"1"
    assert stat.S_IMODE((base / "a").stat().st_mode) == 0o600
    assert os.readlink(base / "a") == "..data/a"
    held = os.readlink(base / "..data")
    store.write("u", "v", first, keep_old=False)
    assert os.readlink(base / "..data") == held  # nothing has changed
    store.write("u", "v", {"a": File(b"new"), "d/c": File(b"4")}, keep_old=False)
    assert (base / "a").read_bytes() == b"new"
    assert (base / "d/c").read_bytes() == b"4"
    shown = sorted(path.name for path in base.iterdir())
    assert shown == ["..data", "..v1", "a", "d"]


def test_a_write_that_was_cut_short_is_done_again(store: DiskVolumes) -> None:
    base = Path(store.write("u", "v", {"a": File(b"1")}, keep_old=True))
    (base / "..v1").mkdir()
    (base / "..data_tmp").symlink_to("nowhere")
    store.write("u", "v", {"a": File(b"2")}, keep_old=True)
    assert (base / "a").read_bytes() == b"2"
    assert (base / "..v0/a").read_bytes() == b"1"  # may be mounted by subPath


def test_an_empty_dir_keeps_what_is_in_it(store: DiskVolumes) -> None:
    path = Path(store.folder("u", "v"))
    (path / "x").write_text("1")
    assert store.folder("u", "v") == str(path)
    assert (path / "x").exists()


@pytest.mark.parametrize(
    ("type", "name", "problem"),
    [
        ("", "file", ""),
        ("", "none", "does not exist"),
        ("File", "file", ""),
        ("File", "folder", "is not a file"),
        ("Directory", "folder", ""),
        ("Directory", "file", "is not a directory"),
        ("Directory", "none", "does not exist"),
        ("DirectoryOrCreate", "new/deep", ""),
        ("FileOrCreate", "new-file", ""),
        ("Socket", "file", "is not a socket file"),
        ("CharDevice", "file", "is not a character device"),
        ("BlockDevice", "file", "is not a block device"),
    ],
)
def test_host_paths_are_what_they_shall_be(
    store: DiskVolumes, tmp_path: Path, type: str, name: str, problem: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    path = str(tmp_path / name)
    if not problem:
        assert store.host_path(HostPath(path, type)) == path
        assert os.path.exists(path)
        return
    with pytest.raises(VolumeFailure) as caught:
        store.host_path(HostPath(path, type))
    assert str(caught.value) == f"hostPath type check failed: {path} {problem}"


def test_sub_paths_stay_inside(store: DiskVolumes, tmp_path: Path) -> None:
    base = store.write("u", "v", {"a": File(b"1")}, keep_old=True)
    assert store.inside(base, "a") == f"{base}/..v0/a"
    folder = store.folder("u", "w")
    assert Path(store.inside(folder, "x/y")).is_dir()
    os.symlink("/etc", f"{folder}/out")
    with pytest.raises(VolumeFailure, match="leads out of its volume"):
        store.inside(folder, "out/passwd")


def test_a_termination_message_is_cut(store: DiskVolumes) -> None:
    path = store.message_file("u", "app", 0)
    assert store.message("u", "app", 0) == ""
    Path(path).write_text("x" * 5000)
    assert store.message("u", "app", 0) == "x" * 4096
    assert store.message("u", "app", 1) == ""
