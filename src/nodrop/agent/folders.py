"""Folders of pods: logs and temporary files, one folder a pod uid."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Protocol

#: Enough of a log for 80 lines or 2048 bytes of text, and the time before every line.
_TAIL_BYTES = 16 * 1024
_MOST_LINES, _MOST_BYTES = 80, 2048


def last_words(log: bytes) -> str:
    """The last 80 lines or 2048 bytes of what a container wrote, without times and streams.

    >>> last_words(b"2026-11-23T10:00:00Z stderr F oh\\n2026-11-23T10:00:01Z stderr F no\\n")
    'oh\\nno\\n'
    """
    said = b""
    for line in log.split(b"\n")[-_MOST_LINES - 1 : -1]:
        _time, _stream, tag, text = (line.split(b" ", 3) + [b""] * 3)[:4]
        said += text + (b"" if tag == b"P" else b"\n")
    return said[-_MOST_BYTES:].decode(errors="replace")


class PodFolders(Protocol):
    """Where a pod's files live. The simulator has none."""

    def prepare(self, uid: str) -> str:
        """Make the pod's folder; returns the path of its temporary folder."""
        ...

    def log_path(self, uid: str, container: str, attempt: int) -> str:
        """The log file of one run; its folder exists. Logs older than the previous run go."""
        ...

    def last_words(self, uid: str, container: str, attempt: int) -> str:
        """The end of a run's log: at most 80 lines and 2048 bytes, for its termination message."""
        ...

    async def remove(self, uid: str) -> None:
        """Delete all that the pod has left; no other pod waits for that, however much it is."""
        ...

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

    def last_words(self, uid: str, container: str, attempt: int) -> str:
        path = self._root / uid / "logs" / container / f"{attempt}.log"
        try:
            with path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                return last_words(file.read())
        except OSError:
            return ""

    async def remove(self, uid: str) -> None:
        await asyncio.to_thread(shutil.rmtree, self._root / uid, ignore_errors=True)

    def known(self) -> list[str]:
        if not self._root.is_dir():
            return []
        return [entry.name for entry in self._root.iterdir() if entry.is_dir()]
