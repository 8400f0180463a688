"""``nodrop explain``: why something is done or not done, from the decision itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from nodrop.cli.hints import NOT_FOUND
from nodrop.cli.progress import rollout_message
from nodrop.cli.session import USAGE, Failure, connect, namespace_option, runs, state_option
from nodrop.client.cache import Cache
from nodrop.clock import SystemClock
from nodrop.model.kinds import DEPLOYMENT, KINDS, POD, REPLICASET, Kind
from nodrop.model.meta import ObjectKey
from nodrop.plan.why import why_deployment, why_pod, why_replicaset
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.client.http import HttpClient

_Why = Callable[[Cache, ObjectKey, datetime], list[str]]
_KINDS: tuple[tuple[Kind, _Why], ...] = (
    (DEPLOYMENT, why_deployment),
    (REPLICASET, why_replicaset),
    (POD, why_pod),
)


@click.command(short_help="Say why a deployment, replicaset or pod is as it is.")
@click.argument("what", metavar="KIND/NAME")
@state_option
@namespace_option
@runs
async def explain(what: str, state: StateDir, namespace: str) -> None:
    """Say why a deployment, replicaset or pod is as it is, e.g. deployment/web.

    The controller's own decision is taken over the present objects, and told instead of done.
    """
    key, why = parse(what, namespace)
    async with connect(state) as client:
        cache = await _read(client)
    lines = why(cache, key, SystemClock().now())
    found = cache.get(key)
    if found is None:
        raise Failure(f"there is no {key.kind.singular} {namespace}/{key.name}", hint=NOT_FOUND)
    click.echo(f"{key.kind.singular}/{key.name}")
    if key.kind == DEPLOYMENT:
        click.echo(f"  {rollout_message(found)[0]}")
    for line in lines:
        click.echo(f"  {line}")


def parse(what: str, namespace: str) -> tuple[ObjectKey, _Why]:
    """``deploy/web`` → its key and who explains it. Raises Failure (2)."""
    word, slash, name = what.partition("/")
    for kind, why in _KINDS:
        if slash and name and word.lower() in (kind.singular, kind.plural, *kind.short_names):
            return ObjectKey(kind, namespace, name), why
    raise Failure(
        f"{what!r} can't be explained",
        hint="give deployment/NAME, replicaset/NAME or pod/NAME",
        code=USAGE,
    )


async def _read(client: HttpClient) -> Cache:
    """Everything that is there, once."""
    cache = Cache(client, KINDS)
    await cache.fill()
    return cache
