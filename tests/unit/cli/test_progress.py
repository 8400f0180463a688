"""What a rollout's state is called, word for word as kubectl says it."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.cli.progress import Standing, phase_of, problems_of, rollout_message, standing_of
from nodrop.cli.rollout import undo_operations
from nodrop.cli.urls import urls_of


def deployment(*, replicas: int = 3, generation: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "default", "generation": generation},
        "spec": {"replicas": replicas, "template": {}},
        "status": {"observedGeneration": 1, **status},
    }


@pytest.mark.parametrize(
    ("obj", "message", "done", "failed"),
    [
        (deployment(generation=2), "Waiting for deployment spec update to be observed...", 0, 0),
        (
            deployment(updatedReplicas=1, replicas=3),
            'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been '
            "updated...",
            0,
            0,
        ),
        (
            deployment(updatedReplicas=3, availableReplicas=3)
            | {"status": {"observedGeneration": 1, "replicas": 5, "updatedReplicas": 3}},
            'Waiting for deployment "web" rollout to finish: 2 old replicas are pending '
            "termination...",
            0,
            0,
        ),
        (
            deployment(updatedReplicas=3, availableReplicas=2),
            'Waiting for deployment "web" rollout to finish: 2 of 3 updated replicas are '
            "available...",
            0,
            0,
        ),
        (
            deployment(updatedReplicas=3, availableReplicas=3),
            'deployment "web" successfully rolled out',
            1,
            0,
        ),
        (
            deployment(conditions=[{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]),
            'deployment "web" exceeded its progress deadline',
            0,
            1,
        ),
    ],
)
def test_rollout_message(obj: dict[str, Any], message: str, done: int, failed: int) -> None:
    assert rollout_message(obj) == (message, bool(done), bool(failed))


def pod(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-1", "uid": "u1"},
        "spec": {"containers": [{"name": "app", "image": "web:v2"}]},
        "status": {"containerStatuses": [{"name": "app", "ready": False, **container}]},
    }


def test_a_crash_says_its_exit_code_and_lasts_after_the_second_restart() -> None:
    crashed = {"exitCode": 3, "reason": "Error"}
    waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
    once = pod(state={"terminated": crashed}, restartCount=0)
    twice = pod(state=waiting, lastState={"terminated": crashed}, restartCount=2)
    (first,), (second,) = problems_of([once]), problems_of([twice])
    assert (first.message, first.lasting) == ("ended with exit code 3", False)
    assert (second.message, second.lasting) == ("ended with exit code 3 (restarted 2 times)", True)
    assert phase_of(twice) == "CrashLoopBackOff"


def test_a_failing_probe_is_told_by_its_last_event() -> None:
    event = {
        "reason": "Unhealthy",
        "involvedObject": {"uid": "u1"},
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "message": "Readiness probe failed: HTTP probe failed with statuscode: 503",
    }
    running = pod(state={"running": {}})
    standing = standing_of(deployment(updatedReplicas=1), [running], [event])
    assert isinstance(standing, Standing)
    assert [p.message for p in standing.problems] == [event["message"]]
    assert standing.state == "progressing"


def test_undo_is_kubectls_json_patch_and_empty_for_the_same_template() -> None:
    labels = {"app": "web", "pod-template-hash": "abc"}
    target = {
        "metadata": {"annotations": {"team": "a", "deployment.kubernetes.io/revision": "1"}},
        "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [1]}}},
    }
    current = deployment()
    current["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2", "team": "b"}
    current["spec"]["template"] = {"metadata": {"labels": {"app": "web"}}, "spec": {}}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [1]}}
    annotations = {"deployment.kubernetes.io/revision": "2", "team": "a"}
    assert undo_operations(current, target) == [
        {"op": "replace", "path": "/spec/template", "value": template},
        {"op": "replace", "path": "/metadata/annotations", "value": annotations},
    ]
    current["spec"]["template"] = template
    assert undo_operations(current, target) == []


def test_urls_carry_host_port_and_path() -> None:
    paths = [{"path": "/"}, {"path": "/api"}]
    ingress = {"spec": {"rules": [{"host": "a.localhost", "http": {"paths": paths}}]}}
    anyhost = {"spec": {"rules": [{"http": {"paths": [{"path": "/"}]}}]}}
    assert urls_of([ingress, anyhost], ["http://127.0.0.1:8080"]) == [
        "http://a.localhost:8080/",
        "http://a.localhost:8080/api",
        "http://127.0.0.1:8080/",
    ]
    assert urls_of([anyhost], ["http://127.0.0.1:80"]) == ["http://127.0.0.1/"]
    assert urls_of([anyhost], []) == []
