"""``nodrop logs``: what a pod, or the pods of a deployment, wrote."""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import sys
from typing import TYPE_CHECKING

import click

from nodrop.cli.durations import duration
from nodrop.cli.session import Failure, connect, namespace_option, runs, state_option
from nodrop.model.errors import ApiError
from nodrop.model.kinds import DEPLOYMENT, POD, REPLICASET
from nodrop.model.meta import Obj, ObjectKey, annotations_of, controller_of
from nodrop.statedir import StateDir

if TYPE_CHECKING:
    from nodrop.client.http import HttpClient

_DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


@click.command(short_help="Print what pods wrote.")
@click.argument("target")
@state_option
@namespace_option
@click.option(
    "-c", "--container", default="", help="Which container (the first, or the pod's default)."
)
@click.option("-f", "--follow", is_flag=True, help="Go on as the pod writes more.")
@click.option("-p", "--previous", is_flag=True, help="The container's run before this one.")
@click.option("--tail", "tail_lines", type=click.IntRange(0), help="Only the last N lines.")
@click.option("--since", type=duration, help="Only what is no older: seconds, or 5m, 1h.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@runs
async def logs(
    target: str,
    state: StateDir,
    namespace: str,
    container: str,
    follow: bool,
    previous: bool,
    tail_lines: int | None,
    since: float | None,
    timestamps: bool,
) -> None:
    """Print what TARGET wrote: a pod, or deployment/NAME (all its pods, each line with its pod)."""
    async with connect(state) as client:
        pods = await _pods(client, namespace, target)

        async def print_logs(pod: Obj) -> None:
            name = pod["metadata"]["name"]
            prefix = f"[{name}] ".encode() if len(pods) > 1 else b""
            stream = client.logs(
                ObjectKey(POD, namespace, name),
                container=container or default_container(pod),
                follow=follow,
                previous=previous,
                tail_lines=tail_lines,
                since_s=None if since is None else max(1, math.ceil(since)),
                timestamps=timestamps,
            )
            rest = b""
            async with contextlib.aclosing(stream):  # else it would be closed out of order
                async for chunk in stream:
                    *lines, rest = (rest + chunk).split(b"\n")
                    _write([prefix + line + b"\n" for line in lines])
            if rest:
                _write([prefix + rest + b"\n"])

        async with asyncio.TaskGroup() as group:
            unread = group.create_task(_until_unread())
            await asyncio.wait([group.create_task(print_logs(pod)) for pod in pods])
            unread.cancel()


def default_container(pod: Obj) -> str:
    """Which of several containers is meant where none is named, as kubectl takes it."""
    names = [str(container["name"]) for container in pod["spec"]["containers"]]
    named = annotations_of(pod).get(_DEFAULT_CONTAINER)
    return named if named and named in names else names[0]


# Private


async def _until_unread() -> None:
    """Raise BrokenPipeError when nobody reads on (``| head``): the next line may never come."""
    gone, loop = asyncio.Event(), asyncio.get_running_loop()
    with select.epoll() as watch:
        with contextlib.suppress(PermissionError):  # a file: it is always there
            watch.register(sys.stdout.fileno(), 0)  # errors are told in any case
        loop.add_reader(watch.fileno(), gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(watch.fileno())
    raise BrokenPipeError


def _write(lines: list[bytes]) -> None:
    sys.stdout.buffer.writelines(lines)
    sys.stdout.buffer.flush()


async def _pods(client: HttpClient, namespace: str, target: str) -> list[Obj]:
    from nodrop.client.protocol import Scope

    kind, _, name = target.rpartition("/")
    if kind in ("", "pod", "pods", "po"):
        return [await _pod(client, ObjectKey(POD, namespace, name), target)]
    if kind not in ("deployment", "deployments", "deploy", "deployment.apps"):
        raise Failure(f"{target}: logs come from a pod or from deployment/NAME")
    deployment = await client.get(ObjectKey(DEPLOYMENT, namespace, name))
    scope = Scope(namespace)
    sets = [rs for rs in (await client.list(REPLICASET, scope)).items if _is_of(rs, deployment)]
    pods = (await client.list(POD, scope)).items
    found = [pod for pod in pods if any(_is_of(pod, rs) for rs in sets)]
    if not found:
        raise Failure(f"deployment/{name} has no pods now")
    return found


async def _pod(client: HttpClient, key: ObjectKey, target: str) -> Obj:
    """The pod; whoever has named a deployment without saying so is told how to."""
    try:
        return await client.get(key)
    except ApiError as error:
        if error.reason != "NotFound":
            raise
        raise Failure(
            f"there is no pod {key.namespace}/{key.name}",
            hint=f"of a deployment's pods: nodrop logs deployment/{target.rpartition('/')[2]}; "
            "names of pods: nodrop status",
        ) from error


def _is_of(obj: Obj, owner: Obj) -> bool:
    reference = controller_of(obj)
    return bool(reference and reference["uid"] == owner["metadata"]["uid"])
