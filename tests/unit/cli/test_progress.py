"""What a rollout's state is called, word for word as kubectl says it."""

from __future__ import annotations

from typing import Any

import pytest

from nodrop.cli.progress import (
    Problem,
    Standing,
    phase_of,
    problems_of,
    revision_to_go_back_to,
    rollout_message,
    serving_revisions,
    standing_of,
    way_out,
)
from nodrop.cli.rollout import undo_operations
from nodrop.cli.status import latest_events
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
        "metadata": {"resourceVersion": "7"},
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


@pytest.mark.parametrize("reason", ["FailedMount", "Unsupported"])
def test_a_volume_that_cannot_be_is_told_while_containers_wait_for_it(reason: str) -> None:
    event = {
        "metadata": {"resourceVersion": "7"},
        "reason": reason,
        "involvedObject": {"uid": "u1"},
        "message": "spec.volumes[1].persistentVolumeClaim",
    }
    waits = pod(state={"waiting": {"reason": "ContainerCreating"}})
    (problem,) = problems_of([waits], [event])
    assert (problem.reason, problem.message, problem.lasting) == (reason, event["message"], True)
    assert list(problems_of([pod(state={"running": {}})], [event])) == []


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
    ingress = {
        "metadata": {"name": "a"},
        "spec": {"rules": [{"host": "a.localhost", "http": {"paths": paths}}]},
    }
    anyhost = {"metadata": {"name": "b"}, "spec": {"rules": [{"http": {"paths": [{"path": "/"}]}}]}}
    assert urls_of([ingress, anyhost], ["http://127.0.0.1:8080"]) == [
        "http://a.localhost:8080/",
        "http://a.localhost:8080/api",
        "http://127.0.0.1:8080/",
    ]
    assert urls_of([anyhost], ["http://127.0.0.1:80"]) == ["http://127.0.0.1/"]
    assert urls_of([anyhost], []) == []
    assert urls_of([anyhost], ["http://[::1]:8080"]) == ["http://[::1]:8080/"]


def test_urls_of_hosts_with_tls_are_https() -> None:
    def ingress(host: str, **spec: Any) -> dict[str, Any]:
        rules = [{"host": host, "http": {"paths": [{"path": "/"}]}}]
        return {"metadata": {"name": host}, "spec": {"rules": rules, **spec}}

    shop = ingress("Shop.example", tls=[{"hosts": ["shop.example", "*.w.example"]}])
    own = ingress("own.example", tls=[{"secretName": "own"}])
    others = [ingress("a.w.example"), ingress("w.example")]
    http, https = ["http://127.0.0.1:80"], ["https://127.0.0.1:8443"]
    assert urls_of([shop, own, *others], http, tls_bases=https) == [
        "https://Shop.example:8443/",
        "https://own.example:8443/",
        "https://a.w.example:8443/",
        "http://w.example/",
    ]
    assert urls_of([shop], http, tls_bases=["https://127.0.0.1:443"]) == ["https://Shop.example/"]
    assert urls_of([shop], http) == ["http://Shop.example/"]


def test_urls_of_rewritten_paths_and_canaries() -> None:
    def ingress(name: str, path: str, **annotations: str) -> dict[str, Any]:
        named = {f"nodrop.dev/{key.replace('_', '-')}": v for key, v in annotations.items()}
        rules = [{"host": "h", "http": {"paths": [{"path": path}]}}]
        return {"metadata": {"name": name, "annotations": named}, "spec": {"rules": rules}}

    main = ingress("main", "/shop(/|$)(.*)", rewrite_target="/$2")
    canary = ingress("canary", "/shop", canary="true")
    assert urls_of([main, canary], ["http://127.0.0.1:80"]) == ["http://h/shop"]


def test_a_url_that_another_application_answers_is_not_printed() -> None:
    def ingress(name: str, created: str, host: str = "") -> dict[str, Any]:
        rule = {"http": {"paths": [{"path": "/"}]}} | ({"host": host} if host else {})
        metadata = {"name": name, "namespace": "default", "creationTimestamp": created}
        return {"metadata": metadata, "spec": {"rules": [rule]}}

    older, newer = ingress("old", "2026-01-01T00:00:00Z"), ingress("new", "2026-01-02T00:00:00Z")
    named = ingress("named", "2026-01-03T00:00:00Z", host="a.localhost")
    every, base = [newer, named, older], ["http://127.0.0.1:8080"]
    assert urls_of([newer], base, among=every) == []
    assert urls_of([older, named], base, among=every) == [
        "http://127.0.0.1:8080/",
        "http://a.localhost:8080/",
    ]


