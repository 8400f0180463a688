"""What the notes beside a container say about its pod's traffic."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from nodrop.agent.notes import is_withdrawn, withdrawn_pods
from nodrop.agent.runtime.protocol import ContainerId, ContainerState, Exit

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


@pytest.mark.parametrize(
    ("notes", "ended", "expected"),
    [
        ({"signalled": TIME}, False, True),
        ({"signalled": TIME}, True, False),  # an end of its own: it is started again
        ({"withdrawn": TIME, "signalled": TIME}, True, True),  # while no engine looked
    ],
)
def test_a_container_that_has_ended_speaks_for_its_pod_only_by_the_note(
    notes: dict[str, str], ended: bool, expected: bool
) -> None:
    now = datetime(2026, 11, 25, tzinfo=timezone.utc)
    state = ContainerState(
        id=ContainerId("uid_app_0"),
        pod_uid="uid",
        name="app",
        pid=7,
        started_at=now,
        exit=Exit(0, now) if ended else None,
        notes=notes,
        wildcard_bind=True,
    )
    assert withdrawn_pods([state]) == ({"uid"} if expected else set())
