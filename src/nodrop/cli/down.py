"""``nodrop down``: delete what manifests name, or stop everything gracefully."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodrop.cli.durations import duration
from nodrop.cli.manifests import read_manifests, skip_unserved_option
from nodrop.cli.session import (
    Failure,
    connect,
    interrupted_as,
    namespace_option,
    runs,
    state_option,
)
from nodrop.model.meta import Obj, ObjectKey
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.check.source import Document
    from nodrop.client.http import HttpClient


_KEEPER_ENDS_WITHIN_S = 2.0
_TRIES = 3


@click.command(short_help="Delete objects, or stop everything.")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@state_option
@namespace_option
@skip_unserved_option
@click.option(
    "--timeout",
    "timeout_s",
    type=duration,
    default=120.0,
    show_default=True,
    help="Give up waiting then.",
)
@runs
async def down(
    files: tuple[Path, ...],
    state: StateDir,
    namespace: str,
    skip_unserved: bool,
    timeout_s: float,
) -> None:
    """Delete the objects of manifests and wait until their pods have ended.

    Without FILES: end every pod gracefully (hooks, SIGTERM, grace period), then the proxy and
    the engine. Deployments and all other objects stay in the state folder: the next nodrop up or
    serve brings their pods back. Only a Pod that nothing controls is gone for good.
    """
    begun: list[str] = []
    with interrupted_as(lambda: "".join(begun[-1:]) or "nothing was ended"):
        if files:
            documents = read_manifests(files, skip_unserved=skip_unserved)
            await _delete(state, documents, namespace=namespace, timeout_s=timeout_s, begun=begun)
        else:
            await _stop_everything(state, timeout_s, begun)


# Private


async def _delete(
    state: StateDir,
    documents: Sequence[Document],
    *,
    namespace: str,
    timeout_s: float,
    begun: list[str],
) -> None:
    from nodrop.cli.apply import prepare, spoken
    from nodrop.client.actions import Delete
    from nodrop.model.errors import ApiError
    from nodrop.model.meta import key_of

    objects = prepare(documents, namespace)
    async with connect(state) as client:
        gone: list[tuple[ObjectKey, str]] = []
        for obj in reversed(objects):
            key = key_of(obj)
            try:
                uid = (await client.get(key))["metadata"]["uid"]
                begun.append("what was asked to be deleted goes on ending by itself")
                await client.apply(Delete(key, uid=uid, propagation="Foreground"))
            except ApiError as error:
                if error.code != 404:
                    raise
                click.echo(f"{spoken(key)} was not there")
                continue
            gone.append((key, uid))
        try:
            async with asyncio.timeout(timeout_s):
                for key, uid in gone:
                    await _until_deleted(client, key, uid)
                    click.echo(f"{spoken(key)} deleted")
        except TimeoutError:
            raise Failure(f"still being deleted after {timeout_s:g} s: {key}") from None


async def _until_deleted(client: HttpClient, key: ObjectKey, uid: str) -> None:
    from nodrop.client.protocol import Scope

    scope = Scope(key.namespace or None, fields=(("metadata.name", key.name),))
    page = await client.list(key.kind, scope)
    if not any(item["metadata"]["uid"] == uid for item in page.items):
        return
    async with contextlib.aclosing(client.watch(key.kind, scope, since=page.revision)) as events:
        async for event in events:
            if event.type == "DELETED" and event.obj["metadata"]["uid"] == uid:
                return


async def _keeper_answers(state: StateDir) -> bool:
    from nodrop.keeper.client import KeeperClient
    from nodrop.keeper.protocol import KeeperFailure

    keeper = KeeperClient(state.keeper_socket)
    try:
        await keeper.info()
    except KeeperFailure:
        return False
    finally:
        keeper.close()
    return True


def _left_behind(state: StateDir) -> bool:
    """Whether processes of a keeper that was killed still run: the next one ends them."""
    from nodrop.keeper import proc
    from nodrop.keeper.process import Process
    from nodrop.keeper.records import Records

    folder, boot_id = state.keeper / "processes", proc.boot_id()
    if not folder.is_dir():
        return False
    known = map(Process.from_disk, Records(str(folder)).load())
    return any(not process.ended and process.left_running(boot_id) for process in known)


async def _stop_everything(state: StateDir, timeout_s: float, begun: list[str]) -> None:
    """Whatever else happens to the engine meanwhile: look again until nothing of it is left."""
    keeper = 0
    for _ in range(_TRIES):
        engine, ours = await _engine_to_end(state)
        if engine is None or not (ours or keeper in (0, engine["pids"]["keeper"])):
            break  # nothing, or somebody has begun anew
        keeper = engine["pids"]["keeper"]
        await _end_engine(state, engine, timeout_s, begun)
        if await _is_gone(keeper) and not _left_behind(state):
            break
    else:
        raise Failure(
            "the engine has ended and its keeper goes on: pods may still run",
            hint=f"run nodrop down again; why it ended is in {state.engine_log}",
        )
    if keeper:
        click.echo(f"everything has ended; objects are kept in {state.root}")
    else:
        click.echo(f"nothing runs with the state folder {state.root}")


async def _engine_to_end(state: StateDir) -> tuple[Obj | None, bool]:
    """The one that runs, or a new one: pods outlive their engine, and only one ends them well.

    And whether it was started here: then nobody else has asked for it.
    """
    from nodrop.cli.background import ensure_engine, settled

    if engine := await settled(state, ending_too=True):
        return engine, False
    if await _keeper_answers(state) or _left_behind(state):
        return await ensure_engine(state)
    return None, False


async def _end_engine(state: StateDir, engine: Obj, timeout_s: float, begun: list[str]) -> None:
    from nodrop.cli.background import until_gone

    pid = engine["pids"]["engine"]
    begun.append(f"the engine (pid {pid}) goes on ending pods, then itself")
    try:
        os.kill(pid, signal.SIGUSR1)
        await until_gone(pid, timeout_s=timeout_s)
    except ProcessLookupError:
        pass  # it has just ended
    except TimeoutError:
        raise Failure(
            f"the engine (pid {pid}) is still ending pods after {timeout_s:g} s",
            hint=f"it goes on by itself; its log is {state.engine_log}",
        ) from None


async def _is_gone(keeper: int) -> bool:
    """Whether the keeper ends too, as one does at once whose engine has told it to."""
    from nodrop.cli.background import until_gone

    try:
        await until_gone(keeper, timeout_s=_KEEPER_ENDS_WITHIN_S)
    except TimeoutError:
        return False
    return True
