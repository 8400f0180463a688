"""Start-up times as stored pods tell them."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.plan.history import observed_startup, startup_s


def _pod(started: str = "10:00:00", ready: str = "10:00:08", **change: Any) -> dict[str, Any]:
    status = {
        "name": "app",
        "restartCount": change.get("restarts", 0),
        "state": {"running": {"startedAt": f"2026-11-23T{started}Z"}} if started else {},
    }
    handler: dict[str, Any] = {change.get("handler", "exec"): {}}
    probe = (
        {"readinessProbe": {"periodSeconds": change["period_s"], **handler}}
        if "period_s" in change
        else {}
    )
    condition = {
        "type": "Ready",
        "status": change.get("status", "True"),
        "lastTransitionTime": f"2026-11-23T{ready}Z",
    }
    return {
        "spec": {"containers": [{"name": "app", **probe}]},
        "status": {"containerStatuses": [status], "conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("pod", "took_s"),
    [
        (_pod(), 8.0),
        (_pod(period_s=4), 6.0),  # half a period earlier, on average
        (_pod(ready="10:00:01", period_s=10), 0.0),
        (_pod(period_s=4, handler="httpGet"), 7.5),  # it was asked once a second by then
        (_pod(ready="10:00:02", period_s=4, handler="tcpSocket"), 2 - 0.25 / 2),
        (_pod(restarts=1), None),
        (_pod(status="False"), None),
        (_pod(started=""), None),
        ({"spec": {"containers": []}}, None),
    ],
)
def test_startup_of_a_pod(pod: dict[str, Any], took_s: float | None) -> None:
    assert startup_s(pod) == took_s


def test_the_median_counts() -> None:
    pods = [_pod(), _pod(ready="10:00:03"), _pod(ready="10:01:00")]
    startup = observed_startup(pods)
    assert startup is not None
    assert startup.seconds == (8.0,)
    assert "3 pods" in startup.source
    assert observed_startup([]) is None
