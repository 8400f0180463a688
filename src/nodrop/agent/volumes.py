"""Where volumes live: ``<pods>/<uid>/volumes/<name>``, written so that a reader sees no mixture."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from nodrop.agent.plan.volumes import File, HostPath, VolumeFailure

_MOST_MESSAGE_BYTES = 4096


class VolumeStore(Protocol):
    """Volumes by pod uid and name. Paths are absolute; failures raise VolumeFailure."""

    def folder(self, uid: str, volume: str) -> str:
        """An emptyDir: made the first time, kept until the pod's folder goes."""
        ...

    def write(self, uid: str, volume: str, files: Mapping[str, File], *, keep_old: bool) -> str:
        """Make the volume hold exactly these files, all at once; its folder.

        ``keep_old`` leaves earlier versions in place, for what was mounted out of them.
        """
        ...

    def host_path(self, wanted: HostPath) -> str:
        """The path, if it is what its type says; made where the type says so."""
        ...

    def inside(self, source: str, sub_path: str) -> str:
        """The real path of something inside a volume; a missing one becomes a folder."""
        ...

    def message_file(self, uid: str, container: str, attempt: int) -> str:
        """An empty file for the termination message of one run."""
        ...

    def message(self, uid: str, container: str, attempt: int) -> str:
        """What the run has written there, at most 4096 bytes; empty where there is no file."""
        ...


class NamedVolumes:
    """Volumes that exist only by name, for worlds without files."""

    def folder(self, uid: str, volume: str) -> str:
        return f"/pods/{uid}/volumes/{volume}"

    def write(self, uid: str, volume: str, files: Mapping[str, File], *, keep_old: bool) -> str:
        return self.folder(uid, volume)

    def host_path(self, wanted: HostPath) -> str:
        return wanted.path

    def inside(self, source: str, sub_path: str) -> str:
        return f"{source}/{sub_path}"

    def message_file(self, uid: str, container: str, attempt: int) -> str:
        return f"/pods/{uid}/messages/{container}/{attempt}"

    def message(self, uid: str, container: str, attempt: int) -> str:
        return ""


class DiskVolumes:
    """Real folders below ``root``, which DiskFolders removes with the pod."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, uid: str, volume: str) -> str:
        made = self._root / uid / "volumes" / volume
        made.mkdir(parents=True, exist_ok=True)
        return str(made)

    def write(self, uid: str, volume: str, files: Mapping[str, File], *, keep_old: bool) -> str:
        base = Path(self.folder(uid, volume))
        current = base / "..data"
        old = current.resolve() if current.exists() else None
        if old is not None and _held(old) == dict(files):
            return str(base)
        number = int(old.name.removeprefix("..v")) + 1 if old is not None else 0
        new = base / f"..v{number}"
        shutil.rmtree(new, ignore_errors=True)  # of a life of ours that was cut short
        _write_all(new, files)
        _point(current, new.name)
        _link_names(base, {Path(path).parts[0] for path in files})
        if old is not None and not keep_old:
            shutil.rmtree(old, ignore_errors=True)
        return str(base)

    def host_path(self, wanted: HostPath) -> str:
        path = Path(wanted.path)
        try:
            if wanted.type == "DirectoryOrCreate":
                path.mkdir(mode=0o755, parents=True, exist_ok=True)
            elif wanted.type == "FileOrCreate" and not path.exists():
                path.touch(mode=0o644)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise VolumeFailure(f"hostPath {wanted.path} can't be made: {why}") from error
        if not path.exists():
            raise VolumeFailure(f"hostPath type check failed: {wanted.path} does not exist")
        if not _is_of_type(path, wanted.type):
            raise VolumeFailure(
                f"hostPath type check failed: {wanted.path} is not a {_WORDS[wanted.type]}"
            )
        return str(path.resolve())

    def inside(self, source: str, sub_path: str) -> str:
        root = Path(source).resolve()
        found = (root / sub_path).resolve()
        if not found.is_relative_to(root):
            raise VolumeFailure(f"subPath {sub_path} leads out of its volume")
        if not found.exists():
            found.mkdir(parents=True)
        return str(found)

    def message_file(self, uid: str, container: str, attempt: int) -> str:
        path = self._message(uid, container, attempt)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return str(path)

    def message(self, uid: str, container: str, attempt: int) -> str:
        try:
            with self._message(uid, container, attempt).open("rb") as file:
                return file.read(_MOST_MESSAGE_BYTES).decode(errors="replace")
        except OSError:
            return ""

    def _message(self, uid: str, container: str, attempt: int) -> Path:
        return self._root / uid / "messages" / container / str(attempt)


_WORDS = {
    "Directory": "directory",
    "DirectoryOrCreate": "directory",
    "File": "file",
    "FileOrCreate": "file",
    "Socket": "socket file",
    "CharDevice": "character device",
    "BlockDevice": "block device",
}


_CHECKS: Mapping[str, Callable[[int], bool]] = {
    "Directory": stat.S_ISDIR,
    "DirectoryOrCreate": stat.S_ISDIR,
    "File": stat.S_ISREG,
    "FileOrCreate": stat.S_ISREG,
    "Socket": stat.S_ISSOCK,
    "CharDevice": stat.S_ISCHR,
    "BlockDevice": stat.S_ISBLK,
}


def _is_of_type(path: Path, type: str) -> bool:
    check = _CHECKS.get(type)
    return check is None or check(path.stat().st_mode)


def _write_all(folder: Path, files: Mapping[str, File]) -> None:
    folder.mkdir()
    for name, file in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.data)
        path.chmod(file.mode)


def _held(folder: Path) -> dict[str, File]:
    """The files of a folder, in the form they are wanted in."""
    return {
        str(path.relative_to(folder)): File(path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in folder.rglob("*")
        if path.is_file()
    }


def _point(link: Path, target: str) -> None:
    """Make a symbolic link lead elsewhere in one step."""
    fresh = link.with_name(f"{link.name}_tmp")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)


def _link_names(base: Path, names: set[str]) -> None:
    """``name → ..data/name`` for every file or folder on top; links to what has gone go."""
    for name in names:
        if not (base / name).is_symlink():
            (base / name).symlink_to(f"..data/{name}")
    for path in base.iterdir():
        if path.is_symlink() and path.name not in names | {"..data"}:
            path.unlink()
