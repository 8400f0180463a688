"""Where a rehearsal takes place: a throwaway engine, the running one, or a cluster."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from nodrop.cli.demo_engine import own_engine
from nodrop.cli.rehearse_aim import Aim, in_namespace, service_url
from nodrop.cli.session import UNREACHABLE, USAGE, Failure, connect
from nodrop.client.actions import Delete
from nodrop.client.http import HttpClient
from nodrop.client.kubeconfig import KubeconfigError
from nodrop.model.errors import ApiError
from nodrop.model.kinds import NAMESPACE
from nodrop.model.meta import Obj, ObjectKey
from nodrop.statedir import StateDir

Mode = Literal["nodrop", "cluster"]
_GONE_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``mode`` is what ends pods there; ``namespace`` empty: as the manifests say.

    ``url`` is where the Ingress answers, empty where only Services are used. ``names_pods``: the
    proxy tells which pod an answer is of.
    """

    client: HttpClient
    mode: Mode
    what: str
    namespace: str = ""
    url: str = ""
    names_pods: bool = False

    def placed(self, objects: Sequence[Obj]) -> list[Obj]:
        """The objects as they are applied here."""
        return in_namespace(objects, self.namespace) if self.namespace else list(objects)

    async def target(self, aim: Aim) -> str:
        """Where the load goes. Raises Failure where that can't be known."""
        if self.url and (self.what == "cluster" or aim.by_ingress):
            return self.url
        if found := service_url(await self.client.get(aim.service), aim.port):
            return found
        raise Failure(
            f"the Service {aim.service.name} has no address on this machine",
            hint="say where it answers with --target http://127.0.0.1:PORT (a port-forward, or a "
            "port that the cluster maps to this machine)",
            code=USAGE,
        )


@asynccontextmanager
async def throwaway(mode: Mode, seed: int, *, keep: bool) -> AsyncIterator[Place]:
    """A fresh engine that ends with this process."""
    from nodrop.wiring.rehearsal import mark_for_rehearsal

    def mark(state: StateDir) -> None:
        mark_for_rehearsal(state, mode, seed)

    async with (
        own_engine(keep=keep, name="rehearsal", prepare=mark) as (state, engine),
        connect(state) as client,
    ):
        url = engine["http"]["urls"][0]
        yield Place(client=client, mode=mode, what="engine", url=url, names_pods=True)


@asynccontextmanager
async def running(state: StateDir) -> AsyncIterator[Place]:
    """The engine that runs, in a namespace of its own beside what it serves."""
    async with connect(state) as client, _own_namespace(client) as namespace:
        yield Place(client=client, mode="nodrop", what="running engine", namespace=namespace)


@asynccontextmanager
async def cluster(context: str, target: str) -> AsyncIterator[Place]:
    """A cluster by its kubeconfig context, in a namespace of its own."""
    path = Path(os.environ.get("KUBECONFIG") or "~/.kube/config").expanduser()
    try:
        made = HttpClient.from_kubeconfig(path, context)
    except (KubeconfigError, OSError) as error:
        raise Failure(str(error), hint="set KUBECONFIG", code=UNREACHABLE) from error
    async with made as client, _own_namespace(client) as namespace:
        yield Place(client=client, mode="cluster", what="cluster", namespace=namespace, url=target)


@asynccontextmanager
async def _own_namespace(client: HttpClient) -> AsyncIterator[str]:
    """A name for a namespace; what was made under it is deleted at the end."""
    name = f"nodrop-rehearsal-{secrets.token_hex(3)}"
    try:
        yield name
    finally:
        await asyncio.shield(_remove(client, ObjectKey(NAMESPACE, "", name)))


async def _remove(client: HttpClient, namespace: ObjectKey) -> None:
    try:
        await client.apply(Delete(namespace))
        async with asyncio.timeout(_GONE_WITHIN_S):
            while True:
                await client.get(namespace)
                await asyncio.sleep(0.2)
    except TimeoutError:
        click.echo(f"the namespace {namespace.name} is still being deleted", err=True)
    except ApiError as error:
        if error.code != 404:
            raise