def unhealthy(
    message: str, *, count: int = 1, uid: str = "u1", revision: int = 1
) -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": str(revision)},
        "reason": "Unhealthy",
        "involvedObject": {"uid": uid},
        "lastTimestamp": "2026-11-23T10:00:00Z",
        "message": message,
        "count": count,
    }


@pytest.mark.parametrize(
    ("events", "goes_on"),
    [
        ([unhealthy("refused", count=2)], False),  # a program that starts
        ([unhealthy("refused", count=3)], True),
        ([unhealthy("refused", count=2), unhealthy("status 503", revision=2)], True),
        ([unhealthy("refused", count=2), unhealthy("refused", count=9, uid="other")], False),
    ],
)
def test_a_probe_that_goes_on_failing_is_news(events: list[dict[str, Any]], goes_on: bool) -> None:
    (problem,) = problems_of([pod(state={"running": {}})], events)
    assert problem.goes_on == goes_on


def test_replicas_and_repetitions_of_one_fault_are_the_same() -> None:
    first = Problem("web-1", "app", "Unhealthy", "dial tcp 127.9.0.2:80: refused", False)
    second = Problem("web-2", "app", "Unhealthy", "dial tcp 127.9.0.3:80: refused", False)
    other = Problem("web-2", "app", "Unhealthy", "HTTP status 503", False)
    assert first.fault == second.fault != other.fault
    crash = Problem("a", "app", "Crashed", "ended with exit code 3", True)
    again = Problem("b", "app", "Crashed", "ended with exit code 3 (restarted 2 times)", True)
    assert crash.fault == again.fault


def test_a_missing_program_is_told_without_the_whole_path() -> None:
    message = 'program "web" not found in PATH /usr/local/bin:/usr/bin:/bin'
    waiting = {"waiting": {"reason": "RunContainerError", "message": message}}
    (problem,) = problems_of([pod(state=waiting)])
    assert problem.message == 'program "web" not found in PATH'


def replica_set(revision: int, ready: int, owner: str = "d1") -> dict[str, Any]:
    return {
        "metadata": {
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "status": {"readyReplicas": ready},
    }


@pytest.mark.parametrize(
    ("sets", "current", "expected"),
    [
        ([replica_set(1, 3), replica_set(2, 0), replica_set(3, 0)], 3, 1),  # two failed
        ([replica_set(1, 1), replica_set(2, 2), replica_set(3, 1)], 3, 2),
        ([replica_set(1, 0)], 1, None),  # the first version fails
        ([replica_set(1, 3, owner="other"), replica_set(2, 0)], 2, None),
    ],
)
def test_undo_goes_back_to_a_revision_that_serves(
    sets: list[dict[str, Any]], current: int, expected: int | None
) -> None:
    annotations = {"deployment.kubernetes.io/revision": str(current)}
    web = {"metadata": {"uid": "d1", "annotations": annotations}}
    assert revision_to_go_back_to(serving_revisions(sets, web), web) == expected


@pytest.mark.parametrize(
    ("namespace", "go_back_to", "paused", "expected"),
    [
        ("default", 4, False, "nodrop rollout undo web --to-revision 4"),
        ("shop", 4, False, "nodrop rollout undo web -n shop --to-revision 4"),
        ("default", None, False, "no other version of web serves"),
        ("default", 4, True, "web is paused; go on with: nodrop rollout resume web"),
        ("shop", None, True, "nodrop rollout resume web -n shop"),
    ],
)
def test_the_hint_is_a_command_that_can_be_copied(
    namespace: str, go_back_to: int | None, paused: bool, expected: str
) -> None:
    assert expected in way_out(namespace, "web", go_back_to, paused=paused)


def test_last_events_are_in_order_and_leave_out_ending_pods() -> None:
    events = [unhealthy(str(n), uid="alive", revision=n) for n in (9, 10, 2)]
    events += [unhealthy("gone", uid="gone"), unhealthy("ending", uid="ending")]
    pods = [
        {"metadata": {"uid": "alive"}},
        {"metadata": {"uid": "ending", "deletionTimestamp": "2026-11-23T10:00:00Z"}},
    ]
    assert [event["message"] for event in latest_events(events, pods)] == ["2", "9", "10"]
