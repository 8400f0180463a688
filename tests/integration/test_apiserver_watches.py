"""Watches over HTTP end with the right to them, with their kind, and when nobody reads them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from nodrop.apiserver import reader, revocation
from nodrop.apiserver.limits import Limits
from nodrop.apiserver.users import Users
from nodrop.cli.user import binding_of
from nodrop.client.kubeconfig import read_kubeconfig
from nodrop.clock import SystemClock
from nodrop.model.kinds import (
    CONFIGMAP,
    CUSTOMRESOURCEDEFINITION,
    ROLEBINDING,
    SERVICEACCOUNT,
)
from nodrop.model.meta import Obj, ObjectKey
from tests.integration.test_apiserver_custom import definition, widget
from tests.serving import Served, serving

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
_WITHIN_S = 30


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state", limits=Limits(watches_of_one=1)) as running:
        yield running


@pytest.fixture
async def http(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(ssl=tls_of(served))
    async with aiohttp.ClientSession(served.url, connector=connector) as session:
        yield session


def tls_of(served: Served) -> ssl.SSLContext:
    tls = read_kubeconfig(served.state.kubeconfig).ssl_context()
    assert tls is not None
    return tls


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def ann(served: Served) -> str:
    """A user with the role view, and her token."""
    served.registry.create(ROLEBINDING, "default", binding_of("ann", "view", "default"))
    return Users(served.state.users).add("ann", (), SystemClock().now())


def bot(served: Served) -> str:
    """A service account with the role view, and its token."""
    metadata = {"name": "bot", "namespace": "default"}
    account: Obj = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    served.registry.create(SERVICEACCOUNT, "default", account)
    binding = binding_of("ann", "view", "default")
    binding["subjects"] = [{"kind": "ServiceAccount", "name": "bot", "namespace": "default"}]
    served.registry.create(ROLEBINDING, "default", binding)
    return served.accounts.issue(ObjectKey(SERVICEACCOUNT, "default", "bot")).token


def remove_user(served: Served) -> None:
    Users(served.state.users).remove("ann")


def unbind(served: Served) -> None:
    served.registry.delete(ObjectKey(ROLEBINDING, "default", "nodrop:ann:view"))


def delete_account(served: Served) -> None:
    served.registry.delete(ObjectKey(SERVICEACCOUNT, "default", "bot"))


@pytest.mark.parametrize(
    ("holder", "revoke"), [(ann, remove_user), (ann, unbind), (bot, delete_account)]
)
async def test_a_watch_ends_with_the_right_to_it(
    served: Served,
    http: aiohttp.ClientSession,
    monkeypatch: pytest.MonkeyPatch,
    holder: Callable[[Served], str],
    revoke: Callable[[Served], None],
) -> None:
    monkeypatch.setattr(revocation, "_LOOK_EVERY_S", 0.05)
    token = holder(served)
    served.registry.create(CONFIGMAP, "default", {"metadata": {"name": "a"}})
    async with asyncio.timeout(_WITHIN_S):
        async with http.get(f"{CONFIGMAPS}?watch=1", headers=bearer(token)) as watch:
            assert msgspec.json.decode(await watch.content.readline())["type"] == "ADDED"
            await asyncio.sleep(0.2)  # it has been looked at, and nothing was wrong
            served.registry.create(CONFIGMAP, "default", {"metadata": {"name": "b"}})
            assert msgspec.json.decode(await watch.content.readline())["type"] == "ADDED"
            revoke(served)
            with pytest.raises(aiohttp.ClientError):
                await watch.content.readline()
        async with http.get(CONFIGMAPS, headers=bearer(token)) as answer:
            assert answer.status in (401, 403)


async def test_a_watch_ends_with_its_kind(served: Served, http: aiohttp.ClientSession) -> None:
    """After the last event: its objects are deleted first."""
    served.registry.create(CUSTOMRESOURCEDEFINITION, "", definition())
    kind = served.registry.kinds.custom[0]
    served.registry.create(kind, "default", widget("one"))
    path = f"/apis/{kind.api_version}/{kind.plural}?watch=1"
    async with asyncio.timeout(_WITHIN_S), http.get(path, headers=bearer(served.token)) as watch:
        assert msgspec.json.decode(await watch.content.readline())["type"] == "ADDED"
        name = definition()["metadata"]["name"]
        served.registry.delete(ObjectKey(CUSTOMRESOURCEDEFINITION, "", name))
        lines = [msgspec.json.decode(line) async for line in watch.content]
    assert [line["type"] for line in lines] == ["DELETED"]
    async with http.get(path, headers=bearer(served.token)) as answer:
        assert answer.status == 404


async def test_who_reads_nothing_is_cut_off_and_others_go_on(
    served: Served, http: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for it is bounded, and then gone; the one watch she may have is free again."""
    monkeypatch.setattr(reader, "_TAKEN_WITHIN_S", 0.3)
    token = ann(served)
    owner = await http.get(f"{CONFIGMAPS}?watch=1", headers=bearer(served.token))
    stuck = await asyncio.to_thread(watch_and_read_nothing, served, token)
    body: dict[str, Any] = {"data": {"much": "x" * 500_000}}
    try:
        async with asyncio.timeout(_WITHIN_S):
            assert await status(http, token) == 429
            for number in range(30):  # 15 MB: more than sockets hold
                metadata = {"name": f"n{number}"}
                served.registry.create(CONFIGMAP, "default", {"metadata": metadata, **body})
                line = msgspec.json.decode(await anext(whole_lines(owner)))
                assert line["object"]["metadata"]["name"] == metadata["name"]
            while await status(http, token) == 429:
                await asyncio.sleep(0.05)
            assert await status(http, token) == 200
    finally:
        stuck.close()
        owner.close()


def watch_and_read_nothing(served: Served, token: str) -> socket.socket:
    """A watch whose client never reads, but for the first bytes of its answer."""
    host, port = served.url.removeprefix("https://").split(":")
    raw = socket.create_connection((host, int(port)))
    stuck = tls_of(served).wrap_socket(raw, server_hostname=host)
    request = f"GET {CONFIGMAPS}?watch=1 HTTP/1.1\r\nHost: {host}\r\n"
    stuck.sendall(f"{request}Authorization: Bearer {token}\r\n\r\n".encode())
    assert stuck.recv(15) == b"HTTP/1.1 200 OK"
    return stuck


async def status(http: aiohttp.ClientSession, token: str) -> int:
    """What a further watch is answered; it is ended at once."""
    async with http.get(f"{CONFIGMAPS}?watch=1&timeoutSeconds=1", headers=bearer(token)) as answer:
        return answer.status


async def whole_lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines however long; aiohttp's own reader has a limit."""
    held = b""
    async for chunk in response.content.iter_any():
        held += chunk
        while b"\n" in held:
            line, _, held = held.partition(b"\n")
            yield line
