"""Folders of pods: logs and temporary files, one folder a pod uid."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol


class PodFolders(Protocol):
    """Where a pod's files live. The simulator has none."""

    def prepare(self, uid: str) -> str:
        """Make the pod's folder; returns the path of its temporary folder."""
        ...

    def log_path(self, uid: str, container: str, attempt: int) -> str:
        """The log file of one run; its folder exists. Logs older than the previous run go."""
        ...

    def remove(self, uid: str) -> None: ...

    def known(self) -> list[str]:
        """Uids that have a folder."""
        ...


class DiskFolders:
    """``<root>/<uid>/logs/<container>/<n>.log`` and ``<root>/<uid>/tmp``, readable by the owner."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def prepare(self, uid: str) -> str:
        temporary = self._root / uid / "tmp"
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        return str(temporary)

    def log_path(self, uid: str, container: str, attempt: int) -> str:
        folder = self._root / uid / "logs" / container
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{attempt - 2}.log").unlink(missing_ok=True)
        return str(folder / f"{attempt}.log")

    def remove(self, uid: str) -> None:
        shutil.rmtree(self._root / uid, ignore_errors=True)

    def known(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return [entry.name for entry in self._root.iterdir() if entry.is_dir()]
