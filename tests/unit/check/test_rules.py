"""The arithmetic of rules beyond their pages, on one Deployment that is changed a little."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodrop.check.finding import CLUSTER, NODROP
from nodrop.check.judge import judge
from nodrop.check.settings import Settings
from nodrop.check.source import Document
from nodrop.model.meta import Obj


def deployment(
    container: Obj | None = None, pod: Obj | None = None, spec: Obj | None = None
) -> Document:
    app: Obj = {
        "name": "web",
        "image": "web:1",
        "ports": [{"name": "http", "containerPort": 80}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        **(container or {}),
    }
    labels = {"app": "web"}
    spread = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
    pod_spec = {"containers": [app], "topologySpreadConstraints": spread, **(pod or {})}
    whole = {
        "replicas": 3,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": pod_spec},
        **(spec or {}),
    }
    obj = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": whole,
    }
    return Document(obj, "app.yaml", 1, Path())


def told(settings: Settings | None = None, *documents: Document, **parts: Any) -> str:
    """Every finding, in one text, but that the spread over nodes has no effect on nodrop."""
    found = judge([deployment(**parts), *documents], settings or Settings())
    return "\n".join(
        f"{one.card.id} {one.level}: {one.message}. {one.mend}"
        for one in found
        if one.card.id != "ND802"
    )


def rolling(surge: Any, unavailable: Any, replicas: int) -> dict[str, Any]:
    block = {"maxSurge": surge, "maxUnavailable": unavailable}
    return {"spec": {"replicas": replicas, "strategy": {"rollingUpdate": block}}}


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        (1, 0, 3, ""),
        ("25%", "25%", 1, ""),  # 1 and 0
        ("25%", "25%", 3, ""),
        ("1%", 0, 1, ""),  # rounds up to 1
        (0, "0%", 3, "ND101 error"),
        ("0%", "50%", 1, "ND102 error"),
        (0, "33%", 3, "ND102 warning"),  # 0.99
        (0, "34%", 3, ""),
        (0, 1, 1, "ND104 error"),
        ("0%", "100%", 1, "ND104 error"),
        (1, 1, 1, "ND103 error"),
        (0, 5, 3, "ND103 error"),
        (0, 1, 0, ""),
        (1, "x", 3, ""),  # ND703 and the API say what is wrong with it
        (-1, 0, 3, ""),
    ],
)
def test_surge_and_unavailable(surge: Any, unavailable: Any, replicas: int, expected: str) -> None:
    """S3–S6: what both come to at this number of replicas."""
    text = told(Settings(ignore=("ND6",)), **rolling(surge, unavailable, replicas))
    assert text.startswith(expected)
    assert bool(text) is bool(expected)


def test_numbers_of_the_manifest_are_in_the_sentence() -> None:
    text = told(**rolling(0, "30%", 3))
    assert "30% of 3 replicas rounds down to 0" in text
    assert "each step serves with 2 of 3 pods" in text
    text = told(Settings(peak_utilisation=0.9), **rolling(0, 2, 5))
    assert "leaves 3 of 5 pods; at a peak of 90% each would have to carry 150%" in text
    assert "at peak 5 of 5 pods are needed" in text


@pytest.mark.parametrize(
    ("hook", "grace", "settings", "expected"),
    [
        (5, 30, Settings(), ""),
        (5, 14, Settings(), "ND304 warning: preStop hook 5 s + longest request 10 s = 15 s"),
        (5, 15, Settings(targets=CLUSTER), ""),
        (5, 15, Settings(), "ND304 warning: the longest request takes 10 s, but of a grace period"),
        (5, 20, Settings(targets=NODROP), ""),  # (20 - 5) * 2 / 3 = 10
        (5, 30, Settings(longest_request_s=26), "ND304 warning: preStop hook 5 s + longest"),
        (5, 5, Settings(), "ND303 error"),
        (5, 0, Settings(), "ND306 error"),
        (4, 30, Settings(), "ND302 warning"),
        (4, 30, Settings(targets=NODROP), ""),
        (4, 30, Settings(propagation_s=3.5), ""),
    ],
)
def test_hook_and_grace_period(hook: int, grace: int, settings: Settings, expected: str) -> None:
    """S15, S20: everything has to fit into one grace period."""
    lifecycle = {"preStop": {"sleep": {"seconds": hook}}}
    text = told(
        settings,
        container={"lifecycle": lifecycle},
        pod={"terminationGracePeriodSeconds": grace},
    )
    assert text.startswith(expected)
    assert bool(text) is bool(expected)


def test_s9_no_probe_is_judged_by_what_min_ready_seconds_does_where() -> None:
    """S9, S10: nodrop holds traffic back for that long, a cluster doesn't."""
    bare: dict[str, Any] = {"container": {"readinessProbe": None}}
    assert told(**bare).startswith("ND201 error")
    held = {**bare, "spec": {"minReadySeconds": 20}}
    assert told(**held).startswith("ND202 warning: minReadySeconds is 20")
    assert told(Settings(targets=NODROP), **held) == ""


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["sh", "-c", "./migrate && ./server"], "ND401 warning"),
        (["sh", "-c", "./migrate && exec ./server"], ""),
        (["sh", "-c", "trap 'kill $p' TERM; ./server & p=$!; wait"], ""),
        (["bash", "-c", "./server"], "ND401 warning"),
        (["dumb-init", "--", "npm", "run", "start"], "ND402 warning"),
        (["poetry", "run", "gunicorn", "app:app"], ""),
        (["gunicorn", "--graceful-timeout", "25", "app:app"], ""),
        (["gunicorn", "--graceful-timeout", "26", "app:app"], "ND405 warning"),
        (["waitress-serve", "app:app"], "ND404 warning"),
        (["flask", "run"], "ND404 warning"),
        (["python", "manage.py", "runserver"], "ND404 warning"),
        (["httpd", "-DFOREGROUND"], "ND404 warning"),
        (["php-fpm", "-F"], "ND404 info"),
        (["java", "-Dserver.shutdown=immediate", "-jar", "a.jar"], "ND404 warning"),
        (["java", "-jar", "a.jar", "--spring.lifecycle.timeout-per-shutdown-phase=30s"], "ND405"),
        (["./server"], ""),
    ],
)
def test_commands(command: list[str], expected: str) -> None:
    """S12, S13: who gets SIGTERM, and what that program does then."""
    text = told(container={"command": command})
    assert text.startswith(expected)
    assert bool(text) is bool(expected)


