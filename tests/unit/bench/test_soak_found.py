"""A soak's verdict: what is lost, cut, or shown by nothing."""

from __future__ import annotations

from typing import Literal

import pytest

from bench.soak_found import Soaked
from nodrop.client.protocol import WatchEvent
from nodrop.model.meta import Revision
from nodrop.rehearse.record import Outcome, Record
from nodrop.rehearse.stream import End
from nodrop.rehearse.verdict import Stage


def record(number: int, at: float, outcome: Outcome = Outcome.OK) -> Record:
    return Record(number, at, at, at + 0.01, outcome, 200, "TCP", "v1-graceful", "p-1", False)


def pod(type_: Literal["ADDED", "MODIFIED", "DELETED"], **meta: str) -> WatchEvent:
    container = {"image": "soak:v1-graceful"}
    obj = {"metadata": {"name": "p-1", **meta}, "spec": {"containers": [container]}}
    return WatchEvent(type_, obj, Revision(1))


def soaked(*, loaded_until: float) -> Soaked:
    """One rollout at 10 that ended a pod from 11 to 12; a request every 0.1 s."""
    found = Soaked()
    found.stages.begin(Stage("before", 0.0, is_rollout=False))
    found.lives.observe(pod("ADDED"), 0.0)
    found.stages.begin(Stage("1 (exits)", 10.0))
    found.add(record(number, number / 10) for number in range(int(loaded_until * 10)))
    found.lives.observe(pod("MODIFIED", deletionTimestamp="2026-01-01T00:00:00Z"), 11.0)
    found.lives.observe(pod("DELETED"), 12.0)
    return found


def end(version: str, *, clean: bool, under_way: bool = False, kind: str = "TCP") -> End:
    outcome = Outcome.OK if clean else Outcome.RESET
    return End(kind, 11.5, version, "p-1", outcome, clean, under_way)


def test_a_pod_ended_under_load_and_nothing_lost_passes() -> None:
    found = soaked(loaded_until=13)
    assert found.verdict.result == "pass"
    assert (found.as_json()["pods_ended"], found.as_json()["pods_ended_under_load"]) == (1, 1)


def test_no_request_at_the_time_is_inconclusive() -> None:
    assert soaked(loaded_until=10.5).verdict.result == "inconclusive"


def test_one_lost_request_is_told() -> None:
    found = soaked(loaded_until=13)
    found.add([record(999, 11.5, Outcome.RESET)])
    assert found.verdict.result == "lost"
    assert found.lost == 1
    assert found.as_json()["last_losses"] == ["TCP 999: reset 200 after 0.010 s, v1-graceful p-1"]


@pytest.mark.parametrize(
    ("version", "clean", "result"),
    [
        ("v1-graceful", True, "pass"),
        ("v1-graceful", False, "lost"),
        ("v1-exits", False, "pass"),  # only the application could have ended it well
        ("v1-ignores", False, "pass"),
        ("v1-unheard-of", False, "lost"),
    ],
)
def test_a_stream_may_be_cut_only_where_the_app_does_not_close_it(
    version: str, clean: bool, result: str
) -> None:
    found = soaked(loaded_until=13)
    found.add_end(end(version, clean=clean, under_way=not clean))
    assert found.verdict.result == result


def test_idle_http_connections_are_no_streams() -> None:
    found = soaked(loaded_until=13)
    found.add_end(end("v1-graceful", clean=False, kind="CHUNKED"))
    assert found.verdict.result == "pass"
