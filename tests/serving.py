"""An API server over a real registry and store, in the test's own loop, on a free port."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

from nodrop.agent.sessions import ProcessSessions
from nodrop.apiserver.accounts import AccountTokens
from nodrop.apiserver.app import ApiServer, build_app
from nodrop.apiserver.auth import Auth, ensure_token
from nodrop.apiserver.certificates import (
    Pki,
    ensure_certificates,
    server_context,
    write_private,
)
from nodrop.apiserver.jws import SigningKey
from nodrop.apiserver.limits import Limits
from nodrop.apiserver.logs import FileLogs
from nodrop.apiserver.users import Users
from nodrop.client.kubeconfig import read_kubeconfig, render_kubeconfig
from nodrop.clock import SystemClock
from nodrop.registry.interface import Allocation
from nodrop.registry.roles import initial_roles
from nodrop.registry.verbs import Registry
from nodrop.statedir import StateDir
from nodrop.store.sqlite import SqliteStore

ALLOCATION = Allocation("127.201.0.0/17", "127.201.128.0/17")


@dataclass(frozen=True, slots=True)
class Served:
    """A running API server and what is behind it."""

    registry: Registry
    state: StateDir
    pki: Pki
    url: str
    token: str
    accounts: AccountTokens


def signed_in(served: Served) -> aiohttp.ClientSession:
    """HTTP with the server's own certificate and the administrator's token."""
    tls = read_kubeconfig(served.state.kubeconfig).ssl_context()
    assert tls is not None
    return aiohttp.ClientSession(
        served.url,
        connector=aiohttp.TCPConnector(ssl=tls),
        headers={"Authorization": f"Bearer {served.token}"},
    )


@asynccontextmanager
async def serving(
    root: Path,
    *,
    port: int = 0,
    routes: Iterable[web.AbstractRouteDef] = (),
    limits: Limits | None = None,
) -> AsyncIterator[Served]:
    """Serve the state folder ``root`` until the block ends; its kubeconfig is written."""
    state, clock = StateDir(root), SystemClock()
    root.mkdir(parents=True, exist_ok=True)
    pki = ensure_certificates(state.pki, clock.now())
    token = ensure_token(state.pki / "token")
    store = SqliteStore(state.database)
    registry = Registry(store, clock, ALLOCATION, random.Random(7))
    registry.ensure(initial_roles())
    accounts = AccountTokens(SigningKey(state.account_key), registry, clock)
    logs = FileLogs(state.pods, registry.get, clock)
    app = build_app(
        registry,
        auth=Auth(token, Users(state.users), accounts),
        logs=logs,
        executor=ProcessSessions(state.keeper_socket),
        clock=clock,
        routes=routes,
        limits=limits,
    )
    server = ApiServer(app, server_context(pki))
    url = f"https://127.0.0.1:{await server.start(port=port)}"
    kubeconfig = render_kubeconfig(server=url, ca_pem=pki.ca_cert.read_text(), token=token)
    write_private(state.kubeconfig, kubeconfig.encode())
    try:
        yield Served(registry, state, pki, url, token, accounts)
    finally:
        await server.stop()
        store.close()
