"""The engine of a rehearsal: marked before its first start, and gone with its owner.

Cluster-faithful mode loses requests on purpose. So nothing turns it on but the file that
``nodrop rehearse`` writes into an empty folder of its own: no option, no environment variable and
no object does. An engine that has ever served refuses the file, and a rehearsal's engine ends,
with all pods, when the process that rehearses ends.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Literal

import msgspec

from nodrop.keeper.proc import start_ticks
from nodrop.proxy.haproxy.manner import Manner
from nodrop.proxy.late import LateRemovals
from nodrop.statedir import StateDir
from nodrop.wiring.files import EngineFailure, Settings, write_atomically

Mode = Literal["nodrop", "cluster"]
_GRACE_AT_THE_END_S = 1


class Rehearsal(msgspec.Struct, frozen=True):
    """``mode`` cluster: preStop and SIGTERM at once, the proxy learns of it late by ``seed``.

    ``owner_pid`` and ``owner_ticks`` name the process that rehearses.
    """

    mode: Mode
    seed: int
    owner_pid: int
    owner_ticks: int


def is_cluster(rehearsal: Rehearsal | None) -> bool:
    return rehearsal is not None and rehearsal.mode == "cluster"


def manner_of(rehearsal: Rehearsal | None) -> Manner:
    """How the proxy behaves."""
    return Manner(names_pods=rehearsal is not None, retries=not is_cluster(rehearsal))


def late_of(rehearsal: Rehearsal | None) -> LateRemovals | None:
    """When the proxy learns of removals; None: at once."""
    if rehearsal is None or not is_cluster(rehearsal):
        return None
    return LateRemovals(rehearsal.seed)


def grace_of(rehearsal: Rehearsal | None) -> int | None:
    """How long pods have when the engine ends, in seconds; None: as their manifests say.

    At the end of a rehearsal they have shown how they end: nobody should wait for it once more.
    """
    return None if rehearsal is None else _GRACE_AT_THE_END_S


def mark_for_rehearsal(state: StateDir, mode: Mode, seed: int) -> None:
    """Make ``state``, an empty folder, one for a rehearsal that this process owns."""
    pid = os.getpid()
    marked = Rehearsal(mode=mode, seed=seed, owner_pid=pid, owner_ticks=start_ticks(pid))
    write_atomically(_mark(state), msgspec.json.encode(marked))


def read_rehearsal(state: StateDir, settings: Settings | None) -> Rehearsal | None:
    """What the folder is marked as. Raises EngineFailure where mark and folder don't fit."""
    try:
        found = msgspec.json.decode(_mark(state).read_bytes(), type=Rehearsal)
    except FileNotFoundError:
        if settings is not None and settings.rehearsal:
            raise EngineFailure(f"{state.root} was a rehearsal's: it serves nobody") from None
        return None
    except msgspec.DecodeError as error:
        raise EngineFailure(f"{_mark(state)} can't be read: {error}") from error
    if (settings is not None and not settings.rehearsal) or (
        settings is None and state.database.exists()
    ):
        raise EngineFailure(
            f"{state.root} is the folder of a serving engine: nothing is rehearsed in it",
            hint=f"remove {_mark(state)}",
        )
    if not _owned(found):
        raise EngineFailure(f"{state.root} is a rehearsal's that has ended")
    return found


async def owner_gone(rehearsal: Rehearsal) -> None:
    """Return once the process that rehearses has ended."""
    try:
        fd = os.pidfd_open(rehearsal.owner_pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        if _owned(rehearsal):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _owned(rehearsal: Rehearsal) -> bool:
    return start_ticks(rehearsal.owner_pid) == rehearsal.owner_ticks != 0


def _mark(state: StateDir) -> Path:
    return state.root / "rehearsal.json"
