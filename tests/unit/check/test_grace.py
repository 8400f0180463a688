"""S20: a hook doesn't extend the grace period, and a manifest that shows it is warned about."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.check.grace import hook_length_s, hook_warnings


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({"sleep": {"seconds": 8}}, 8),
        ({"exec": {"command": ["sleep", "12"]}}, 12),
        ({"exec": {"command": ["/bin/sleep", "1.5s"]}}, 1.5),
        ({"exec": {"command": ["/bin/sh", "-c", "sleep 20"]}}, 20),
        ({"exec": {"command": ["sh", "-c", "sleep 5 && touch x"]}}, None),
        ({"exec": {"command": ["./drain"]}}, None),
        ({"httpGet": {"port": 80}}, None),
        ({}, None),
    ],
)
def test_the_length_of_a_hook(hook: dict[str, Any], seconds: float | None) -> None:
    assert hook_length_s(hook) == seconds


@pytest.mark.parametrize(("grace", "warned"), [(5, True), (8, True), (9, False), (None, False)])
def test_s20_a_hook_as_long_as_the_grace_period_is_warned_about(
    grace: int | None, warned: bool
) -> None:
    spec: dict[str, Any] = {
        "containers": [{}, {"lifecycle": {"preStop": {"sleep": {"seconds": 8}}}}]
    }
    if grace is not None:
        spec["terminationGracePeriodSeconds"] = grace
    found = list(hook_warnings(spec, "spec.template.spec"))
    assert bool(found) is warned
    if warned:
        (text,) = found
        assert text.startswith("spec.template.spec.containers[1].lifecycle.preStop takes 8 s")
        assert f"SIGKILL at {(grace or 0) + 2} s" in text
