"""``nodrop rollout``: status, undo, history, pause, resume, restart."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import click

from nodrop.cli.durations import duration
from nodrop.cli.progress import HASH, REVISION, image_of, serving_revisions, standing_of
from nodrop.cli.session import (
    FAILED,
    USAGE,
    Failure,
    connect,
    engine_of,
    interrupted_as,
    namespace_option,
    runs,
    state_option,
)
from nodrop.client.actions import Patch
from nodrop.model.kinds import DEPLOYMENT, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, annotations_of, controller_of, format_time
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.client.http import HttpClient

_WORDS = (DEPLOYMENT.singular, DEPLOYMENT.plural, *DEPLOYMENT.short_names)
_SPELLINGS = {"", *_WORDS, *(f"{word}.apps" for word in _WORDS)}
#: Annotations that belong to a revision and not to its template (kubectl's undo keeps them).
_NOT_OF_A_REVISION = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision",
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
    "deprecated.deployment.rollback.to",
}


@click.group(short_help="Follow, list, undo, pause, resume or restart rollouts.")
def rollout() -> None:
    """Follow, list, undo, pause, resume or restart the rollouts of a deployment."""


@rollout.command(short_help="Follow a rollout until it is done.")
@click.argument("name")
@state_option
@namespace_option
@click.option("--timeout", "timeout_s", type=duration, help="Give up following then (0: never).")
@click.option("--no-wait", is_flag=True, help="Say how it stands and return (1 if it failed).")
@runs
async def status(
    name: str, state: StateDir, namespace: str, timeout_s: float | None, no_wait: bool
) -> int:
    """Follow a rollout until it is done; exit code 1 if it fails."""
    from nodrop.cli.follow import follow, say_failed

    key = key_of_name(namespace, name)
    with interrupted_as(lambda: "the rollout goes on"):
        async with connect(state) as client:
            standing = standing_of(await client.get(key))
            if no_wait or standing.state == "done":
                click.echo(standing.message)
                return FAILED if standing.state == "failed" else 0
            check = partial(engine_of, state)
            failed = await follow(client, [key], timeout_s=timeout_s, check=check)
    say_failed(failed)
    return FAILED if failed else 0


@rollout.command(short_help="List revisions and which of them serve.")
@click.argument("name")
@state_option
@namespace_option
@click.option("--json", "as_json", is_flag=True)
@runs
async def history(name: str, state: StateDir, namespace: str, as_json: bool) -> None:
    """List the revisions that undo can go back to, and which of them serve."""
    async with connect(state) as client:
        deployment = await client.get(key_of_name(namespace, name))
        sets = await _revisions(client, deployment)
    ready = serving_revisions(sets.values(), deployment)
    rows = [
        {
            "revision": revision,
            "images": image_of(rs),
            "ready_pods": ready.get(revision, 0),
            "cause": annotations_of(rs).get("kubernetes.io/change-cause", ""),
        }
        for revision, rs in sorted(sets.items())
    ]
    if as_json:
        click.echo(json.dumps(rows))
        return
    click.echo(f"{'REVISION':<10}{'IMAGES':<32}{'READY PODS':<12}CHANGE-CAUSE")
    for row in rows:
        click.echo(
            f"{row['revision']:<10}{row['images']:<32}{row['ready_pods'] or '-':<12}"
            f"{row['cause'] or '<none>'}"
        )


@rollout.command()
@click.argument("name")
@state_option
@namespace_option
@click.option("--to-revision", type=click.IntRange(0), default=0, help="0 = the one before.")
@runs
async def undo(name: str, state: StateDir, namespace: str, to_revision: int) -> None:
    """Go back to an earlier revision."""
    key = key_of_name(namespace, name)
    async with connect(state) as client:
        deployment = await client.get(key)
        if deployment["spec"].get("paused"):
            raise Failure(
                f'deployment "{key.name}" is paused',
                hint=f"first: nodrop rollout resume {key.name}",
            )
        revisions = await _revisions(client, deployment)
        number, target = _target(revisions, deployment, to_revision)
        operations = undo_operations(deployment, target)
        if operations:
            await client.patch_json(key, operations)
    if operations:
        click.echo(f"deployment.apps/{key.name} rolled back to revision {number}")
    else:
        click.echo(
            f"deployment.apps/{key.name} skipped rollback (current template already matches "
            f"revision {number})"
        )


@rollout.command(short_help="Hold a rollout where it is.")
@click.argument("name")
@state_option
@namespace_option
@runs
async def pause(name: str, state: StateDir, namespace: str) -> None:
    """Hold a rollout where it is; scaling still works."""
    await _set_paused(state, key_of_name(namespace, name), True)


@rollout.command()
@click.argument("name")
@state_option
@namespace_option
@runs
async def resume(name: str, state: StateDir, namespace: str) -> None:
    """Go on with a paused rollout."""
    await _set_paused(state, key_of_name(namespace, name), False)


@rollout.command(short_help="Replace every pod, as a rolling update.")
@click.argument("name")
@state_option
@namespace_option
@runs
async def restart(name: str, state: StateDir, namespace: str) -> None:
    """Replace every pod by a new one of the same version, as a rolling update."""
    from nodrop.clock import SystemClock

    key = key_of_name(namespace, name)
    async with connect(state) as client:
        if (await client.get(key))["spec"].get("paused"):
            raise Failure("can't restart paused deployment (run rollout resume first)")
        stamp = {"kubectl.kubernetes.io/restartedAt": format_time(SystemClock().now())}
        template = {"metadata": {"annotations": stamp}}
        await client.apply(Patch(key, {"spec": {"template": template}}))
    click.echo(f"deployment.apps/{key.name} restarted")


def undo_operations(deployment: Obj, target: Obj) -> list[Obj]:
    """The JSON patch of kubectl's undo; empty when the template is the target's already."""
    template = json.loads(json.dumps(target["spec"]["template"]))
    (template["metadata"].get("labels") or {}).pop(HASH, None)
    current = json.loads(json.dumps(deployment["spec"]["template"]))
    (current["metadata"].get("labels") or {}).pop(HASH, None)
    if template == current:
        return []
    annotations = {
        key: value for key, value in annotations_of(deployment).items() if key in _NOT_OF_A_REVISION
    } | {
        key: value for key, value in annotations_of(target).items() if key not in _NOT_OF_A_REVISION
    }
    return [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]


def key_of_name(namespace: str, name: str) -> ObjectKey:
    """The key of ``web``, ``deploy/web`` … Raises Failure for what is no Deployment."""
    kind, _, plain = name.rpartition("/")
    if kind not in _SPELLINGS:
        raise Failure(
            f"{name}: rollouts are those of Deployments",
            hint=f"give {plain} or deployment/{plain}",
            code=USAGE,
        )
    return ObjectKey(DEPLOYMENT, namespace, plain)


# Private


def _target(revisions: dict[int, Obj], deployment: Obj, wanted: int) -> tuple[int, Obj]:
    if wanted:
        if wanted not in revisions:
            known = ", ".join(map(str, sorted(revisions)))
            raise Failure(f"unable to find specified revision {wanted} in history ({known})")
        return wanted, revisions[wanted]
    if len(revisions) < 2:
        raise Failure(f'no rollout history found for deployment "{deployment["metadata"]["name"]}"')
    number = sorted(revisions)[-2]
    return number, revisions[number]


async def _revisions(client: HttpClient, deployment: Obj) -> dict[int, Obj]:
    from nodrop.client.protocol import Scope

    page = await client.list(REPLICASET, Scope(deployment["metadata"]["namespace"]))
    return {
        int(annotations_of(rs).get(REVISION, 0)): rs
        for rs in page.items
        if (owner := controller_of(rs)) and owner["uid"] == deployment["metadata"]["uid"]
    }


async def _set_paused(state: StateDir, key: ObjectKey, paused: bool) -> None:
    word = "paused" if paused else "resumed"
    async with connect(state) as client:
        if bool((await client.get(key))["spec"].get("paused")) == paused:
            already = "already paused" if paused else "not paused"
            raise Failure(f'deployments.apps "{key.name}" is {already}')
        await client.apply(Patch(key, {"spec": {"paused": paused or None}}))
    click.echo(f"deployment.apps/{key.name} {word}")
