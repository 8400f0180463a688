"""S7, S8: a pod is noticed as soon as it listens, on virtual time; nothing else comes earlier."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from nodrop.agent.plan.probes import ExecTarget, Target, TcpTarget
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.sim.loop import VirtualClock, run_virtual
from tests.unit.agent.fakes import FakeFolders, FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, container, container_status, pod

REFUSED = ProbeResult("failure", "connection refused", answered=False, refused=True)
NO = ProbeResult("failure", "command ended with exit code 1")
BUSY = ProbeResult("failure", "HTTP probe failed with statuscode: 503")
HTTP = {"httpGet": {"port": 8080}}


class _Prober(FakeProber):
    """Nothing listens before ``listens_s``; from ``well_s`` on it answers well."""

    def __init__(self, listens_s: float, well_s: float) -> None:
        super().__init__()
        self.listens_s, self.well_s = listens_s, well_s
        self.times: list[tuple[float, Target]] = []

    async def probe(self, target: Target, *, timeout_s: float) -> ProbeResult:
        now_s = asyncio.get_running_loop().time()
        self.times.append((now_s, target))
        if now_s < self.listens_s:
            return NO if isinstance(target, ExecTarget) else REFUSED
        return SUCCESS if now_s >= self.well_s or isinstance(target, TcpTarget) else BUSY


class _World:
    def __init__(self, prober: _Prober, **settings: Any) -> None:
        self.prober = prober
        clock = VirtualClock()
        self.runtime = FakeRuntime(clock)
        self.rig = Rig(
            runtime=self.runtime,
            prober=prober,
            folders=FakeFolders(),
            pod_cidr="127.99.0.0/24",
            clock=clock,
            **settings,
        )

    async def ready_s(self, **probes: Any) -> float:
        """When the pod is ready."""
        async with self.rig.running():
            await self.rig.create(pod("web", container("serve", **probes)))
            await self.rig.until(lambda: self._ready(), timeout_s=600)
            return asyncio.get_running_loop().time()

    def _ready(self) -> bool:
        return bool(container_status(self.rig.pod("web")).get("ready"))


def _ready_s(
    probes: dict[str, Any], *, listens_s: float, well_s: float = 0.0, **settings: Any
) -> tuple[float, _World]:
    worlds: list[_World] = []

    async def main() -> float:
        worlds.append(_World(_Prober(listens_s, well_s), **settings))
        return await worlds[0].ready_s(**probes)

    return run_virtual(main()), worlds[0]


@pytest.mark.parametrize(
    ("probes", "listens_s", "at_s"),
    [
        ({"readinessProbe": HTTP}, 0.3, 0.35),
        ({"readinessProbe": HTTP}, 4.0, 4.5),
        ({"readinessProbe": {"tcpSocket": {"port": 8080}}}, 0.3, 0.35),
        ({"readinessProbe": {"grpc": {"port": 8080}}}, 0.3, 0.35),
        ({"startupProbe": HTTP, "readinessProbe": HTTP}, 0.3, 0.35),
        ({"readinessProbe": HTTP | {"initialDelaySeconds": 5}}, 11.0, 12.0),
    ],
)
def test_s7_s8_ready_as_soon_as_it_listens(
    probes: dict[str, Any], listens_s: float, at_s: float
) -> None:
    """S7, S8: within an eighth of its start (a second at most), not at the next tick."""
    ready_s, world = _ready_s(probes, listens_s=listens_s)
    assert listens_s <= ready_s <= at_s + 0.1
    kind = "Startup" if "startupProbe" in probes else "Readiness"
    (message,) = world.rig.events("Unhealthy")  # one tick came too early
    assert message == f"{kind} probe failed: connection refused"


@pytest.mark.parametrize(
    ("probes", "listens_s", "well_s", "at_s"),
    [
        ({"readinessProbe": HTTP | {"initialDelaySeconds": 5}}, 0.3, 0, 10),
        ({"readinessProbe": HTTP}, 0.3, 2, 10),  # it answered: the next question is a tick's
        ({"readinessProbe": HTTP | {"successThreshold": 2}}, 0.3, 0, 10.35),
        ({"readinessProbe": {"exec": {"command": ["check"]}}}, 0.3, 0, 10),
    ],
)
def test_s7_what_is_no_refused_connection_waits_for_its_tick(
    probes: dict[str, Any], listens_s: float, well_s: float, at_s: float
) -> None:
    ready_s, _ = _ready_s(probes, listens_s=listens_s, well_s=well_s)
    assert ready_s == pytest.approx(at_s, abs=0.2)


def test_s14_the_clusters_order_keeps_upstreams_rhythm() -> None:
    """S14: a rehearsal of what a cluster does asks at ticks only."""
    ready_s, world = _ready_s({"readinessProbe": HTTP}, listens_s=0.3, acknowledged=False)
    assert ready_s == pytest.approx(10, abs=0.2)
    assert len(world.prober.times) == 2


def test_a_startup_budget_is_used_up_at_the_same_second() -> None:
    """failureThreshold × periodSeconds is upstream's, however often it is tried in between."""
    probe = HTTP | {"periodSeconds": 2, "failureThreshold": 3}

    async def killed_s() -> tuple[float, int]:
        world = _World(_Prober(1e9, 0))
        async with world.rig.running():
            await world.rig.create(pod("web", container("serve", startupProbe=probe)))
            await world.rig.until(lambda: world.rig.events("Killing") != [])
            return asyncio.get_running_loop().time(), len(world.prober.times)

    at_s, asked = run_virtual(killed_s())
    assert at_s == pytest.approx(4, abs=0.2)
    assert asked > 3


def test_after_the_first_success_only_ticks_ask() -> None:
    """A program that stops listening later is judged as upstream does."""

    async def asked() -> list[float]:
        prober = _Prober(0, 0)
        world = _World(prober)
        async with world.rig.running():
            probe = HTTP | {"periodSeconds": 2}
            await world.rig.create(pod("web", container("serve", readinessProbe=probe)))
            await world.rig.until_ready("web")
            prober.listens_s = 1e9
            await world.rig.until_ready("web", ready=False)
            await asyncio.sleep(4)
            return [at_s for at_s, _ in prober.times]

    times = run_virtual(asked())
    pauses = [later - at for at, later in pairwise(times)]
    assert len(pauses) >= 4
    assert all(pause == pytest.approx(2, abs=0.2) for pause in pauses)
