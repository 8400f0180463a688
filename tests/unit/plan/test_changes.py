"""What differs between two Deployments, as lines."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.plan.changes import diff_objects


def _with(path: list[Any], value: object) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "app",
        "image": "app:1",
        "env": [{"name": "A", "value": "1"}],
    }
    obj: dict[str, Any] = {
        "metadata": {"name": "web"},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [container]}}},
    }
    inner: Any = obj
    for step in path[:-1]:
        inner = inner[step]
    if path:
        inner[path[-1]] = value
    return obj


_CONTAINER = ["spec", "template", "spec", "containers", 0]


@pytest.mark.parametrize(
    ("path", "value", "lines"),
    [
        ([], None, []),
        (["spec", "replicas"], 5, ["spec.replicas: 2 → 5"]),
        (
            [*_CONTAINER, "image"], "app:2",
            ["spec.template.spec.containers[app].image: app:1 → app:2"],
        ),
        (
            [*_CONTAINER, "env"], [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}],
            [
                "spec.template.spec.containers[app].env[A].value: 1 → 2",
                'spec.template.spec.containers[app].env[B]: {"name": "B", "value": "3"} (new)',
            ],
        ),
        (
            [*_CONTAINER, "command"], ["run", "it"],
            ['spec.template.spec.containers[app].command: ["run", "it"] (new)'],
        ),
        (
            ["metadata", "annotations"],
            {"deployment.kubernetes.io/revision": "2", "example.org/a-b": "x\ny"},
            ["metadata.annotations[example.org/a-b]: x y (new)"],
        ),
    ],
)  # fmt: skip
def test_diff(path: list[Any], value: object, lines: list[str]) -> None:
    assert [str(change) for change in diff_objects(_with([], None), _with(path, value))] == lines


def test_removed_and_new() -> None:
    changed = _with(["spec", "replicas"], None)
    assert [str(one) for one in diff_objects(_with([], None), changed)] == [
        "spec.replicas: 2 → (removed)"
    ]
    assert diff_objects(None, changed) == ()


def test_a_long_value_is_cut() -> None:
    (change,) = diff_objects(_with([], None), _with(["spec", "selector"], "x" * 200))
    assert change.new is not None
    assert len(change.new) == 60
    assert not change.of_template