@pytest.mark.parametrize(
    ("command", "container", "expected"),
    [
        (["nginx"], {"image": "nginx:1.27"}, ""),
        (["nginx"], {"image": "registry.example/nginx@sha256:0"}, ""),
        (["nginx"], {"image": "registry.example/nginx-site:1"}, "ND404"),
        (
            ["gunicorn"],
            {"env": [{"name": "GUNICORN_CMD_ARGS", "value": "--graceful-timeout 90"}]},
            "ND405",
        ),
        (
            ["dotnet", "a.dll"],
            {"env": [{"name": "DOTNET_SHUTDOWNTIMEOUTSECONDS", "value": "60"}]},
            "ND405",
        ),
    ],
)
def test_commands_beside_image_and_environment(
    command: list[str], container: Obj, expected: str
) -> None:
    assert told(container={"command": command, **container})[:5] == expected


def test_a_start_that_is_known_must_fit_before_liveness_kills() -> None:
    probe = {"httpGet": {"path": "/alive", "port": "http"}}
    container = {"livenessProbe": {**probe, "initialDelaySeconds": 15}}
    assert told(Settings(start_up_s=40), container=container) == ""
    text = told(Settings(start_up_s=41), container=container)
    assert text.startswith("ND206 error: liveness kills container web 40 s after its start")
    assert "failureThreshold: 9" in text
    both = {**container, "startupProbe": probe}
    assert told(Settings(start_up_s=41), container=both) == ""


def test_ports_that_nobody_uses_are_no_users() -> None:
    """A Deployment that has only metrics is judged by no rule about traffic."""
    metrics = {"ports": [{"name": "http-metrics", "containerPort": 9090}], "readinessProbe": None}
    assert told(container={**metrics, "lifecycle": None}) == ""


def test_a_field_is_shown_with_its_nearest_name_and_place() -> None:
    """S15: the seed's own slip, and the right field in the wrong struct."""
    text = told(pod={"terminationGradePeriodSeconds": 60})
    assert "there is no field spec.template.spec.terminationGradePeriodSeconds" in text
    assert 'write "terminationGracePeriodSeconds"' in text
    text = told(container={"terminationGracePeriodSeconds": 60})
    assert text.startswith("ND702 error")
    assert "write it at spec.template.spec.terminationGracePeriodSeconds" in text


def test_fields_of_workloads_that_nodrop_does_not_serve_are_compared_too() -> None:
    obj = {**deployment(pod={"restartPolice": "Always"}).obj, "kind": "DaemonSet"}
    (finding,) = judge([Document(obj, "d.yaml", 1, Path())], Settings())
    assert finding.card.id == "ND701"
    assert finding.subject == "DaemonSet web"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ws", "ND308 warning"), ("grpc", "ND308 info"), ("websocket", "ND308 warning"), ("news", "")],
)
def test_ports_whose_connections_stay_open(name: str, expected: str) -> None:
    ports = [{"name": "http", "containerPort": 80}, {"name": name, "containerPort": 81}]
    text = told(container={"ports": ports})
    assert text.startswith(expected)
    assert bool(text) is bool(expected)
    assert told(container={"ports": ports}, pod={"terminationGracePeriodSeconds": 90}) == ""


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ({"spec": {"selector": None}}, "spec.selector: Required value"),
        ({"spec": {"template": None}}, "spec.template: Required value"),
        ({"container": {"name": None}}, "spec.template.spec.containers[0].name: Required value"),
        ({}, ""),
    ],
)
def test_what_the_api_misses(parts: dict[str, Any], field: str) -> None:
    """The API server's own words: it is the same code."""
    refusals = [line for line in told(**parts).splitlines() if line.startswith("ND704")]
    assert len(refusals) == bool(field)
    assert all(f"the API refuses {field}. add it" in line for line in refusals)
