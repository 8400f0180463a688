"""Why a PodDisruptionBudget is refused."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.validate import validate_create


def texts(**spec: Any) -> list[str]:
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }
    return [str(cause) for cause in validate_create(apply_defaults(budget))]


@pytest.mark.parametrize(
    "spec",
    [
        {"minAvailable": 0},
        {"minAvailable": "100%"},
        {"maxUnavailable": 7},
        {"maxUnavailable": "0%"},
        {},
        {"minAvailable": 1, "selector": {}},
        {"minAvailable": 1, "unhealthyPodEvictionPolicy": "AlwaysAllow"},
    ],
)
def test_accepted(spec: dict[str, Any]) -> None:
    assert texts(**spec) == []


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (
            {"minAvailable": 1, "maxUnavailable": 0, "selector": None},
            'spec: Invalid value: {"maxUnavailable":0,"minAvailable":1}: '
            "minAvailable and maxUnavailable cannot be both set",
        ),
        (
            {"minAvailable": -1},
            "spec.minAvailable: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            {"maxUnavailable": "101%"},
            'spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
        (
            {"unhealthyPodEvictionPolicy": "Sometimes"},
            'spec.unhealthyPodEvictionPolicy: Unsupported value: "Sometimes": '
            'supported values: "AlwaysAllow", "IfHealthyBudget"',
        ),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            'spec.selector.matchExpressions[0].operator: Invalid value: "Near": '
            "not a valid selector operator",
        ),
    ],
)
def test_refused(spec: dict[str, Any], text: str) -> None:
    assert texts(**spec) == [text]


def test_a_word_is_no_percentage() -> None:
    (text,) = texts(minAvailable="half")
    assert text.startswith('spec.minAvailable: Invalid value: "half": a valid percent string')
