"""The engine's own files: lock, settings.json (kept over restarts), engine.json (for scripts)."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import IO

import msgspec

from nodrop.statedir import StateDir

_LOCK_TRIES, _LOCK_AGAIN_S = 50, 0.02


class EngineFailure(Exception):
    """The engine can't start or go on; the message says why, ``hint`` what would mend it."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class KeeperLost(EngineFailure):
    """The keeper has ended while the engine ran: pods and proxies have lost their parent."""


class Settings(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must stay the same over restarts, since objects and clients know it.

    ``network`` is the second octet of the engine's 127.x.0.0/16: ClusterIPs in the store lie in
    it. Ports are those that were taken at the first start. ``rehearsal``: it never serves anybody.
    ``access_log`` and ``metrics_port`` stay as they were chosen last.
    """

    network: int
    http_port: int
    bind: tuple[str, ...]
    api_port: int
    https_port: int | None = None
    rehearsal: bool = False
    access_log: bool = False
    metrics_port: int | None = None


def make_folders(state: StateDir) -> None:
    """The state folder and what lies in it, for this user only.

    For the lock's holder: another engine that is just ending removes some of it.
    """
    for folder in (state.root, state.sockets, state.keeper, state.pods, state.proxy, state.pki):
        make_folder(folder)
    found = state.sockets.lstat()  # it may lie where everybody can write
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise EngineFailure(f"{state.sockets} is not a folder of this user")


def make_folder(folder: Path) -> None:
    """Make it, or take it over, for this user only (0700). Raises EngineFailure."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)  # it may have been there before, open to others
    except OSError as error:
        raise EngineFailure(
            f"the state folder {folder} can't be made: {error.strerror}",
            hint="choose another with --state DIR or $NODROP_STATE",
        ) from error


def remove_sockets(state: StateDir) -> None:
    """Once everything has ended: the folder may lie outside the state folder, where nobody who
    removes that would look for it."""
    shutil.rmtree(state.sockets, ignore_errors=True)


async def take_lock(state: StateDir) -> IO[bytes]:
    """The lock that only one control plane of a state folder holds, until its file is closed.

    Whoever asks whether an engine runs holds it for a moment too: it is tried for a second.
    """
    make_folder(state.root)
    file = state.lock.open("ab")
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_LOCK_AGAIN_S)
        else:
            return file
    file.close()
    raise EngineFailure(
        f"another nodrop engine runs with the state folder {state.root}",
        hint="use it (nodrop up, nodrop status), end it with nodrop down, or choose another "
        "folder with --state DIR",
    )


def read_settings(state: StateDir) -> Settings | None:
    """The settings of earlier runs, or None at the first. Raises EngineFailure when unreadable."""
    path = _settings(state)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Settings)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise EngineFailure(
            f"{path} can't be read: {error}",
            hint="remove it: ports and network are then chosen anew, and no object is lost",
        ) from error


def write_settings(state: StateDir, settings: Settings) -> None:
    write_atomically(_settings(state), msgspec.json.format(msgspec.json.encode(settings)))


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file (0600) so that a reader sees the old or the new, never a part."""
    fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _settings(state: StateDir) -> Path:
    return state.root / "settings.json"
