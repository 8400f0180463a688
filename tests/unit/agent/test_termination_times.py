"""S15, S18-S20: when hook, SIGTERM and SIGKILL come, to the second, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from signal import Signals
from typing import Any

import pytest

from nodrop.agent.runtime.protocol import ContainerId, ExecResult
from nodrop.model.meta import Obj
from nodrop.sim.loop import VirtualClock, run_virtual
from tests.unit.agent.fakes import FakeFolders, FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, container, pod

TERM, KILL = Signals.SIGTERM, Signals.SIGKILL


class _Runtime(FakeRuntime):
    """Programs that ignore SIGTERM; exec hooks take ``hook_s`` seconds."""

    def __init__(self, clock: VirtualClock, hook_s: float) -> None:
        super().__init__(clock)
        self.ignores_sigterm = True
        self.hook_s = hook_s
        self.sent: list[tuple[float, int]] = []

    async def signal(self, container: ContainerId, signal: int) -> None:
        self.sent.append((round(asyncio.get_running_loop().time(), 1), signal))
        await super().signal(container, signal)

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, timeout_s: float | None
    ) -> ExecResult:
        await asyncio.sleep(self.hook_s)
        return ExecResult(0, b"")


async def _times(
    spec: Obj, hook_s: float, deletes: Sequence[tuple[float, int | None]]
) -> list[tuple[float, int]]:
    """Signals with the seconds since the first delete; ``deletes`` are (when, grace)."""
    clock = VirtualClock()
    runtime = _Runtime(clock, hook_s)
    folders = FakeFolders()
    rig = Rig(
        runtime=runtime, prober=FakeProber(), folders=folders, pod_cidr="127.99.0.0/24", clock=clock
    )
    loop = asyncio.get_running_loop()
    async with rig.running():
        grace = {"terminationGracePeriodSeconds": spec.pop("grace")}
        await rig.create(pod("web", container("serve", **spec), **grace))
        await rig.until_ready("web")
        await asyncio.sleep(1.0 - loop.time() % 1.0)  # deletionTimestamp is in whole seconds
        began_s = loop.time()
        for at_s, grace_s in deletes:
            await asyncio.sleep(began_s + at_s - loop.time())
            await rig.delete("web", grace_s=grace_s)
        await rig.until(lambda: KILL in [signal for _, signal in runtime.sent], timeout_s=600)
    return [(round(at_s - began_s), signal) for at_s, signal in runtime.sent]


def _exec(**spec: Any) -> Obj:
    return {"lifecycle": {"preStop": {"exec": {"command": ["stop"]}}}, **spec}


def _sleep(seconds: int, **spec: Any) -> Obj:
    return {"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}, **spec}


@pytest.mark.parametrize(
    ("spec", "hook_s", "deletes", "expected"),
    [
        ({"grace": 30}, 0, [(0, None)], [(0, TERM), (30, KILL)]),
        ({"grace": 1}, 0, [(0, None)], [(0, TERM), (2, KILL)]),  # never less than 2 s
        (_exec(grace=30), 10, [(0, None)], [(10, TERM), (30, KILL)]),  # counted from the delete
        (_exec(grace=30), 40, [(0, None)], [(30, TERM), (32, KILL)]),  # S20: it overruns
        (_exec(grace=5), 4, [(0, None)], [(4, TERM), (6, KILL)]),
        (_sleep(10, grace=30), 0, [(0, None)], [(10, TERM), (30, KILL)]),
        (_sleep(30, grace=30), 0, [(0, None)], [(30, TERM), (32, KILL)]),
        ({"grace": 30}, 0, [(0, 7)], [(0, TERM), (7, KILL)]),  # the delete's own grace
        ({"grace": 30}, 0, [(0, 1)], [(0, TERM), (2, KILL)]),  # --now
        (_exec(grace=30), 10, [(0, 0)], [(0, TERM), (2, KILL)]),  # --force: no hook
        ({"grace": 30}, 0, [(0, None), (5, 8)], [(0, TERM), (8, KILL)]),  # a second one shortens
        ({"grace": 30}, 0, [(0, None), (5, 60)], [(0, TERM), (30, KILL)]),  # and never lengthens
        (_sleep(20, grace=30), 0, [(0, None), (5, 6)], [(6, TERM), (8, KILL)]),  # cuts the sleep
    ],
)
def test_s15_s18_s19_s20_when_signals_come(
    spec: Obj,
    hook_s: float,
    deletes: Sequence[tuple[float, int | None]],
    expected: list[tuple[float, int]],
) -> None:
    assert run_virtual(_times(dict(spec), hook_s, deletes)) == expected
