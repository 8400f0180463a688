"""Lengths of hooks and times of probes, as manifests give them."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.check.views import Probe, hook_length_s


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({"sleep": {"seconds": 8}}, 8),
        ({"exec": {"command": ["sleep", "12"]}}, 12),
        ({"exec": {"command": ["/bin/sleep", "1.5s"]}}, 1.5),
        ({"exec": {"command": ["/bin/sh", "-c", "sleep 20"]}}, 20),
        ({"exec": {"command": ["sh", "-c", "sleep 5 && nginx -s quit"]}}, 5),
        ({"exec": {"command": ["sh", "-ec", "sleep 5; nginx -s quit"]}}, 5),
        ({"exec": {"command": ["sh", "-c", "touch x; sleep 5"]}}, None),
        ({"exec": {"command": ["sleep", "nan"]}}, None),
        ({"exec": {"command": ["sleep", "1e999"]}}, None),
        ({"exec": {"command": ["./drain"]}}, None),
        ({"exec": "sleep 3"}, None),
        ({"sleep": {"seconds": True}}, None),
        ({"httpGet": {"port": 80}}, None),
        ({}, None),
    ],
)
def test_the_length_of_a_hook(hook: dict[str, Any], seconds: float | None) -> None:
    assert hook_length_s(hook) == seconds


@pytest.mark.parametrize(
    ("probe", "kill_s", "withdraw_s"),
    [
        ({}, 20, 30),  # probes at 0, 10, 20
        ({"initialDelaySeconds": 15}, 40, 30),  # at 20, 30, 40
        ({"initialDelaySeconds": 15, "periodSeconds": 5, "failureThreshold": 1}, 15, 5),
        ({"periodSeconds": 0, "failureThreshold": 0}, 20, 30),  # 0 counts as unset
        ({"periodSeconds": "5", "failureThreshold": None}, 20, 30),  # what is no number too
    ],
)
def test_when_a_probe_has_an_effect(probe: dict[str, Any], kill_s: int, withdraw_s: int) -> None:
    found = Probe("livenessProbe", (), probe)
    assert (found.first_kill_s, found.withdraw_s) == (kill_s, withdraw_s)
