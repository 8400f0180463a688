"""Why a Deployment is refused, word for word (semantics 1.3)."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.defaults import apply_defaults
from nodrop.model.errors import invalid
from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj
from nodrop.model.validate import validate_create, validate_update
from tests.unit.model import manifests as m

ROLLING = "spec.strategy.rollingUpdate"
UNAVAILABLE = f"{ROLLING}.maxUnavailable"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' "
    "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"
)
NOT_NEGATIVE = "must be greater than or equal to 0"


def texts(obj: Obj) -> list[str]:
    return [str(cause) for cause in validate_create(apply_defaults(obj))]


@pytest.mark.parametrize(
    ("unavailable", "surge", "shown"),
    [(0, 0, "0"), ("0%", 0, '"0%"'), (0, "0%", "0"), ("0%", "0%", '"0%"')],
)
def test_s6_both_zero_is_refused_with_the_reason(
    unavailable: int | str, surge: int | str, shown: str
) -> None:
    """S6: surge and unavailable both 0 could never move; the value is shown as it was sent."""
    obj = m.rolling(maxUnavailable=unavailable, maxSurge=surge)
    expected = f"Invalid value: {shown}: may not be 0 when `maxSurge` is 0"
    assert texts(obj) == [f"{UNAVAILABLE}: {expected}"]


def test_s6_as_the_client_reads_it() -> None:
    causes = validate_create(apply_defaults(m.rolling(maxUnavailable=0, maxSurge=0)))
    error = invalid(DEPLOYMENT, "web", causes)
    assert error.message == (
        'Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: '
        "Invalid value: 0: may not be 0 when `maxSurge` is 0"
    )
    assert error.details["causes"][0]["reason"] == "FieldValueInvalid"


@pytest.mark.parametrize(
    "numbers",
    [
        {"maxUnavailable": "1%", "maxSurge": 0},
        {"maxUnavailable": 0, "maxSurge": "1%"},
        {"maxUnavailable": "100%", "maxSurge": 0},
        {"maxUnavailable": 7, "maxSurge": "900%"},
        {},
    ],
)
def test_numbers_that_are_fine(numbers: Obj) -> None:
    assert texts(m.rolling(**numbers)) == []


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (
            {"maxUnavailable": "101%"},
            [f'{UNAVAILABLE}: Invalid value: "101%": must not be greater than 100%'],
        ),
        ({"maxUnavailable": "x"}, [f'{UNAVAILABLE}: Invalid value: "x": {PERCENT}']),
        ({"maxSurge": "5"}, [f'{ROLLING}.maxSurge: Invalid value: "5": {PERCENT}']),
        ({"maxSurge": -1}, [f"{ROLLING}.maxSurge: Invalid value: -1: {NOT_NEGATIVE}"]),
        ({"maxUnavailable": -1}, [f"{UNAVAILABLE}: Invalid value: -1: {NOT_NEGATIVE}"]),
    ],
)
def test_numbers_that_are_refused(numbers: Obj, expected: list[str]) -> None:
    assert texts(m.rolling(**numbers)) == expected


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (
            "spec.strategy",
            {"type": "Recreate", "rollingUpdate": {}},
            f"{ROLLING}: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            "spec.strategy",
            {"type": "Blue"},
            'spec.strategy: Unsupported value: {"type":"Blue"}: '
            'supported values: "Recreate", "RollingUpdate"',
        ),
        ("spec.replicas", -1, f"spec.replicas: Invalid value: -1: {NOT_NEGATIVE}"),
        ("spec.minReadySeconds", -1, f"spec.minReadySeconds: Invalid value: -1: {NOT_NEGATIVE}"),
        (
            "spec.revisionHistoryLimit",
            -2,
            f"spec.revisionHistoryLimit: Invalid value: -2: {NOT_NEGATIVE}",
        ),
        (
            "spec.minReadySeconds",
            600,
            "spec.progressDeadlineSeconds: Invalid value: 600: "
            "must be greater than minReadySeconds",
        ),
        (
            "spec.selector",
            {},
            "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
        ),
        (
            "spec.selector.matchLabels.app",
            "api",
            'spec.template.metadata.labels: Invalid value: {"app":"web"}: '
            "`selector` does not match template `labels`",
        ),
        (
            "spec.selector",
            {"matchExpressions": [{"key": "app", "operator": "Has"}]},
            'spec.selector.matchExpressions[0].operator: Invalid value: "Has": '
            "not a valid selector operator",
        ),
        (
            "spec.selector",
            {"matchExpressions": [{"key": "app", "operator": "In"}]},
            "spec.selector.matchExpressions[0].values: Required value: "
            "must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            "spec.template.spec.restartPolicy",
            "Never",
            'spec.template.spec.restartPolicy: Unsupported value: "Never": '
            'supported values: "Always"',
        ),
        (
            "spec.template.spec.containers",
            [],
            "spec.template.spec.containers: Required value",
        ),
        (
            "spec.template.spec.activeDeadlineSeconds",
            5,
            "spec.template.spec.activeDeadlineSeconds: Forbidden: "
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ),
    ],
)
def test_refused(path: str, value: Any, expected: str) -> None:
    assert texts(m.changed(m.deployment(), path, value)) == [expected]


def test_a_selector_is_needed() -> None:
    assert texts(m.changed(m.deployment(), "spec.selector", None))[0] == (
        "spec.selector: Required value"
    )


def test_a_template_is_needed() -> None:
    missing = m.changed(m.deployment(), "spec.template", None)
    assert texts(missing) == ["spec.template: Required value"]


def test_the_selector_never_changes() -> None:
    old = apply_defaults(m.deployment())
    new = m.changed(old, "spec.selector.matchLabels", {"app": "web", "tier": "front"})
    new = m.changed(new, "spec.template.metadata.labels.tier", "front")
    assert [str(cause) for cause in validate_update(new, old)] == [
        'spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"front"}}: '
        "field is immutable"
    ]


def test_a_replicaset_is_held_to_the_same_rules() -> None:
    obj = m.deployment() | {"kind": "ReplicaSet"}
    assert texts(obj) == []
    wrong = m.changed(m.changed(obj, "spec.replicas", -1), "spec.selector", {})
    assert texts(wrong) == [
        f"spec.replicas: Invalid value: -1: {NOT_NEGATIVE}",
        "spec.selector: Invalid value: {}: empty selector is invalid for deployment",
    ]


@pytest.mark.parametrize("field", ["metadata", "spec"])
def test_hardly_anything_there_is_refused_and_does_not_crash(field: str) -> None:
    assert texts({"apiVersion": "apps/v1", "kind": "Deployment", field: {}})
