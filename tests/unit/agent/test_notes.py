"""What the notes beside a container say about its pod's traffic."""

from __future__ import annotations

import pytest

from nodrop.agent.notes import is_withdrawn

TIME = "2026-11-23T10:00:00+00:00"


@pytest.mark.parametrize(
    ("notes", "expected"),
    [
        ({}, False),
        ({"postStart": "done"}, False),
        ({"withdrawn": TIME}, True),
        ({"preStop": TIME}, True),
        ({"preStop": "done", "signalled": TIME}, True),
        ({"signalled": TIME}, True),
        # One run of a pod that lives on: it comes back.
        ({"stop": TIME}, False),
        ({"stop": TIME, "preStop": "done", "signalled": TIME}, False),
        ({"stop": TIME, "signalled": TIME, "withdrawn": TIME}, True),
    ],
)
def test_is_withdrawn(notes: dict[str, str], expected: bool) -> None:
    assert is_withdrawn(notes) is expected
