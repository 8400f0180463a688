"""What is applied is YAML, and mostly JSON."""

from __future__ import annotations

import pytest

from nodrop.apiserver.bodies import decode_patch
from nodrop.model.errors import ApiError

APPLY = "application/apply-patch+yaml"


@pytest.mark.parametrize(
    ("body", "applied"),
    [
        (b'{"data": {"a": "on", "b": 1e3}}', {"data": {"a": "on", "b": 1000.0}}),
        (b"data: {a: 'on', b: 1}\n", {"data": {"a": "on", "b": 1}}),
        (b"{data: {a: '\\'}}", {"data": {"a": "\\"}}),
    ],
)
def test_an_applied_body_is_json_or_yaml(body: bytes, applied: object) -> None:
    assert decode_patch(body, APPLY) == (applied, "apply")


@pytest.mark.parametrize("body", [b"[1", b"a: b: c", b"\xff"])
def test_what_is_neither_is_refused(body: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        decode_patch(body, APPLY)
    assert refused.value.code == 400
