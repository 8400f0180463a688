"""``nodrop upgrade``: a new control plane or a new proxy under running pods and traffic."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import click

import nodrop
from nodrop.cli.background import running_engine, settled, start_engine, until_gone
from nodrop.cli.durations import duration
from nodrop.cli.session import (
    USAGE,
    Failure,
    in_state_folder,
    interrupted_as,
    runs,
    state_option,
)
from nodrop.cli.upgrade_checks import (
    Running,
    refusal_of_proxy,
    refusals_of,
    serve_command,
)
from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import KeeperFailure
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

_ENDS_WITHIN_S = 30.0
_STEADY_S = 1.0
_LOOK_S = 0.02


@click.command(short_help="Replace the control plane or the proxy.")
@state_option
@click.option("--proxy", is_flag=True, help="Replace HAProxy instead of the control plane.")
@click.option(
    "--haproxy",
    metavar="PROGRAM",
    help="With --proxy: the HAProxy to run from now on; auto is the newest of PATH and wheel.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=duration,
    default=60.0,
    show_default=True,
    help="Time in which the new one has to serve and to have adopted everything.",
)
@runs
async def upgrade(state: StateDir, proxy: bool, haproxy: str | None, timeout_s: float) -> None:
    """Replace the running control plane by the nodrop that this command belongs to.

    Traffic, pods and rollouts go on. If the new control plane does not serve and adopt everything
    in time, the one that ran before is started again. With --proxy the HAProxy processes hand
    their sockets over to new ones and end with their last connection.
    """
    if haproxy is not None and not proxy:
        raise Failure("--haproxy needs --proxy", code=USAGE)
    done = ["nothing was replaced"]
    with interrupted_as(lambda: done[-1]), _alone(state):
        if proxy:
            await _replace_proxy(state, haproxy, timeout_s)
        else:
            await _replace_control_plane(state, timeout_s, done)


# Private


@contextmanager
def _alone(state: StateDir) -> Iterator[None]:
    """One upgrade at a time: two would end each other's control planes. Raises Failure."""
    if not state.root.is_dir():
        yield  # nothing runs there, as _look says
        return
    with in_state_folder(state), (state.root / "upgrade.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(
                f"another nodrop upgrade runs with the state folder {state.root}",
                hint="let it finish, then look with nodrop status",
            ) from None
        yield


async def _replace_control_plane(state: StateDir, timeout_s: float, done: list[str]) -> None:
    before = await _look(state)
    if refused := refusals_of(before.engine, before.keeper_trouble):
        raise Failure("; ".join(refused))
    if before.unit:
        return await _restart_unit(state, before, timeout_s)
    click.echo(
        f"control plane: nodrop {before.version} (pid {before.pid}) → nodrop {nodrop.__version__} "
        f"({sys.executable})"
    )
    done.append("the control plane was being replaced: look with nodrop status")
    await _end(before.pid)
    command = serve_command(before.argv, python=sys.executable, root=state.root)
    try:
        started = await _start(state, command, before, timeout_s=timeout_s)
    except Failure as failure:
        await _roll_back(state, before, failure)
        return None
    click.echo(
        f"done: nodrop {started['versions']['nodrop']} (pid {started['pids']['engine']}) serves "
        "and has adopted every pod and the proxy"
    )
    return None


async def _look(state: StateDir) -> Running:
    engine = running_engine(state)
    if engine is None:
        raise Failure(
            f"no control plane runs with the state folder {state.root}",
            hint="start this version with nodrop serve or nodrop up: it adopts what runs",
        )
    keeper = KeeperClient(state.keeper_socket)
    try:
        info = await keeper.info()
    except KeeperFailure as failure:
        raise Failure(f"the keeper does not answer: {failure}") from failure
    finally:
        keeper.close()
    return Running.of(engine, info)


async def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):  # nothing is lost by that: see ARCHITECTURE
        try:
            os.kill(pid, number)
            return await until_gone(pid, timeout_s=_ENDS_WITHIN_S)
        except ProcessLookupError:
            return None  # it has just ended
        except TimeoutError:
            continue
    raise Failure(f"the control plane (pid {pid}) does not end")


async def _start(
    state: StateDir, command: Sequence[str], before: Running, *, timeout_s: float
) -> Obj:
    """Start the new one; returns its engine.json once it is healthy. Else it has ended: Failure."""
    engine = await _started(state, command, before)
    pid: int = engine["pids"]["engine"]
    try:
        return await _until_healthy(state, pid, timeout_s=timeout_s)
    except Failure:
        if _alive(pid):
            await _end(pid)
        raise


async def _started(state: StateDir, command: Sequence[str], before: Running) -> Obj:
    """The engine that ``command`` starts, or that somebody (nodrop up) has started meanwhile."""
    try:
        return await start_engine(state, command, env=before.environment, cwd=before.cwd)
    except Failure:
        if engine := await settled(state):
            return engine
        raise


