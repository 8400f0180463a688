"""What the soak deploys: kinds of applications as one Deployment with Service and Ingress. Pure."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.manifests import ingress, service
from nodrop.model.meta import Obj

NAME = "soak"
REPLICAS = 3
APP = Path(__file__).with_name("soak_app.py")
#: Port of the container and of the Service, by name.
PORTS = {"http": (8080, 80), "tcp": (9000, 9000), "grpc": (50051, 50051)}


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of application. ``closes``: it ends its streams well, if it is given the time."""

    name: str
    env: Mapping[str, str]
    closes: bool = True
    grace_s: int = 30


KINDS = (
    Kind("graceful", {}),
    Kind("exits", {"ON_SIGTERM": "exit"}, closes=False),
    Kind("ignores", {"ON_SIGTERM": "ignore"}, closes=False, grace_s=6),
    Kind("starts-slowly", {"START_S": "2"}),
    Kind("answers-slowly", {"ANSWER_S": "0.05"}),
)


def kind_of(version: str) -> Kind | None:
    """The kind that a version such as ``v7-exits`` is of."""
    name = version.partition("-")[2]
    return next((kind for kind in KINDS if kind.name == name), None)


def objects(kind: Kind, number: int, *, drain: Mapping[str, str] | None = None) -> list[Obj]:
    """The ``number``-th version. ``drain``: annotations of the pods."""
    ports = {f"{name.upper()}_PORT": str(port) for name, (port, _) in PORTS.items()}
    env = {**ports, "PORT": ports["HTTP_PORT"], **kind.env}
    deployment, *_ = service(
        NAME,
        (sys.executable, str(APP)),
        replicas=REPLICAS,
        version=f"v{number}-{kind.name}",
        env=env,
        pod={"terminationGracePeriodSeconds": kind.grace_s},
        strategy={"maxSurge": 2, "maxUnavailable": 0},
    )
    template = deployment["spec"]["template"]
    template["metadata"]["annotations"] = dict(drain or {})
    container = template["spec"]["containers"][0]
    container["ports"] = [
        {"name": name, "containerPort": port} for name, (port, _) in PORTS.items()
    ]
    return [deployment, _service(), _ingress()]


def _service() -> Obj:
    ports = [{"name": name, "port": port, "targetPort": name} for name, (_, port) in PORTS.items()]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "namespace": "default"},
        "spec": {"selector": {"app": NAME}, "ports": ports},
    }


def _ingress() -> Obj:
    """Every host: gRPC by its path, all else by HTTP."""
    made = ingress(NAME)
    backend = {"service": {"name": NAME, "port": {"name": "grpc"}}}
    grpc = {"path": "/soak.Soak", "pathType": "Prefix", "backend": backend}
    made["spec"]["rules"][0]["http"]["paths"].append(grpc)
    return made
