"""What every client command shares: the state folder, a client, and how errors end."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from nodrop.check.broken import BrokenManifest
from nodrop.model.errors import ApiError
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir, default_state_dir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nodrop.client.http import HttpClient

FAILED, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
_F = TypeVar("_F", bound=Callable[..., Any])


class Failure(Exception):
    """A command ends with a message, perhaps a hint, and an exit code."""

    def __init__(self, message: str, *, hint: str = "", code: int = FAILED) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


class Interrupted(Failure):
    """Ctrl-C, with a sentence on what has happened already and what goes on by itself."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code=INTERRUPTED)


@contextmanager
def interrupted_as(say: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl-C into Interrupted with what ``say`` says then. For the main task of a command."""
    try:
        yield
    except asyncio.CancelledError:
        raise Interrupted(say()) from None


def state_option(command: _F) -> _F:
    """``--state DIR``, given to the command as a StateDir named ``state``."""
    return click.option(
        "--state",
        type=click.Path(file_okay=False, path_type=Path),
        default=None,
        callback=lambda _ctx, _param, value: StateDir((value or default_state_dir()).absolute()),
        help="State folder of the engine (default: $NODROP_STATE, else under XDG state).",
    )(command)


def namespace_option(command: _F) -> _F:
    return click.option("-n", "--namespace", default="default", show_default=True)(command)


def runs(main: Callable[..., Awaitable[int | None]]) -> Callable[..., None]:
    """Turn an async command into a synchronous one whose errors end in message, hint, code."""

    @functools.wraps(main)
    def run(**arguments: Any) -> None:
        try:
            with asyncio.Runner() as runner:
                runner.get_loop()  # makes it: Ctrl-C meanwhile leaves no coroutine behind
                code = runner.run(_awaited(main, arguments))
        except KeyboardInterrupt:
            end(Interrupted(""))
        except (BrokenPipeError, Failure, ApiError, BrokenManifest, ExceptionGroup) as error:
            end(error)
        sys.exit(code or 0)

    return run


def end(error: Exception) -> NoReturn:
    """Print ``error`` and its hint and exit with its code; silently where nobody reads on."""
    from nodrop.cli.hints import hint_for

    error = first_of(error)
    if isinstance(error, BrokenPipeError):  # | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    if isinstance(error, Interrupted):
        click.echo(f"interrupted: {error}" if str(error) else "interrupted", err=True)
        sys.exit(INTERRUPTED)
    if not isinstance(error, Failure | ApiError | BrokenManifest):
        raise error
    click.echo(f"error: {error}", err=True)
    hint = error.hint if isinstance(error, Failure) else hint_for(error)
    if hint:
        click.echo(f"hint: {hint}", err=True)
    if isinstance(error, Failure):
        sys.exit(error.code)
    sys.exit(USAGE if isinstance(error, BrokenManifest) else FAILED)


def first_of(error: Exception) -> Exception:
    """The first failure of side-by-side work, however deep: it tells what happened."""
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def in_state_folder(state: StateDir) -> Iterator[None]:
    """Turn what the system refuses there into Failure (2). What is missing is for the caller."""
    try:
        yield
    except (FileNotFoundError, BlockingIOError):
        raise
    except OSError as error:
        raise Failure(
            f"the state folder {state.root} can't be used: {error.strerror}: {error.filename}",
            hint="choose another with --state DIR or $NODROP_STATE",
            code=USAGE,
        ) from error


def engine_of(state: StateDir) -> Obj:
    """What ``engine.json`` says. Raises Failure (3) when no engine has run here, or everything was
    ended (nodrop down): an engine that is only away leaves the file."""
    try:
        with in_state_folder(state):
            found: Obj = json.loads(state.engine_json.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Failure(
            f"no nodrop engine runs with the state folder {state.root}",
            hint="start one with: nodrop up FILE…  (or nodrop serve)",
            code=UNREACHABLE,
        ) from None
    except ValueError as error:
        raise Failure(f"{state.engine_json} is not valid JSON: {error}", code=UNREACHABLE) from None
    return found


@asynccontextmanager
async def connect(state: StateDir) -> AsyncIterator[HttpClient]:
    """A client of the running engine. Raises Failure (3) when there is none."""
    from nodrop.client.http import HttpClient, Unreachable

    engine_of(state)
    try:
        async with HttpClient.from_kubeconfig(state.kubeconfig) as client:
            yield client
    except Unreachable as error:
        raise _unanswered(state, error) from error
    except ExceptionGroup as group:
        if isinstance(first := first_of(group), Unreachable):
            raise _unanswered(state, first) from first
        raise


# Private


def _unanswered(state: StateDir, error: Exception) -> Failure:
    """What an engine that lives and does not answer is doing, or how to start one again."""
    from nodrop.cli.background import is_locked, running_engine

    engine = running_engine(state)
    if engine is None and is_locked(state):
        return Failure(
            f"the engine is only just starting: {error}",
            hint=f"try again in a moment; its log is {state.engine_log}",
            code=UNREACHABLE,
        )
    if engine is None:
        return Failure(
            f"the engine does not answer: {error}",
            hint=f"{_without_engine(state)}: nodrop serve (or nodrop up FILE…); its log is "
            f"{state.engine_log}",
            code=UNREACHABLE,
        )
    pid = engine["pids"]["engine"]
    if isinstance(error.__cause__, TimeoutError):
        message = f"the engine (pid {pid}) runs and does not answer: {error}"
    else:
        message = f"the engine (pid {pid}) is shutting down"
    return Failure(message, hint=f"its log is {state.engine_log}", code=UNREACHABLE)


def _without_engine(state: StateDir) -> str:
    """What has become of the pods, and what another start does about it."""
    if _keeper_runs(state):
        return "pods keep running without it; start it again, and it adopts them"
    return "the keeper of its pods has ended too; start it again, and it starts all pods anew"


def _keeper_runs(state: StateDir) -> bool:
    """Whether the parent of all pods lives: it outlives the engine, but no power cut."""
    pid = (engine_of(state).get("pids") or {}).get("keeper")
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return str(state.keeper).encode() in command


async def _awaited(
    main: Callable[..., Awaitable[int | None]], arguments: dict[str, Any]
) -> int | None:
    return await main(**arguments)
