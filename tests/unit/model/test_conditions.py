"""Timestamps of conditions move when upstream's do."""

from __future__ import annotations

from nodrop.model.conditions import (
    get_condition,
    is_true,
    refresh_condition,
    remove_condition,
    set_condition,
)

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"
READY = {"type": "Ready", "status": "True", "reason": "A", "message": "m"}
STORED = [{"type": "Other", "status": "True"}, READY | {"lastTransitionTime": EARLY}]


def test_a_new_condition_starts_now_and_goes_last() -> None:
    assert set_condition(None, READY, EARLY) == [READY | {"lastTransitionTime": EARLY}]
    assert set_condition(STORED[:1], READY, EARLY) == STORED


def test_the_same_status_and_reason_leave_everything_untouched() -> None:
    assert set_condition(STORED, READY | {"message": "new"}, LATE) == STORED


def test_another_reason_keeps_the_transition_time() -> None:
    wanted = READY | {"reason": "B"}
    written = set_condition(STORED, wanted, LATE, with_update_time=True)
    expected = wanted | {"lastTransitionTime": EARLY, "lastUpdateTime": LATE}
    assert written == [STORED[0], expected]


def test_another_status_moves_it() -> None:
    wanted = READY | {"status": "False"}
    assert set_condition(STORED, wanted, LATE)[1] == wanted | {"lastTransitionTime": LATE}


def test_progress_refreshes_the_update_time_alone() -> None:
    written = refresh_condition(STORED, READY, LATE)[1]
    assert written == READY | {"lastTransitionTime": EARLY, "lastUpdateTime": LATE}


def test_reading_and_removing() -> None:
    assert get_condition(STORED, "Ready") == STORED[1]
    assert get_condition(None, "Ready") is None
    assert is_true(STORED, "Ready")
    assert not is_true(STORED, "Absent")
    assert remove_condition(STORED, "Ready") == STORED[:1]
    assert len(STORED) == 2
