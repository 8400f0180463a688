"""JSON patches and merge patches: the RFCs' own examples, and each way to fail."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.model.errors import ApiError
from nodrop.model.patch import json_patch, merge_patch


@pytest.mark.parametrize(
    ("obj", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1}, {"op": "add", "path": "/a", "value": None}, {"a": None}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
        ({"a": {"b": 1}}, {"op": "replace", "path": "/a/b", "value": 2}, {"a": {"b": 2}}),
        ({"a": [1, 2]}, {"op": "replace", "path": "/a/1", "value": 3}, {"a": [1, 3]}),
        ({"a": {"b": 1}}, {"op": "move", "from": "/a/b", "path": "/c"}, {"a": {}, "c": 1}),
        ({"a": [1, 2]}, {"op": "move", "from": "/a/0", "path": "/a/1"}, {"a": [2, 1]}),
        ({"a": 1}, {"op": "move", "from": "/a", "path": "/a"}, {"a": 1}),
        (
            {"a": {"b": 1}},
            {"op": "copy", "from": "/a", "path": "/c"},
            {"a": {"b": 1}, "c": {"b": 1}},
        ),
        (
            {"a/b": {"m~n": 1}},
            {"op": "test", "path": "/a~1b/m~0n", "value": 1},
            {"a/b": {"m~n": 1}},
        ),
        ({"": 1}, {"op": "test", "path": "/", "value": 1}, {"": 1}),
        ({"a": 1}, {"op": "test", "path": "", "value": {"a": 1}}, {"a": 1}),
    ],
)
def test_json_patch(obj: Any, operation: Any, expected: Any) -> None:
    assert json_patch(obj, [operation]) == expected


@pytest.mark.parametrize(
    ("obj", "operation", "text"),
    [
        ({}, {"op": "remove", "path": "/a"}, "there is no value at /a"),
        ({}, {"op": "replace", "path": "/a", "value": 1}, "there is no value at /a"),
        ({}, {"op": "add", "path": "/a/b", "value": 1}, "there is no value at /a/b"),
        ({"a": [1]}, {"op": "add", "path": "/a/2", "value": 1}, "names no element"),
        ({"a": [1]}, {"op": "remove", "path": "/a/01"}, "names no element"),
        ({"a": [1]}, {"op": "remove", "path": "/a/-"}, "names no element"),
        ({"a": 1}, {"op": "add", "path": "/a/b", "value": 1}, "neither in an object nor in a list"),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 2}, "testing value /a failed"),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}, "testing value /a failed"),
        ({"a": {}}, {"op": "move", "from": "/a", "path": "/a/b"}, "can't be moved into itself"),
        ({"a": 1}, {"op": "replace", "path": "", "value": 1}, "is no object"),
    ],
)
def test_a_json_patch_that_fails_is_422(obj: Any, operation: Any, text: str) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch(obj, [operation])
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    assert text in caught.value.message


@pytest.mark.parametrize(
    "operations",
    [
        {},
        ["x"],
        [{"op": "spoil", "path": "/a"}],
        [{"path": "/a"}],
        [{"op": "remove"}],
        [{"op": "remove", "path": "a"}],
        [{"op": "add", "path": "/a"}],
        [{"op": "copy", "path": "/a"}],
    ],
)
def test_a_malformed_json_patch_is_400(operations: Any) -> None:
    with pytest.raises(ApiError) as caught:
        json_patch({}, operations)
    assert caught.value.code == 400


def test_a_later_failure_leaves_no_trace() -> None:
    obj = {"a": [1]}
    with pytest.raises(ApiError):
        json_patch(obj, [{"op": "remove", "path": "/a/0"}, {"op": "remove", "path": "/b"}])
    assert obj == {"a": [1]}


@pytest.mark.parametrize(
    ("obj", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "b"}, {"a": {"b": 1, "c": None}}, {"a": {"b": 1}}),
    ],
)
def test_merge_patch(obj: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(obj, patch) == expected


@pytest.mark.parametrize("patch", [[], "x", None, 1])
def test_a_merge_patch_that_is_no_object_is_400(patch: Any) -> None:
    with pytest.raises(ApiError) as caught:
        merge_patch({}, patch)
    assert caught.value.code == 400
