"""The engine in the background: started by ``nodrop up``, found again by engine.json."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from nodrop.cli.session import UNREACHABLE, Failure, engine_of, in_state_folder
from nodrop.keeper.proc import start_ticks
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

_LOOK_S = 0.02
#: For an engine that hangs: one that ends is told of at once, and a busy machine makes one slow.
_START_TIMEOUT_S = 90.0
_END_TIMEOUT_S = 120.0
_LAST_LINES = 5
_ADOPTION_S = 5.0
_GIVEN_UP_S = 20.0


def running_engine(state: StateDir) -> Obj | None:
    """engine.json of an engine that holds the lock of this state folder, else None."""
    if not is_locked(state):
        return None
    try:
        engine = engine_of(state)
        pid = engine["pids"]["engine"]
        ticks = start_ticks(pid)
        if ticks and engine.get("start_ticks", ticks) == ticks:
            return engine
    except (Failure, LookupError, OSError):
        pass
    return None  # it has only just started: engine.json is an earlier engine's, or not there


def is_locked(state: StateDir) -> bool:
    """Whether a control plane is alive: the kernel drops its lock when it ends, however it ends."""
    import fcntl

    try:
        with in_state_folder(state), state.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def refused_options(
    engine: Obj,
    *,
    http_port: int | None,
    https_port: int | None = None,
    api_port: int | None,
    bind: Sequence[str],
) -> list[str]:
    """What was asked for and the running engine does otherwise; port 0 is content with any."""
    places = [urlsplit(url) for url in engine["http"]["urls"]]
    ports = sorted({place.port or 80 for place in places})
    hosts = sorted({place.hostname or "" for place in places})
    refused: list[str] = []
    if http_port and http_port not in ports:
        refused.append(f"--http-port {http_port}: it listens on {', '.join(map(str, ports))}")
    tls_ports = (engine.get("https") or {}).get("ports") or []
    if https_port and https_port not in tls_ports:
        listens = ", ".join(map(str, tls_ports)) or "none"
        refused.append(f"--https-port {https_port}: it listens on {listens}")
    if api_port and api_port != engine["api"]["port"]:
        refused.append(f"--api-port {api_port}: its API is at {engine['api']['port']}")
    if bind and sorted(bind) != hosts:
        refused.append(f"--bind {' --bind '.join(bind)}: it listens on {', '.join(hosts)}")
    return refused


def refused_settings(
    state: StateDir, *, access_log: bool | None, metrics_port: int | None
) -> list[str]:
    """Like ``refused_options``, for what clients can't see: as the engine wrote it down."""
    from nodrop.wiring.files import read_settings

    settings, refused = read_settings(state), list[str]()
    if settings is None:
        return refused
    if access_log is not None and access_log != settings.access_log:
        asked = "--access-log" if access_log else "--no-access-log"
        refused.append(f"{asked}: it is {'on' if settings.access_log else 'off'}")
    if metrics_port is not None and (metrics_port or None) != settings.metrics_port:
        refused.append(f"--metrics-port {metrics_port}: it is {settings.metrics_port or 'off'}")
    return refused


async def ensure_engine(state: StateDir, arguments: Sequence[str] = ()) -> tuple[Obj, bool]:
    """The running engine, started if need be: (engine.json, whether it was started now).

    One that is ending everything is waited for. Whoever gives up waiting for one that was started
    here ends that too: nobody would know of it.
    """
    if engine := await settled(state):
        return engine, False
    serve = [sys.executable, "-P", "-m", "nodrop", "serve", "--state", str(state.root), *arguments]
    try:
        process, log_start = _launched(state, serve)
        async with _ended_if_given_up(process):
            return await _until_up(state, process, log_start), True
    except Failure:
        if engine := await settled(state):  # somebody else's was a moment faster
            return engine, False
        raise


