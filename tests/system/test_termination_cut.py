"""kill -9 of the control plane at each step of a pod's end: the order holds all the same."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from nodrop.keeper.client import KeeperClient
from nodrop.keeper.protocol import ProcessRecord
from nodrop.model.meta import Obj, is_deleting
from nodrop.proxy.haproxy.admin_socket import AdminSocket, Disconnected
from nodrop.proxy.haproxy.plan import parse_servers
from nodrop.proxy.haproxy.slots import HOLD
from tests.system.harness import Engine, Traffic, Watching, apply, hello

LINGERER = Path(__file__).with_name("lingerer.py")
RECREATE = {"type": "Recreate"}
NO_SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
SURGE = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


class Looking:
    """What can be seen from outside of how far the end of some pod is."""

    def __init__(self, engine: Engine, watching: Watching) -> None:
        self._engine = engine
        self._watching = watching
        self._keeper = KeeperClient(engine.state.keeper_socket)

    def close(self) -> None:
        self._keeper.close()

    async def deleting(self) -> bool:
        return any(is_deleting(pod) for pod in self._watching.pods())

    async def unrouted(self) -> bool:
        """HAProxy has taken a pod out; what follows at once is the drain."""
        try:
            admin = await AdminSocket.open(self._engine.state.sockets / "proxy-main-1.sock")
        except Disconnected:
            return False
        servers = parse_servers(await admin.ask("show servers state"))
        await admin.close()
        out = {name for some in servers.values() for name, ready in some.items() if not ready}
        ending = {pod["metadata"]["uid"] for pod in self._watching.pods() if is_deleting(pod)}
        return any(name.startswith(uid) for name in out - {HOLD} for uid in ending)

    async def noted(self) -> bool:
        return any("withdrawn" in record.notes for record in await self._alive())

    async def in_pre_stop(self) -> bool:
        return any("preStop" in record.notes for record in await self._alive())

    async def signalled(self) -> bool:
        return any(record.signals for record in await self._alive())

    async def _alive(self) -> list[ProcessRecord]:
        records = await self._keeper.list()
        return [r for r in records if r.exit_code is None and "nodrop.dev/pod-uid" in r.labels]


STEPS: tuple[Callable[[Looking], Awaitable[bool]], ...] = (
    Looking.deleting,
    Looking.unrouted,
    Looking.noted,
    Looking.in_pre_stop,
    Looking.signalled,
)


def manifest(version: str, strategy: Obj, replicas: int, witnesses: Path) -> list[Obj]:
    return hello(
        version,
        replicas=replicas,
        env={"WITNESSES": str(witnesses), "LINGER_S": "0.6"},
        spec={"strategy": strategy},
        pod={"terminationGracePeriodSeconds": 20},
        container={
            "command": [sys.executable, str(LINGERER)],
            "lifecycle": {"preStop": {"sleep": {"seconds": 1}}},
        },
        probe={"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 1},
    )


@pytest.mark.parametrize(
    ("strategy", "replicas"), [(RECREATE, 1), (NO_SURGE, 1), (SURGE, 3)], ids=str
)
async def test_s12_s13_a_control_plane_killed_at_any_step_of_an_end_keeps_the_order(
    engine: Engine, short_tmp: Path, strategy: Obj, replicas: int
) -> None:
    """S12 S13: no request reaches a pod that has its signal, and no pod gets two of them.

    Nothing is lost either, unless the strategy gives the only pod up before there is another.
    """
    witnesses = short_tmp / "witnesses"
    witnesses.mkdir()
    await apply(engine, manifest("v0", strategy, replicas, witnesses), wait=True)
    async with Traffic(engine.url, rate=60) as traffic:
        for number, step in enumerate(STEPS, 1):
            await traffic.seen(20)
            new = f"v{number}"
            async with engine.client() as client, Watching(client) as watching:
                look = Looking(engine, watching)
                await apply(engine, manifest(new, strategy, replicas, witnesses))
                async with asyncio.timeout(30):
                    while not await step(look):
                        await asyncio.sleep(0.002)
                look.close()
                engine.kill()
            await asyncio.to_thread(engine.serve)
            async with engine.client() as client, Watching(client) as watching:
                await watching.until(partial(watching.rolled_out, new))
        await traffic.seen(20)
    lives = {path.name: path.read_text().split() for path in witnesses.iterdir()}
    assert len(lives) == (len(STEPS) + 1) * replicas
    for pod, happened in lives.items():
        assert happened.count("start") == 1, pod
        assert happened.count("sigterm") <= 1, pod
        _, _, after = " ".join(happened).partition("sigterm")
        assert after == "", f"{pod}: {after.count('request')} requests after its signal"
    ended = [pod for pod, happened in lives.items() if "sigterm" in happened]
    assert len(ended) == len(STEPS) * replicas
    if strategy != RECREATE:
        lost = [(record.outcome, record.version, record.pod) for record in traffic.lost]
        assert lost == []
