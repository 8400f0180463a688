"""The demo's engine: in a folder of its own, and gone without a trace afterwards."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import click
import psutil

from nodrop.cli.background import down_apart, ensure_engine
from nodrop.cli.leftovers import own_folder, remove_leftovers
from nodrop.cli.session import Failure
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir
from nodrop.wiring.rehearsal import mark_for_rehearsal

_STOP_TIMEOUT_S = 60.0
_ARGUMENTS = ("--http-port", "0", "--api-port", "0", "--bind", "127.0.0.1")


@asynccontextmanager
async def own_engine(
    *, keep: bool, name: str = "demo", prepare: Callable[[StateDir], None] | None = None
) -> AsyncIterator[tuple[StateDir, Obj]]:
    """(state folder, engine.json) of a fresh engine; all of it ended and removed at the end.

    ``prepare`` gets the empty folder before the engine starts in it. Without it, and unless it is
    to ``keep`` running, the engine ends by itself when this process is killed. What earlier ones
    left that were killed is removed.
    """
    remove_leftovers()
    with own_folder(name) as state:
        try:
            if prepare is not None:
                prepare(state)
            elif not keep:
                mark_for_rehearsal(state, "nodrop", seed=0)
            engine, _ = await ensure_engine(state, _ARGUMENTS)
            yield state, engine
        finally:
            if keep:
                click.echo(f"kept running; to end it: nodrop down --state {state.root}")
            else:
                await asyncio.shield(_remove(state))


async def _remove(state: StateDir) -> None:
    """End everything and remove the folder. Raises Failure; then the folder stays."""
    if said := await down_apart(state, timeout_s=_STOP_TIMEOUT_S):
        raise Failure(
            f"the engine could not be ended: {said}",
            hint=f"its folder is {state.root}; try: nodrop down --state {state.root}",
        )
    shutil.rmtree(state.root)


def memory_of(engine: Obj) -> dict[str, int]:
    """Proportional memory in bytes of control plane, keeper and proxy, and of all together."""
    pids = engine["pids"]
    found = {
        "engine": _memory_bytes([pids["engine"]]),
        "keeper": _memory_bytes([pids["keeper"]]),
        "proxy": _memory_bytes(pids["proxy"]),
    }
    return {**found, "total": sum(found.values())}


def _memory_bytes(pids: Iterable[int]) -> int:
    """PSS, which shares out shared pages; resident memory where the kernel doesn't tell it."""
    total = 0
    for pid in pids:
        try:
            process = psutil.Process(pid)
            try:
                total += process.memory_full_info().pss
            except (psutil.AccessDenied, AttributeError):
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
