"""The services that are measured: a Deployment, its Service and an Ingress for every host. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nodrop.model.meta import Obj

HELLO = Path(__file__).parents[1] / "examples" / "hello" / "app.py"

#: What a light backend runs: HAProxy itself, which answers every request by a constant.
CONSTANT = """\
global
  nbthread 1
  maxconn 2000
defaults
  mode http
  timeout client 60s
  timeout http-request 30s
  timeout http-keep-alive 60s
frontend all
  bind 0.0.0.0:8080
  http-request return status 200 content-type text/plain string "hello"
"""


def service(
    name: str,
    command: Sequence[str],
    *,
    replicas: int,
    version: str = "v1",
    env: Mapping[str, str] | None = None,
    pod: Mapping[str, Any] | None = None,
    strategy: Mapping[str, Any] | None = None,
) -> list[Obj]:
    """A Deployment of ``command`` with a readiness probe every second, reached at every host."""
    labels = {"app": name}
    container = {
        "name": "app",
        "image": f"{name}:{version}",
        "command": list(command),
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "VERSION", "value": version},
            *({"name": key, "value": value} for key, value in (env or {}).items()),
        ],
        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 1},
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": dict(strategy or {})},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container], **(pod or {})},
            },
        },
    }
    return [deployment, _service(name, labels), ingress(name)]


def hello(replicas: int, *, version: str = "v1", **more: Any) -> list[Obj]:
    """The example's application."""
    return service(
        "hello", (sys.executable, str(HELLO)), replicas=replicas, version=version, **more
    )


def constant(binary: Path, config: Path, *, replicas: int) -> list[Obj]:
    """Pods that cost next to nothing: HAProxy with CONSTANT, which must stand in ``config``."""
    return service("constant", (str(binary), "-db", "-f", str(config)), replicas=replicas)


def _service(name: str, labels: Mapping[str, str]) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": dict(labels),
            "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
        },
    }


def ingress(name: str) -> Obj:
    """Every host and path to a Service's port ``http``."""
    backend = {"service": {"name": name, "port": {"name": "http"}}}
    path = {"path": "/", "pathType": "Prefix", "backend": backend}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"rules": [{"http": {"paths": [path]}}]},
    }