async def _until_healthy(state: StateDir, pid: int, *, timeout_s: float) -> Obj:
    """It has adopted everything, and goes on to run: a fault may show only after the first look."""
    found = await _until(
        state, pid, lambda engine: bool(engine.get("adopted", True)), timeout_s=timeout_s
    )
    await asyncio.sleep(_STEADY_S)
    if not _alive(pid):
        raise Failure(f"it ended within {_STEADY_S:g} s of having adopted everything")
    return found


async def _until(
    state: StateDir, pid: int, level: Callable[[Obj], bool], *, timeout_s: float
) -> Obj:
    try:
        async with asyncio.timeout(timeout_s):
            while _alive(pid):
                engine = running_engine(state)
                if engine and engine["pids"]["engine"] == pid and level(engine):
                    return engine
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise Failure(f"it did not get there within {timeout_s:g} s") from None
    raise Failure(f"it ended; its log is {state.engine_log}")


async def _roll_back(state: StateDir, before: Running, failure: Failure) -> None:
    from nodrop.store.migrations import SCHEMA_VERSION, restore

    click.echo(f"the new control plane is not healthy: {failure}", err=True)
    lost = ""
    if before.store < SCHEMA_VERSION and restore(state.database, before.store):
        lost = "; its state file is the one from before the upgrade"
    try:
        engine = await _started(state, before.argv, before)
    except Failure as again:
        raise Failure(
            f"neither the new nor the old control plane starts: {again}",
            hint=f"pods and proxy run on without; the log is {state.engine_log}",
        ) from again
    raise Failure(
        f"rolled back: nodrop {before.version} (pid {engine['pids']['engine']}) serves again{lost}",
        hint=f"why the new one was not healthy is in {state.engine_log}",
    )


async def _restart_unit(state: StateDir, before: Running, timeout_s: float) -> None:
    """A supervisor owns the process: it must be the one that starts the next."""
    from nodrop.cli.systemd import systemctl

    click.echo(f"control plane: nodrop {before.version} (pid {before.pid}) is {before.unit}")
    await systemctl("restart", before.unit, user=before.user_unit)
    pid = await _next_after(state, before.pid, timeout_s=timeout_s)
    engine = await _until_healthy(state, pid, timeout_s=timeout_s)
    click.echo(f"done: nodrop {engine['versions']['nodrop']} (pid {engine['pids']['engine']})")
    if engine["versions"]["nodrop"] != nodrop.__version__:
        raise Failure(
            f"{before.unit} runs another nodrop than this command ({nodrop.__version__})",
            hint="write the unit anew with this one: nodrop install",
        )


async def _next_after(state: StateDir, pid: int, *, timeout_s: float) -> int:
    """The pid of the control plane that follows the one with ``pid``."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                engine = running_engine(state)
                if engine and engine["pids"]["engine"] != pid:
                    found: int = engine["pids"]["engine"]
                    return found
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        raise Failure(f"no new control plane within {timeout_s:g} s") from None


async def _replace_proxy(state: StateDir, haproxy: str | None, timeout_s: float) -> None:
    before = await _look(state)
    if refused := refusal_of_proxy(before.engine):
        raise Failure(refused)
    if haproxy is not None:
        _choose(state, haproxy)
    seen = before.engine["proxy"]["replacements"]
    click.echo(f"proxy: {_described(before.engine)}")
    with suppress(ProcessLookupError):  # it has just ended, as is told below
        os.kill(before.pid, signal.SIGUSR2)
    engine = await _until(
        state,
        before.pid,
        lambda engine: bool(engine["proxy"]["replacements"] > seen),
        timeout_s=timeout_s,
    )
    if failure := engine["proxy"]["failure"]:
        raise Failure(
            f"the proxy was not replaced: {failure}", hint="the one that runs serves on as it did"
        )
    click.echo(f"done: {_described(engine)}")


def _choose(state: StateDir, haproxy: str) -> None:
    from nodrop.proxy.haproxy.binary import find_binary
    from nodrop.proxy.protocol import ProxyFailure
    from nodrop.wiring.handover import choose_program

    if haproxy == "auto":
        choose_program(state, None)
        return
    program = Path(haproxy).absolute()
    try:
        find_binary(chosen=program)
    except ProxyFailure as failure:
        raise Failure(f"--haproxy {haproxy}: {failure}", code=USAGE) from failure
    choose_program(state, program)


def _described(engine: Mapping[str, Obj]) -> str:
    from nodrop.proxy.haproxy.binary import version_of

    program = engine["proxy"]["program"]
    version = ".".join(map(str, version_of(Path(program)))) if program else ""
    return f"HAProxy {version or '?'} ({program or 'unknown'})"


def _alive(pid: int) -> bool:
    from nodrop.keeper.proc import stat_fields

    fields = stat_fields(pid)
    return fields is not None and fields[0] != b"Z"  # an ended child of ours is not reaped yet
