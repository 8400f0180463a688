"""How an engine notices that its keeper is gone, and when its pods have ended."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from nodrop.client.actions import Action
from nodrop.client.protocol import Client, Page
from nodrop.keeper.protocol import Keeper, KeeperFailure
from nodrop.model.errors import ApiError
from nodrop.model.kinds import POD, Kind
from nodrop.model.meta import Obj
from nodrop.proxy.haproxy.driver import HAProxy
from nodrop.proxy.protocol import ProxyFailure
from nodrop.statedir import StateDir
from nodrop.wiring import ending
from nodrop.wiring.ending import _has_ended, end_pods, end_proxy_and_keeper, keeper_gone
from nodrop.wiring.engine import Engine
from nodrop.wiring.enginefile import EngineFile
from nodrop.wiring.parts import EngineOptions, Parts
from tests.unit.controllers.engine import Running, engine


class FakeKeeper:
    """Answers, or refuses, in the given order; then refuses for ever."""

    def __init__(self, *answers: bool) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.was_shut_down = False

    async def info(self) -> None:
        self.asked += 1
        if not self.answers or not self.answers.pop(0):
            raise KeeperFailure("no answer", "ECONNREFUSED")

    async def shutdown(self) -> None:
        self.was_shut_down = True


async def test_a_keeper_is_gone_after_three_failures_in_a_row() -> None:
    keeper = FakeKeeper(True, False, False, True, False)
    async with asyncio.timeout(10):
        failure = await keeper_gone(cast(Keeper, keeper), every_s=0)
    assert str(failure) == "no answer"
    assert keeper.asked == 7


async def test_the_keeper_ends_although_the_proxy_fails() -> None:
    class FailingProxy:
        async def stop(self) -> None:
            raise ProxyFailure("no answer from the admin socket")

    keeper = FakeKeeper()
    await end_proxy_and_keeper(cast(HAProxy, FailingProxy()), cast(Keeper, keeper))
    assert keeper.was_shut_down


@pytest.mark.parametrize(
    ("meta", "ended"),
    [
        ({}, False),
        ({"deletionTimestamp": "2026-11-23T10:00:00Z", "deletionGracePeriodSeconds": 30}, False),
        (
            {
                "deletionTimestamp": "2026-11-23T10:00:00Z",
                "deletionGracePeriodSeconds": 0,
                "finalizers": ["example.com/held"],
            },
            True,
        ),
    ],
)
def test_a_pod_that_a_finalizer_holds_has_ended(meta: dict[str, Any], ended: bool) -> None:
    assert _has_ended({"metadata": meta}) == ended


class LateComer:
    """A client during whose list one more pod is made, too late to be in it."""

    def __init__(self, running: Running) -> None:
        self._running = running

    async def list(self, kind: Kind) -> Page:
        page = await self._running.client.list(kind)
        await self._running.write(pod("late"))
        return page

    async def apply(self, action: Action) -> Obj | None:
        return await self._running.client.apply(action)


def pod(name: str) -> Obj:
    containers = [{"name": "app", "image": "app:v1"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": containers},
    }


async def test_a_pod_that_is_made_meanwhile_ends_too() -> None:
    """Found by a rehearsal killed just as its ReplicaSet made pods: the engine waited for ever."""
    async with engine() as running:
        await running.write(pod("early"))
        async with asyncio.timeout(10):
            await end_pods(running.cache, cast(Client, LateComer(running)), grace_s=0)
        assert (await running.client.list(POD)).items == ()


class FullDisk:
    """A client that can't write at first."""

    def __init__(self, running: Running) -> None:
        self._running, self._full = running, True

    async def list(self, kind: Kind) -> Page:
        return await self._running.client.list(kind)

    async def apply(self, action: Action) -> Obj | None:
        if self._full:
            self._full = False
            raise ApiError(500, "InternalError", "the disk is full")
        return await self._running.client.apply(action)


async def test_a_full_disk_does_not_leave_pods_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine ended in a traceback, and its pods went on."""
    monkeypatch.setattr(ending, "_TRY_AGAIN_S", 0.01)
    async with engine() as running:
        await running.write(pod("web"))
        async with asyncio.timeout(10):
            await end_pods(running.cache, cast(Client, FullDisk(running)), grace_s=0)
        assert (await running.client.list(POD)).items == ()


async def test_who_asks_for_more_when_the_control_plane_is_about_to_go_asks_too_late(
    tmp_path: Path,
) -> None:
    """SIGTERM, then ``nodrop down``: proxy and keeper ended under pods that nobody had drained."""
    options = EngineOptions(
        state=StateDir(tmp_path),
        http_port=0,
        api_port=0,
        bind=(),
        base_dir=tmp_path,
        environment={},
    )
    stopped = Engine(options)
    stopped.stop()
    decided = stopped._until_stopped(cast(Parts, None), {}, cast(EngineFile, None), grace_s=None)
    assert await decided is False
