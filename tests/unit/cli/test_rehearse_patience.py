"""How long a rehearsal waits for a pod, and what it says when it stops."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.cli.progress import Problem, problems_of
from nodrop.cli.rehearse_patience import Outlook, Patience, is_over, patience_with, way_out
from nodrop.client.protocol import WatchEvent
from nodrop.model.meta import Revision
from nodrop.rehearse.lives import Lives

READY = "Readiness probe failed: "
STATUS = READY + "HTTP probe failed with statuscode: "
REFUSED = READY + 'Get "http://127.0.0.9:1/": dial tcp 127.0.0.9:1: connect: connection refused'
USUAL = Patience(60, 15)


def problem(message: str, lasted_s: float = 0.0) -> Problem:
    return Problem("web-1", "app", "Unhealthy", message, lasting=False, lasted_s=lasted_s)


@pytest.mark.parametrize(
    ("probes", "longest_s"),
    [
        ({}, 60),
        ({"readinessProbe": {"periodSeconds": 1}}, 60),
        ({"readinessProbe": {"initialDelaySeconds": 45}}, 75),
        ({"startupProbe": {"periodSeconds": 10, "failureThreshold": 30}}, 300),
        ({"startupProbe": {"failureThreshold": 30}, "readinessProbe": {"periodSeconds": 5}}, 315),
        ({"livenessProbe": {"initialDelaySeconds": 500}}, 60),
    ],
)
def test_what_the_probes_allow(probes: dict[str, Any], longest_s: float) -> None:
    pod = {"containers": [{"name": "app", **probes}, {"name": "side"}]}
    assert patience_with([pod]).longest_s == longest_s
    assert patience_with([pod, {"containers": []}]).longest_s == longest_s
    assert patience_with([pod], 7) == Patience(7, 7)


@pytest.mark.parametrize(
    ("message", "lasted_s", "waited_s", "over"),
    [
        (STATUS + "404", 14, 20, False),
        (STATUS + "404", 15, 20, True),
        (STATUS + "500", 15, 20, True),
        (STATUS + "503", 40, 59, False),  # "come again" is what an app says that still starts
        (STATUS + "429", 40, 59, False),
        (STATUS + "503", 40, 60, True),
        (REFUSED, 40, 59, False),
        (REFUSED, 40, 60, True),
        ("Startup probe failed: HTTP probe failed with statuscode: 404", 40, 59, False),
    ],
)
def test_when_nothing_is_to_be_expected(
    message: str, lasted_s: float, waited_s: float, over: bool
) -> None:
    assert is_over(problem(message, lasted_s), waited_s, USUAL) is over


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (STATUS + "404", "answers the readinessProbe's path with 404: name one there"),
        (STATUS + "500", "says by 500 that it is not ready: its log"),
        (REFUSED, "nothing listens at the probe's port"),
        (READY + "command ended with exit code 1", "wait longer"),
    ],
)
def test_what_would_help(message: str, words: str) -> None:
    assert words in way_out(problem(message))
    assert "--ready-within SECONDS" in way_out(problem(message))


def pod(*, running: bool = True, ready: bool = False, **status: Any) -> dict[str, Any]:
    state = {"running": {}} if running else {"waiting": {"reason": "PodInitializing"}}
    return {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "default", "uid": "u1"},
        "spec": {"containers": [{"name": "app", "image": "web:v1"}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "app", "ready": ready, "state": state, **status}],
        },
    }


def unhealthy(code: int, lasted_s: int, count: int = 9) -> dict[str, Any]:
    return {
        "kind": "Event",
        "metadata": {"resourceVersion": "1"},
        "reason": "Unhealthy",
        "involvedObject": {"kind": "Pod", "uid": "u1"},
        "message": f"{STATUS}{code}",
        "count": count,
        "firstTimestamp": "2026-11-25T10:00:00Z",
        "lastTimestamp": f"2026-11-25T10:00:{lasted_s:02}Z",
    }


def given_up(
    seen: dict[str, Any], events: list[dict[str, Any]], *looks_s: float
) -> list[Problem | None]:
    """What is said at each look; the pod is seen at 0 s."""
    lives, outlook = Lives(), Outlook(USUAL)
    lives.observe(WatchEvent("ADDED", seen, Revision(1)), 0.0)
    return [outlook.given_up([seen], events, lives, now_s) for now_s in looks_s]


def test_how_long_an_answer_stayed_the_same_is_told_by_its_event() -> None:
    (found,) = problems_of([pod()], [unhealthy(404, 17)])
    assert found.lasted_s == 17


def test_a_pod_that_is_refused_for_long_is_given_up() -> None:
    assert given_up(pod(), [unhealthy(404, 14)], 16.0) == [None]
    (found,) = given_up(pod(), [unhealthy(404, 16)], 18.0)
    assert found is not None
    assert found.message == STATUS + "404"


def test_a_pod_that_was_ready_once_is_never_given_up() -> None:
    assert given_up(pod(ready=True), [unhealthy(404, 16)], 500.0) == [None]


def test_a_pod_of_which_nothing_is_heard() -> None:
    before, after = given_up(pod(), [], 59.0, 60.0)
    assert before is None
    assert after is not None
    assert "no Event says why" in after.message
    before, after = given_up(pod(running=False), [], 179.0, 180.0)
    assert before is None
    assert after is not None
    assert "have not started" in after.message


def test_a_crash_has_to_last() -> None:
    """A ConfigMap may be on its way, but two crashes in a row are not mended by waiting."""
    last: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 3}}, "restartCount": 2}
    first, soon, later = given_up(pod(running=False, **last), [], 1.0, 5.0, 6.5)
    assert first is None
    assert soon is None
    assert later is not None
    assert "exit code 3" in later.message
    assert way_out(later) == ""
