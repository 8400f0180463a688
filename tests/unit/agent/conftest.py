"""An agent over a fake runtime and prober."""

from __future__ import annotations

import pytest

from nodrop.clock import SystemClock
from tests.unit.agent.fakes import FakeFolders, FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig


@pytest.fixture
def runtime() -> FakeRuntime:
    return FakeRuntime(SystemClock())


@pytest.fixture
def prober() -> FakeProber:
    return FakeProber()


@pytest.fixture
async def rig(runtime: FakeRuntime, prober: FakeProber) -> Rig:
    return Rig(runtime=runtime, prober=prober, folders=FakeFolders(), pod_cidr="127.99.0.0/24")
