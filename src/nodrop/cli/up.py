"""``nodrop up``: engine, apply, rollout, URLs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nodrop.cli.session import FAILED, connect, namespace_option, runs, state_option
from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.client.http import HttpClient


@click.command(short_help="Apply manifests, follow the rollout, print the URLs.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@state_option
@namespace_option
@click.option("--timeout", "timeout_s", type=float, help="Give up following after so many seconds.")
@click.option("--no-wait", is_flag=True, help="Apply and return; do not follow the rollout.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="As in nodrop serve.")
@click.option("--api-port", type=click.IntRange(0, 65535), help="As in nodrop serve.")
@click.option("--bind", multiple=True, help="As in nodrop serve.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@runs
async def up(
    files: tuple[Path, ...],
    state: StateDir,
    namespace: str,
    timeout_s: float | None,
    no_wait: bool,
    http_port: int | None,
    api_port: int | None,
    bind: tuple[str, ...],
    as_json: bool,
) -> int:
    """Apply manifests, follow the rollout, print the URLs.

    Starts the engine in the background if it does not run yet. A relative command or workingDir
    in a manifest is meant from the manifest's folder. Exit code 1 if the rollout fails: it says
    why, and the version that ran before keeps serving.
    """
    from nodrop.check.source import read_files
    from nodrop.cli.apply import apply_all, prepare, warnings_of
    from nodrop.cli.background import ensure_engine
    from nodrop.cli.follow import follow

    objects = prepare(read_files(files), namespace)
    for warning in warnings_of(objects):
        click.echo(f"warning: {warning}", err=True)
    engine, started = await ensure_engine(state, _serve_arguments(http_port, api_port, bind))
    if started and not as_json:
        click.echo(f"engine started (pid {engine['pids']['engine']}, state {state.root})")
    async with connect(state) as client:
        applied = await apply_all(client, objects)
        if not as_json:
            for outcome in applied:
                click.echo(str(outcome))
        keys = [outcome.key for outcome in applied if outcome.key.kind is DEPLOYMENT]
        failures: list[str] = []
        if keys and not no_wait:
            failures = await follow(client, keys, timeout_s=timeout_s, quiet=as_json)
        urls = await _urls(client, engine)
    if as_json:
        outcomes = [{"object": str(o.key), "outcome": o.outcome} for o in applied]
        click.echo(json.dumps({"applied": outcomes, "failures": failures, "urls": urls}))
        return FAILED if failures else 0
    for failure in failures:
        click.echo(failure, err=True)
    if failures:
        click.echo(
            "hint: pods of the version before keep serving; go back with: nodrop rollout undo NAME",
            err=True,
        )
        return FAILED
    for url in urls:
        click.echo(url)
    return 0


def _serve_arguments(
    http_port: int | None, api_port: int | None, bind: tuple[str, ...]
) -> list[str]:
    arguments = [f"--bind={address}" for address in bind]
    if http_port is not None:
        arguments.append(f"--http-port={http_port}")
    if api_port is not None:
        arguments.append(f"--api-port={api_port}")
    return arguments


async def _urls(client: HttpClient, engine: Obj) -> list[str]:
    from nodrop.cli.urls import urls_of
    from nodrop.model.kinds import INGRESS

    page = await client.list(INGRESS)
    return urls_of(page.items, engine["http"]["urls"])