async def start_engine(
    state: StateDir,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Obj:
    """Start an engine apart from us; returns its engine.json once it serves. Raises Failure."""
    return await _until_up(state, *_launched(state, argv, env=env, cwd=cwd))


async def settled(state: StateDir, *, ending_too: bool = False) -> Obj | None:
    """The running engine, else None; one that is only just starting is waited for.

    So is one that is ending everything, unless ``ending_too``. Raises Failure when that takes
    too long.
    """
    began_s = asyncio.get_running_loop().time()
    while is_locked(state):
        engine = running_engine(state)
        if engine and (ending_too or not engine.get("ending")):
            return engine
        lasted_s = asyncio.get_running_loop().time() - began_s
        if engine and lasted_s > _END_TIMEOUT_S:
            raise Failure(
                f"the engine (pid {engine['pids']['engine']}) is still ending pods after "
                f"{_END_TIMEOUT_S:g} s",
                hint=f"run it again when that is over; its log is {state.engine_log}",
                code=UNREACHABLE,
            )
        if not engine and lasted_s > _START_TIMEOUT_S:
            raise Failure(
                f"an engine holds the state folder {state.root} and does not come up",
                hint=f"its log is {state.engine_log}",
                code=UNREACHABLE,
            )
        await asyncio.sleep(_LOOK_S)
    return None


def _launched(
    state: StateDir,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> tuple[subprocess.Popen[bytes], int]:
    """Its process, and where its words begin in the log. Raises Failure."""
    with in_state_folder(state):
        state.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = _private_log(state)
    with os.fdopen(descriptor, "ab") as log:
        start = log.tell()
        try:
            process = subprocess.Popen(
                list(argv),
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            raise Failure(f"{argv[0]} can't be run: {error}", code=UNREACHABLE) from error
    return process, start


@asynccontextmanager
async def _ended_if_given_up(process: subprocess.Popen[bytes]) -> AsyncIterator[None]:
    """Ctrl-C while it starts: it ends, with the keeper that it has started for nothing."""
    try:
        yield
    except asyncio.CancelledError:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, _GIVEN_UP_S)
        except subprocess.TimeoutExpired:  # it hangs, and so would who waits for it
            process.kill()
            process.wait()
        raise


def _private_log(state: StateDir) -> int:
    fd = os.open(state.engine_log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.fchmod(fd, 0o600)  # it may have been there before, open to others
    return fd


async def until_adopted(state: StateDir) -> int | None:
    """How many pods had gone on without the engine that has just started and were adopted.

    None when it doesn't say: an older engine, or one that is not so far after a few seconds.
    """
    with contextlib.suppress(TimeoutError, Failure):
        async with asyncio.timeout(_ADOPTION_S):
            while True:
                if (engine := engine_of(state)).get("adopted"):
                    found: int | None = engine.get("adopted_pods")
                    return found
                await asyncio.sleep(_LOOK_S)
    return None


async def _until_up(state: StateDir, process: subprocess.Popen[bytes], log_start: int) -> Obj:
    try:
        async with asyncio.timeout(_START_TIMEOUT_S):
            while process.poll() is None:
                engine = running_engine(state)
                if engine and engine["pids"]["engine"] == process.pid:
                    process.returncode = 0  # it lives on; Popen must not warn about it
                    return engine
                await asyncio.sleep(_LOOK_S)
    except TimeoutError:
        process.kill()
        process.wait()
        raise Failure(
            f"the engine did not come up within {_START_TIMEOUT_S:g} s and was ended",
            hint=f"its log is {state.engine_log}",
            code=UNREACHABLE,
        ) from None
    raise Failure(_why(state, log_start), code=UNREACHABLE)


def _why(state: StateDir, start: int) -> str:
    """The sentence the engine ended with, or its last log lines."""
    with state.engine_log.open("rb") as log:
        log.seek(start)
        lines = log.read().decode(errors="replace").splitlines()
    spoken = [line for line in lines if line.startswith(("error: ", "hint: "))]
    if spoken:
        return "the engine did not start: " + "\n".join(spoken).removeprefix("error: ")
    if not lines:
        return f"the engine did not start, and its log {state.engine_log} is empty ({_free(state)})"
    return "the engine did not start; its log ends with:\n" + "\n".join(
        _message(line) for line in lines[-_LAST_LINES:]
    )


def _free(state: StateDir) -> str:
    """How much room there is: what a full disk keeps out of a log."""
    left = shutil.disk_usage(state.root).free // 1024
    return f"{left} KiB are free there"


def _message(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return str(entry.get("message", line)) if isinstance(entry, dict) else line


async def until_gone(pid: int, *, timeout_s: float) -> None:
    """Wait for a process that is not our child. Raises TimeoutError."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(fd, ended.set)
    try:
        async with asyncio.timeout(timeout_s):
            await ended.wait()
    finally:
        loop.remove_reader(fd)
        os.close(fd)


async def down_apart(state: StateDir, *, timeout_s: float) -> str:
    """Run ``nodrop down`` as a process; returns what it said if it failed, else nothing.

    In a session of its own: a second Ctrl-C must not leave half of the engine running.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "nodrop", "down", "--state", str(state.root)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(timeout_s):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        said, _ = await process.communicate()
    if not process.returncode:
        return ""
    return said.decode(errors="replace").strip() or f"exit code {process.returncode}"
