"""Volume sources with a field missing are refused, so that nobody stumbles over them later."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.validate.volumes import validate_source


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"emptyDir": {}}, []),
        ({"hostPath": {"path": "/srv"}}, []),
        ({"hostPath": {"type": ""}}, ["v.hostPath.path: Required value"]),
        ({"configMap": {"name": "c", "items": [{"key": "a", "path": "b"}]}}, []),
        (
            {"configMap": {"items": [{"path": "/b"}]}},
            [
                "v.configMap.items[0].key: Required value",
                'v.configMap.items[0].path: Invalid value: "/b": must be a relative path',
            ],
        ),
        (
            {"secret": {"items": [{"key": "a", "path": "x/../../b"}]}},
            ["v.secret.items[0].path: Invalid value: \"x/../../b\": must not contain '..'"],
        ),
        ({"secret": {"items": [{"key": "a"}]}}, ["v.secret.items[0].path: Required value"]),
        (
            {"downwardAPI": {"items": [{"path": "a"}]}},
            [
                "v.downwardAPI.items[0]: Required value: one of fieldRef and resourceFieldRef is "
                "required"
            ],
        ),
        (
            {"downwardAPI": {"items": [{"path": "a", "fieldRef": {}}]}},
            ["v.downwardAPI.items[0].fieldRef.fieldPath: Required value"],
        ),
        (
            {"projected": {"sources": [{"configMap": {"items": [{"key": "a"}]}}]}},
            ["v.projected.sources[0].configMap.items[0].path: Required value"],
        ),
        (
            {"projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 1}}]}},
            [
                "v.projected.sources[0].serviceAccountToken.path: Required value",
                "v.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 1: "
                "may not specify a duration less than 10 minutes",
            ],
        ),
    ],
)
def test_source(source: dict[str, Any], expected: list[str]) -> None:
    assert [str(cause) for cause in validate_source(source, "v")] == expected
