"""Event in two forms: nothing is lost between them, and the newer one asks for more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodrop.model.eventforms import newer_event, stored_event, validate_newer_event
from nodrop.model.meta import Obj

STORED: Obj = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "default"},
    "involvedObject": {"kind": "Pod", "name": "web"},
    "reason": "Killing",
    "message": "Stopping container app",
    "source": {"component": "nodrop"},
    "reportingComponent": "nodrop",
    "firstTimestamp": "2026-11-23T10:00:00Z",
    "lastTimestamp": "2026-11-23T10:01:00Z",
    "count": 3,
    "type": "Normal",
}
NEWER: Obj = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "default"},
    "regarding": {"kind": "Pod", "name": "web"},
    "reason": "Killing",
    "note": "Stopping container app",
    "deprecatedSource": {"component": "nodrop"},
    "reportingController": "nodrop",
    "deprecatedFirstTimestamp": "2026-11-23T10:00:00Z",
    "deprecatedLastTimestamp": "2026-11-23T10:01:00Z",
    "deprecatedCount": 3,
    "eventTime": None,
    "type": "Normal",
}
FRESH: Obj = {
    "metadata": {"name": "e"},
    "regarding": {"kind": "Pod", "name": "web"},
    "eventTime": "2026-11-23T10:00:00.000000Z",
    "reportingController": "example.com/operator",
    "reportingInstance": "operator-1",
    "action": "Binding",
    "reason": "Bound",
    "note": "it is bound",
    "type": "Normal",
}


def test_both_forms() -> None:
    assert newer_event(STORED) == NEWER
    assert stored_event(NEWER) == STORED


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.text(min_size=1, max_size=3)
            for name in ("message", "reason", "action", "related", "eventTime", "count", "source")
        },
    )
)
def test_there_and_back_changes_nothing(fields: dict[str, Any]) -> None:
    event = {"apiVersion": "v1", "kind": "Event", **fields}
    assert stored_event(newer_event(event)) == event


def test_names_of_the_stored_form_mean_nothing_in_the_newer() -> None:
    assert "message" not in stored_event({**FRESH, "note": None, "message": "x"})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"eventTime": None}, ["eventTime: Required value"]),
        ({"reportingController": ""}, ["reportingController: Required value"]),
        ({"action": None}, ["action: Required value"]),
        ({"note": "x" * 1025}, ["note: Too long: may not be more than 1024 bytes"]),
        (
            {"type": "Odd"},
            ['type: Unsupported value: "Odd": supported values: "Normal", "Warning"'],
        ),
        ({"deprecatedCount": 1}, ["deprecatedCount: Forbidden: needs to be unset"]),
        ({"series": {"count": 1}}, ["series.count: Invalid value: 1: should be at least 2"]),
        ({"series": {"count": 2, "lastObservedTime": "2026-11-23T10:00:00.000000Z"}}, []),
    ],
)
def test_what_a_new_one_needs(change: Obj, told: list[str]) -> None:
    assert [str(cause) for cause in validate_newer_event({**FRESH, **change})] == told
