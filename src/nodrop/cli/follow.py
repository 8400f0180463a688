"""Follow rollouts until they are done or have failed: live in a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from nodrop.cli.outage import Outage
from nodrop.cli.progress import (
    Problem,
    Standing,
    image_of,
    new_pods,
    phase_of,
    revision_to_go_back_to,
    serving_revisions,
    standing_of,
    way_out,
)
from nodrop.cli.session import Failure
from nodrop.client.cache import Cache
from nodrop.client.http import HttpClient
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, EVENT, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, controller_of

if TYPE_CHECKING:
    from rich.console import RenderableType

#: How long a lasting problem must last before following gives up: a ConfigMap may be on its way.
_PATIENCE_S = 5.0
_LOOK_AGAIN_S = 0.5
_LAST_LINES = 8
#: An upgrade or a supervisor's restart is shorter than the first; after the second nobody comes.
_OUTAGE_TOLD_S, _OUTAGE_PATIENCE_S = 3.0, 60.0


@dataclass(slots=True)
class _Picture:
    """What was said about each deployment, and since when it looks hopeless."""

    said: dict[ObjectKey, str] = field(default_factory=dict)
    told: set[tuple[ObjectKey, str]] = field(default_factory=set)
    hopeless_since: dict[ObjectKey, float] = field(default_factory=dict)
    outage_told: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """A rollout that did not end well: why, and what to do."""

    key: ObjectKey
    lines: tuple[str, ...]
    hint: str

    def __str__(self) -> str:
        return "\n".join(self.lines)


async def follow(
    client: HttpClient,
    keys: Sequence[ObjectKey],
    *,
    timeout_s: float | None = None,
    quiet: bool = False,
    check: Callable[[], object] = lambda: None,
) -> list[Failed]:
    """Follow the rollouts of some deployments; returns those that failed, with the reasons.

    ``check`` raises once everything was ended: an engine that is only away is waited for.
    """
    outage, picture, now = Outage(), _Picture(), asyncio.get_running_loop().time
    cache = Cache(
        client,
        (DEPLOYMENT, REPLICASET, POD, EVENT),
        on_failure=lambda _kind, error: outage.note(error, now()),
    )
    changed = asyncio.Event()
    cache.subscribe(lambda _event, _before: changed.set())

    def look() -> None:
        check()
        _say_outage(outage, picture, now())

    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        try:
            await _synced(cache, outage, check)
            async with asyncio.timeout(timeout_s or None):
                failed = await _until_decided(cache, keys, changed, look, picture, quiet=quiet)
                why = "failed"
        except TimeoutError:
            why = f"was not done after {timeout_s or 0:g} s"
            failed = [(key, _standing(cache, key)) for key in keys]
            failed = [(key, standing) for key, standing in failed if standing.state != "done"]
        finally:
            running.cancel()
    return [
        Failed(
            key,
            tuple([line async for line in reasons(client, key, standing, why)]),
            way_out(key.namespace, key.name, _go_back_to(cache, key), paused=standing.paused),
        )
        for key, standing in failed
    ]


def say_failed(failed: Sequence[Failed]) -> None:
    """Say why rollouts failed and how to go back, on stderr."""
    for one in failed:
        click.echo(f"error: {one}", err=True)
    if failed:
        click.echo("hint: " + "\n".join(one.hint for one in failed), err=True)


async def reasons(
    client: HttpClient, key: ObjectKey, standing: Standing, why: str
) -> AsyncIterator[str]:
    """Why a rollout did not go well, line by line, with the ends of its containers' logs."""
    yield f"the rollout of {key.kind.singular} {key.name} {why}: {standing.short}"
    told: set[str] = set()
    for problem in standing.problems:
        if problem.fault in told:
            continue  # ten replicas with one fault are told once
        told.add(problem.fault)
        yield f"  {problem}"
        for line in await _last_lines(client, key, problem):
            yield f"    | {line}"


# Private


