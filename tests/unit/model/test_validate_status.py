"""What may be written to /status: what nobody could read later is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.meta import Obj
from nodrop.model.validate import validate_status
from tests.unit.model import manifests as m

IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def texts(obj: Obj, status: Obj) -> list[str]:
    return [str(cause) for cause in validate_status({**obj, "status": status})]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"podIP": "garbage x"}, f'status.podIP: Invalid value: "garbage x": {IP}'),
        ({"podIPs": [{"ip": "x"}]}, f'status.podIPs[0].ip: Invalid value: "x": {IP}'),
        ({"conditions": [{"type": "Ready"}]}, "status.conditions[0].status: Required value"),
        ({"conditions": [{"status": "True"}]}, "status.conditions[0].type: Required value"),
        (
            {"conditions": [{"type": "Ready", "status": "yes"}]},
            'status.conditions[0].status: Unsupported value: "yes": '
            'supported values: "False", "True", "Unknown"',
        ),
        ({"containerStatuses": [{}]}, "status.containerStatuses[0].name: Required value"),
        (
            {"containerStatuses": [{"name": "c", "restartCount": -5}]},
            "status.containerStatuses[0].restartCount: Invalid value: -5: "
            "must be greater than or equal to 0",
        ),
    ],
)
def test_a_pods_status_is_refused(status: Obj, expected: str) -> None:
    assert texts(m.pod(), status) == [expected]


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"phase": "Running", "podIP": "127.9.0.5", "podIPs": [{"ip": "127.9.0.5"}]},
        {"podIP": "", "conditions": [{"type": "a/b", "status": "Unknown"}]},
        {"containerStatuses": [{"name": "c"}]},
    ],
)
def test_a_pods_status_is_fine(status: Obj) -> None:
    assert texts(m.pod(), status) == []


def test_counters_of_any_kind_count_from_zero() -> None:
    (refused,) = texts(m.deployment(), {"readyReplicas": -1})
    assert refused.startswith("status.readyReplicas: Invalid value: -1")


def test_annotations_come_through_a_deployments_status() -> None:
    obj: dict[str, Any] = m.changed(m.deployment(), "metadata.annotations", {"a b": "c"})
    (refused,) = texts(obj, {})
    assert refused.startswith('metadata.annotations: Invalid value: "a b"')
