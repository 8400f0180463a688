"""Container logs: planted files, read as a client of the API would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nodrop.client.http import HttpClient
from nodrop.clock import SystemClock
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, ObjectKey
from nodrop.registry.interface import DeleteOptions
from tests.serving import Served, serving

KEY = ObjectKey(POD, "default", "web")
RUNNING: Obj = {"running": {}}
ENDED: Obj = {"terminated": {"exitCode": 1}}


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


@pytest.fixture
async def client(served: Served) -> AsyncIterator[HttpClient]:
    async with HttpClient.from_kubeconfig(served.state.kubeconfig) as opened:
        yield opened


class PlantedPod:
    """A pod with one container whose status and log files the test writes."""

    def __init__(self, served: Served, *containers: str) -> None:
        self._registry = served.registry
        specs = [{"name": name, "image": "x", "command": ["x"]} for name in containers]
        obj: Obj = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": specs},
        }
        pod = served.registry.create(POD, "default", obj).obj
        self.folder = served.state.pods / pod["metadata"]["uid"] / "logs" / containers[0]
        self.folder.mkdir(parents=True)

    def status(self, state: Obj, *, restarts: int = 0, last: Obj | None = None) -> None:
        status = {"name": "a", "state": state, "restartCount": restarts, "lastState": last or {}}
        patch = {"status": {"phase": "Running", "containerStatuses": [status]}}
        self._registry.patch(KEY, patch, "merge", subresource="status")

    def write(self, text: str, *, file: str = "0.log", at: str = "2026-11-23T10:00:00Z") -> None:
        with (self.folder / file).open("a") as log:
            log.writelines(f"{at} stdout F {line}\n" for line in text.splitlines())


async def logs(client: HttpClient, **options: Any) -> bytes:
    return b"".join([chunk async for chunk in client.logs(KEY, **options)])


async def refusal(client: HttpClient, **options: Any) -> str:
    with pytest.raises(ApiError) as failure:
        await logs(client, **options)
    assert failure.value.code == 400
    return failure.value.message


async def test_a_log_is_read_with_its_rotated_parts(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a")
    pod.status(RUNNING)
    pod.write("1\n2", file="0.log.10")
    pod.write("3\n4", file="0.log.2")
    pod.write("5\n6", file="0.log")
    assert await logs(client) == b"1\n2\n3\n4\n5\n6\n"
    assert await logs(client, tail_lines=3) == b"4\n5\n6\n"
    assert await logs(client, tail_lines=0) == b""
    assert await logs(client, tail_lines=99) == b"1\n2\n3\n4\n5\n6\n"
    assert await logs(client, limit_bytes=3) == b"1\n2"
    assert (await logs(client, timestamps=True)).startswith(b"2026-11-23T10:00:00Z 1\n")


async def test_the_tail_of_a_log_longer_than_a_block(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a")
    pod.status(RUNNING)
    pod.write("\n".join(f"line {number} {'.' * 100}" for number in range(3000)))
    shown = (await logs(client, tail_lines=2000)).splitlines()
    assert len(shown) == 2000
    assert shown[0].startswith(b"line 1000 ")


async def test_since_leaves_out_what_is_older(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a")
    pod.status(RUNNING)
    pod.write("old", at="2020-01-01T00:00:00Z")
    recent = SystemClock().now() - timedelta(seconds=5)
    pod.write("new", at=recent.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert await logs(client, since_s=3600) == b"new\n"


async def test_previous_is_the_run_before(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a")
    pod.write("first", file="0.log")
    pod.status(RUNNING)
    missing = 'previous terminated container "a" in pod "web" not found'
    assert await refusal(client, previous=True) == missing
    pod.status({"waiting": {"reason": "CrashLoopBackOff"}}, last=ENDED)
    assert await logs(client) == await logs(client, previous=True) == b"first\n"
    pod.write("second", file="1.log")
    pod.status(RUNNING, restarts=1, last=ENDED)
    assert await logs(client) == b"second\n"
    assert await logs(client, previous=True) == b"first\n"
    (pod.folder / "0.log").unlink()
    assert await refusal(client, previous=True) == missing


async def test_which_container_and_why_not_yet(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a", "b")
    many = "a container name must be specified for pod web, choose one of: [a b]"
    assert await refusal(client) == many
    assert await refusal(client, container="c") == "container c is not valid for pod web"
    pod.status({"waiting": {"reason": "CreateContainerError"}})
    why = 'container "a" in pod "web" is waiting to start: CreateContainerError'
    assert await refusal(client, container="a") == why


async def test_following_ends_with_the_container_and_misses_nothing_when_files_rotate(
    served: Served, client: HttpClient
) -> None:
    pod = PlantedPod(served, "a")
    pod.status(RUNNING)
    pod.write("1")
    seen = bytearray()
    grown = asyncio.Event()

    async def follow() -> None:
        async for chunk in client.logs(KEY, follow=True):
            seen.extend(chunk)
            grown.set()

    async def shown(text: bytes) -> None:
        while bytes(seen) != text:
            grown.clear()
            await grown.wait()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        group.create_task(follow())
        await shown(b"1\n")
        pod.write("2")
        await shown(b"1\n2\n")
        pod.write("3")
        (pod.folder / "0.log").rename(pod.folder / "0.log.1")
        pod.write("4")
        await shown(b"1\n2\n3\n4\n")
        # The oldest part goes, and the file system may give its inode to the next file.
        (pod.folder / "0.log.1").unlink()
        (pod.folder / "0.log").rename(pod.folder / "0.log.1")
        pod.write("5")
        await shown(b"1\n2\n3\n4\n5\n")
        pod.write("6")
        pod.status(ENDED)
    assert bytes(seen) == b"1\n2\n3\n4\n5\n6\n"


async def test_following_ends_when_the_pod_is_gone(served: Served, client: HttpClient) -> None:
    pod = PlantedPod(served, "a")
    pod.status(RUNNING)
    pod.write("1")
    async with asyncio.timeout(60):
        chunks = client.logs(KEY, follow=True)
        assert await anext(chunks) == b"1\n"
        served.registry.delete(KEY, DeleteOptions(grace_period_s=0))
        assert [chunk async for chunk in chunks] == []
