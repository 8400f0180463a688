"""Client libraries and an operator framework on a whole engine, as their users have them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nodrop.client.http import HttpClient
from nodrop.client.kubeconfig import read_kubeconfig
from nodrop.client.protocol import Scope
from nodrop.model.errors import ApiError
from nodrop.model.kinds import CONFIGMAP
from nodrop.model.meta import Obj, ObjectKey
from tests.system.harness import HELLO, Engine

PROGRAMS = Path(__file__).parent / "clients"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
MERGE = "application/merge-patch+json"
WIDGETS = "/apis/example.com/v1/namespaces/{}/widgets"
_LOOK_EVERY_S = 0.1


@pytest.mark.parametrize("program", ["official", "asynchronous", "light", "kr8s_user"])
async def test_a_client_library_deploys_watches_and_rolls(engine: Engine, program: str) -> None:
    command = [sys.executable, str(PROGRAMS / f"{program}.py"), str(HELLO / "v1.yaml")]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env=dict(engine.environment),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def definition() -> Obj:
    size = {"type": "object", "properties": {"size": {"type": "integer"}}}
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": size, "status": status}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version],
        },
    }


def widget(name: str, size: int) -> Obj:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": {"size": size},
    }


class Api:
    """The API by paths: custom kinds are unknown to our own client."""

    def __init__(self, engine: Engine) -> None:
        self._endpoint = read_kubeconfig(engine.state.kubeconfig)
        tls = self._endpoint.ssl_context()
        assert tls is not None
        self._session = aiohttp.ClientSession(
            self._endpoint.server,
            connector=aiohttp.TCPConnector(ssl=tls),
            headers={"Authorization": f"Bearer {self._endpoint.token}"},
        )

    async def __aenter__(self) -> Api:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._session.close()

    async def __call__(
        self, method: str, path: str, body: Any = None, *, content: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {"Content-Type": content}
        async with self._session.request(method, path, json=body, headers=headers) as response:
            return response.status, await response.json()


async def until(level: Callable[[], Awaitable[bool]], *, timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not await level():
            await asyncio.sleep(_LOOK_EVERY_S)


async def size_noted(client: HttpClient, name: str) -> str | None:
    try:
        found = await client.get(ObjectKey(CONFIGMAP, "default", name))
    except ApiError as error:
        if error.code != 404:
            raise
        return None
    return str((found.get("data") or {}).get("size", ""))


async def test_a_kopf_operator(engine: Engine) -> None:
    widgets = WIDGETS.format("default")
    async with Api(engine) as api, engine.client() as client:
        assert (await api("POST", DEFINITIONS, definition()))[0] == 201
        operator = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kopf", "run", "--standalone", "-n", "default"),
            str(PROGRAMS / "widget_operator.py"),
            env=dict(engine.environment),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert (await api("POST", widgets, widget("one", 3)))[0] == 201

            async def noted(size: str | None) -> bool:
                return await size_noted(client, "one-size") == size

            await until(lambda: noted("3"))

            async def in_status() -> bool:
                _, found = await api("GET", f"{widgets}/one")
                return bool(found.get("status", {}).get("made") == {"size": 3})

            await until(in_status)
            _, found = await api("GET", f"{widgets}/one")
            assert found["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
            change = {"spec": {"size": 5}}
            await api("PATCH", f"{widgets}/one", change, content=MERGE)
            await until(lambda: noted("5"))
            await api("DELETE", f"{widgets}/one")

            async def gone() -> bool:
                return (await api("GET", f"{widgets}/one"))[0] == 404

            await until(gone)
            assert await size_noted(client, "one-ended") == ""
            await until(lambda: noted(None))  # its owner is gone: collected
        finally:
            operator.terminate()
            await operator.wait()


async def test_a_namespace_ends_with_its_custom_objects(engine: Engine) -> None:
    inside = WIDGETS.format("inside")
    async with Api(engine) as api:
        assert (await api("POST", DEFINITIONS, definition()))[0] == 201
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "inside"}}
        assert (await api("POST", "/api/v1/namespaces", namespace))[0] == 201
        assert (await api("POST", inside, widget("one", 1)))[0] == 201
        await api("DELETE", "/api/v1/namespaces/inside")

        async def gone() -> bool:
            return (await api("GET", "/api/v1/namespaces/inside"))[0] == 404

        await until(gone)
        assert (await api("GET", f"{inside}/one"))[0] == 404
        assert (await api("DELETE", f"{DEFINITIONS}/widgets.example.com"))[0] == 200
        assert (await api("GET", inside))[0] == 404


async def test_an_informer_misses_nothing_over_a_restart_of_the_api_server(
    engine: Engine,
) -> None:
    """Watching on from the last resourceVersion gives every change once, in order."""
    scope, seen = Scope("default"), []

    async def write(numbers: range) -> None:
        async with engine.client() as client, Api(engine) as api:
            del client
            for number in numbers:
                config = {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": f"c{number}"},
                }
                assert (await api("POST", "/api/v1/namespaces/default/configmaps", config))[
                    0
                ] == 201

    async with engine.client() as client:
        page = await client.list(CONFIGMAP, scope)
        await write(range(20))
        since = page.revision
        async for event in client.watch(CONFIGMAP, scope, since=since):
            seen.append(event.obj["metadata"]["name"])
            since = event.revision
            if len(seen) == 10:
                break
    await asyncio.to_thread(engine.kill)
    await asyncio.to_thread(engine.serve)
    await write(range(20, 30))
    async with engine.client() as client, asyncio.timeout(60):
        async for event in client.watch(CONFIGMAP, scope, since=since):
            seen.append(event.obj["metadata"]["name"])
            if len(seen) == 30:
                break
    assert seen == [f"c{number}" for number in range(30)]
