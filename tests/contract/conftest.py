"""The clients that must behave alike. A new one is one line in CLIENT_FACTORIES."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from nodrop.agent.sessions import ProcessSessions
from nodrop.apiserver.app import ApiServer, build_app
from nodrop.apiserver.auth import Auth
from nodrop.apiserver.certificates import ensure_certificates, server_context
from nodrop.apiserver.logs import FileLogs
from nodrop.client.http import HttpClient
from nodrop.client.kubeconfig import Endpoint
from nodrop.client.protocol import Client
from nodrop.client.recorder import EventRecorder
from nodrop.clock import SystemClock
from nodrop.registry.interface import Allocation
from nodrop.registry.local import LocalClient
from nodrop.registry.verbs import Registry
from nodrop.store.sqlite import SqliteStore


class SettableClock:
    """A wall clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@asynccontextmanager
async def local_client(registry: Registry, clock: SettableClock) -> AsyncIterator[Client]:
    yield LocalClient(registry, EventRecorder("contract", clock, random.Random(2)))


@asynccontextmanager
async def http_client(registry: Registry, clock: SettableClock) -> AsyncIterator[Client]:
    """Over TLS on loopback, as the CLI and another machine's controllers would."""
    # Certificates live in wall time: OpenSSL doesn't know the test's clock.
    with TemporaryDirectory() as folder:
        pki = ensure_certificates(Path(folder), SystemClock().now())
        logs = FileLogs(Path(folder), registry.get, clock)
        executor = ProcessSessions(Path(folder) / "no keeper")
        app = build_app(registry, auth=Auth("token"), logs=logs, executor=executor, clock=clock)
        server = ApiServer(app, server_context(pki))
        endpoint = Endpoint(
            server=f"https://127.0.0.1:{await server.start()}",
            ca_pem=pki.ca_cert.read_text(),
            token="token",
        )
        rng = random.Random(2)
        try:
            async with HttpClient(endpoint, component="contract", clock=clock, rng=rng) as client:
                yield client
        finally:
            await server.stop()


ClientFactory = Callable[[Registry, SettableClock], AbstractAsyncContextManager[Client]]

CLIENT_FACTORIES: dict[str, ClientFactory] = {
    "local": local_client,
    "http": http_client,
}


@pytest.fixture
def clock() -> SettableClock:
    return SettableClock()


@pytest.fixture
def store() -> Iterator[SqliteStore]:
    opened = SqliteStore(":memory:")
    yield opened
    opened.close()


@pytest.fixture
def registry(store: SqliteStore, clock: SettableClock) -> Registry:
    allocation = Allocation(pod_cidr="127.64.0.0/16", service_cidr="127.65.0.0/20")
    return Registry(store, clock, allocation, random.Random(1), capacity={"cpu": "2"})


@pytest.fixture(params=CLIENT_FACTORIES)
async def client(
    request: pytest.FixtureRequest, registry: Registry, clock: SettableClock
) -> AsyncIterator[Client]:
    async with CLIENT_FACTORIES[request.param](registry, clock) as opened:
        yield opened