async def _synced(cache: Cache, outage: Outage, check: Callable[[], object]) -> None:
    """Know how things stand, which no time limit of a rollout is about. Raises ApiError."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + _OUTAGE_PATIENCE_S
    while loop.time() < deadline_s:
        check()
        try:
            async with asyncio.timeout(_LOOK_AGAIN_S):
                return await cache.synced()
        except TimeoutError:
            continue
    raise outage.error or Failure("the engine does not list its objects")


async def _until_decided(
    cache: Cache,
    keys: Sequence[ObjectKey],
    changed: asyncio.Event,
    look: Callable[[], None],
    picture: _Picture,
    *,
    quiet: bool,
) -> list[tuple[ObjectKey, Standing]]:
    loop = asyncio.get_running_loop()
    with _display(cache, quiet) as show:
        while True:
            changed.clear()
            look()
            standings = {key: _standing(cache, key) for key in keys}
            show(standings, picture)
            open_ = [key for key, standing in standings.items() if standing.state == "progressing"]
            hopeless = _hopeless(standings, picture, loop.time())
            if not open_ or set(open_) <= hopeless:
                return [
                    (key, standing)
                    for key, standing in standings.items()
                    if standing.state == "failed" or key in hopeless
                ]
            try:
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await changed.wait()
            except TimeoutError:
                pass  # look again: patience is measured in time, not in events


def _say_outage(outage: Outage, picture: _Picture, now_s: float) -> None:
    """Tell once that the engine is away. Raises its error when it does not come back."""
    lasted_s = outage.lasted_s(now_s)
    if outage.error and lasted_s > _OUTAGE_PATIENCE_S:
        raise outage.error
    if lasted_s > _OUTAGE_TOLD_S and not picture.outage_told:
        click.echo("the engine does not answer; pods keep running, waiting for it …", err=True)
    picture.outage_told = lasted_s > _OUTAGE_TOLD_S


def _standing(cache: Cache, key: ObjectKey) -> Standing:
    deployment = cache.get(key)
    if deployment is None:
        return Standing("failed", f'deployment "{key.name}" is gone')
    pods = cache.list(POD, key.namespace)
    fresh = new_pods(cache.list(REPLICASET, key.namespace), pods, deployment)
    return standing_of(deployment, fresh, cache.list(EVENT, key.namespace))


def _hopeless(
    standings: dict[ObjectKey, Standing], picture: _Picture, now: float
) -> set[ObjectKey]:
    """Rollouts whose new pods have had a lasting problem for longer than our patience."""
    for key, standing in standings.items():
        if standing.state == "progressing" and any(p.lasting for p in standing.problems):
            picture.hopeless_since.setdefault(key, now)
        else:
            picture.hopeless_since.pop(key, None)
    return {key for key, since in picture.hopeless_since.items() if now - since >= _PATIENCE_S}


def _go_back_to(cache: Cache, key: ObjectKey) -> int | None:
    if (deployment := cache.get(key)) is None:
        return None
    serving = serving_revisions(cache.list(REPLICASET, key.namespace), deployment)
    return revision_to_go_back_to(serving, deployment)


async def _last_lines(client: HttpClient, key: ObjectKey, problem: Problem) -> list[str]:
    if not problem.wants_logs:
        return []
    for previous in (False, True):
        try:
            chunks = [
                chunk
                async for chunk in client.logs(
                    ObjectKey(POD, key.namespace, problem.pod),
                    container=problem.container,
                    tail_lines=_LAST_LINES,
                    previous=previous,
                )
            ]
        except ApiError:
            continue
        if lines := b"".join(chunks).decode(errors="replace").splitlines():
            return lines
    return []


_Show = Callable[[dict[ObjectKey, Standing], _Picture], None]


@contextmanager
def _display(cache: Cache, quiet: bool) -> Iterator[_Show]:
    """``show`` for a terminal (a live table), for a pipe (a line a change), or for nobody."""
    if quiet:
        yield _say_nothing
        return
    if not sys.stdout.isatty():
        yield _say_changes
        return
    from rich.live import Live

    with Live(refresh_per_second=10) as live:

        def show(standings: dict[ObjectKey, Standing], _picture: _Picture) -> None:
            live.update(_table(cache, standings))

        yield show


def _say_nothing(_standings: dict[ObjectKey, Standing], _picture: _Picture) -> None:
    pass


def _say_changes(standings: dict[ObjectKey, Standing], picture: _Picture) -> None:
    for key, standing in standings.items():
        if picture.said.get(key) != _message(key, standing):
            click.echo(_message(key, standing))
            picture.said[key] = _message(key, standing)
        for problem in standing.problems:
            # What lasts ends the rollout soon and is told then, unless others are waited for.
            news = problem.goes_on or (problem.lasting and len(standings) > 1)
            if news and (key, problem.fault) not in picture.told:
                picture.told.add((key, problem.fault))
                click.echo(f"  {problem}")


def _message(key: ObjectKey, standing: Standing) -> str:
    """What kubectl says; it waits without a word for a paused rollout, we say for what."""
    if not standing.paused:
        return standing.message
    return f"{standing.message} ({way_out(key.namespace, key.name, None, paused=True)})"


def _table(cache: Cache, standings: dict[ObjectKey, Standing]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts: list[RenderableType] = []
    for key, standing in standings.items():
        table = Table(box=None, pad_edge=False)
        for column in ("Pod", "Version", "State", "Address"):
            table.add_column(column)
        for pod in sorted(_pods_of(cache, key), key=lambda pod: pod["metadata"]["name"]):
            phase = phase_of(pod)
            colour = {"Ready": "green", "Starting": "yellow", "Terminating": "dim"}.get(
                phase, "red"
            )
            address = (pod.get("status") or {}).get("podIP", "")
            table.add_row(
                pod["metadata"]["name"], image_of(pod), Text(phase, style=colour), address
            )
        parts.extend([Text(_message(key, standing), style="bold"), table])
        parts.extend(Text(f"  {problem}", style="red") for problem in standing.problems)
    return Group(*parts)


def _pods_of(cache: Cache, key: ObjectKey) -> list[Obj]:
    deployment = cache.get(key)
    if deployment is None:
        return []
    sets = {
        rs["metadata"]["uid"]
        for rs in cache.controlled_by(REPLICASET, deployment["metadata"]["uid"])
    }
    pods = cache.list(POD, key.namespace)
    return [pod for pod in pods if (owner := controller_of(pod)) and owner["uid"] in sets]
