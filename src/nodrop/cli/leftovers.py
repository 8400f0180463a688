"""Folders that rehearsals and demos leave when they are killed, and their removal."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from nodrop.statedir import StateDir

#: What a folder's name begins with, by what it is for.
PREFIXES = {"demo": "nodrop-demo-", "rehearsal": "nodrop-rehearsal-"}
#: Whoever makes a folder takes its lock within this time.
_YOUNG_S = 60.0


@contextmanager
def own_folder(name: str) -> Iterator[StateDir]:
    """A new temporary state folder, locked by this process for as long as it uses it."""
    state = StateDir(Path(tempfile.mkdtemp(prefix=PREFIXES[name])))
    with _owner_lock(state).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield state


def remove_leftovers(now_s: float | None = None) -> list[Path]:
    """Remove the folders of this user whose owner, engine and keeper are all dead.

    A lock is a process's that is alive: the kernel drops it with its holder, however that ends.
    All are held during the removal, so nobody begins anew in the folder. Returns what is gone.
    """
    now_s = time.time() if now_s is None else now_s
    gone: list[Path] = []
    for prefix in PREFIXES.values():
        for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            if _is_old_and_ours(folder, now_s) and _remove(StateDir(folder)):
                gone.append(folder)
    return gone


def _is_old_and_ours(folder: Path, now_s: float) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and now_s - found.st_mtime >= _YOUNG_S


def _remove(state: StateDir) -> bool:
    with ExitStack() as held:
        for lock in (_owner_lock(state), state.lock, state.keeper / "lock"):
            try:
                file = held.enter_context(lock.open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue  # that process was never there
            except OSError:
                return False
        for folder in (state.sockets, state.root):
            shutil.rmtree(folder, ignore_errors=True)
    return not state.root.exists()


def _owner_lock(state: StateDir) -> Path:
    return state.root / "owner.lock"
