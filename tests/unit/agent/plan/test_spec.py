"""What the agent reads from a Pod."""

from __future__ import annotations

from signal import Signals
from typing import Any

import pytest

from nodrop.agent.plan.spec import read_pod
from nodrop.model.defaults import apply_defaults
from tests.unit.model import manifests as m


@pytest.mark.parametrize(
    ("lifecycle", "number"),
    [
        ({}, Signals.SIGTERM),
        ({"stopSignal": "SIGUSR1"}, Signals.SIGUSR1),
        ({"stopSignal": "SIGRTMIN+3"}, Signals.SIGRTMIN + 3),
        ({"stopSignal": "SIGNONE"}, Signals.SIGTERM),  # stored by an older version of ours
    ],
)
def test_stop_signal(lifecycle: dict[str, Any], number: int) -> None:
    pod = apply_defaults(m.pod(lifecycle=lifecycle))
    assert read_pod(pod).containers[0].stop_signal == number
