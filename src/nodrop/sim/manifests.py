"""The objects of a scenario as a user would write them; pure."""

from __future__ import annotations

from collections.abc import Iterable

from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj, ObjectKey
from nodrop.sim.prober import ALIVE, HOOK, READY
from nodrop.sim.scenario import Scenario, Strategy, Version

NAMESPACE = "default"
#: The Deployment and Service of a scenario, and of the one beside it.
WEB, API = "web", "api"
PORT = 8080
INIT, SIDECAR = "init", "sidecar"


def stories(scenario: Scenario) -> dict[str, Scenario]:
    """What happens to each Deployment, by its name."""
    beside = {} if scenario.beside is None else {API: scenario.beside}
    return {WEB: scenario, **beside}


def deployment_of(name: str) -> str:
    """Whose a Deployment, ReplicaSet or Pod of this name is."""
    return name.partition("-")[0]


def key_of(name: str) -> ObjectKey:
    return ObjectKey(DEPLOYMENT, NAMESPACE, name)


def deployment(scenario: Scenario, name: str) -> Obj:
    """The Deployment as it is created."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": scenario.replicas,
            "selector": {"matchLabels": _labels(name)},
            "template": template(scenario, name, 0),
            **strategy_fields(scenario.strategies[0]),
        },
    }


def strategy_fields(strategy: Strategy) -> Obj:
    """The fields of a Deployment's spec that say how it rolls."""
    rolling = {"maxSurge": strategy.surge, "maxUnavailable": strategy.unavailable}
    return {
        "minReadySeconds": strategy.min_ready_s,
        "progressDeadlineSeconds": strategy.deadline_s,
        "strategy": {"type": "Recreate"}
        if strategy.recreate
        else {"type": "RollingUpdate", "rollingUpdate": rolling},
    }


def template(scenario: Scenario, name: str, number: int) -> Obj:
    """The pod template of a version; its number is the app's first argument."""
    version = scenario.versions[number]
    container: Obj = {
        "name": "app",
        "image": f"app:v{number}",
        "command": ["/app", str(number)],
        "ports": [{"name": "http", "containerPort": PORT}],
        **_probes(version),
    }
    if hooks := _hooks(version):
        container["lifecycle"] = hooks
    spec: Obj = {"containers": [container], "terminationGracePeriodSeconds": version.grace_s}
    if before := _before(version, number):
        spec["initContainers"] = before
    return {"metadata": {"labels": _labels(name)}, "spec": spec}


def _before(version: Version, number: int) -> list[Obj]:
    """The sidecar first, so that it is the last to be ended."""
    image, found = f"app:v{number}", []
    if version.sidecar:
        command = ["/sidecar", str(number)]
        found.append(
            {"name": SIDECAR, "image": image, "command": command, "restartPolicy": "Always"}
        )
    if version.init_s:
        found.append({"name": INIT, "image": image, "command": ["/init", str(number)]})
    return found


def budget(scenario: Scenario, name: str) -> Obj:
    """The PodDisruptionBudget of the Deployment's pods."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "minAvailable": scenario.min_available,
            "selector": {"matchLabels": _labels(name)},
        },
    }


def service(name: str) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": _labels(name), "ports": [{"port": 80, "targetPort": "http"}]},
    }


def ingress(names: Iterable[str]) -> Obj:
    """One for all: a path for each Service, and the first has all the rest."""
    paths = [
        {
            "path": "/" if name == WEB else f"/{name}",
            "pathType": "Prefix",
            "backend": {"service": {"name": name, "port": {"number": 80}}},
        }
        for name in names
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": WEB, "namespace": NAMESPACE},
        "spec": {"rules": [{"http": {"paths": paths}}]},
    }


# Private


def _labels(name: str) -> Obj:
    return {"app": name}


def _probes(version: Version) -> Obj:
    wanted = {
        "readinessProbe": (READY, version.readiness_period_s, 2),
        "livenessProbe": (ALIVE, version.liveness_period_s, 3),
        "startupProbe": (READY, version.startup_period_s, 30),
    }
    return {
        name: {
            "httpGet": {"path": path, "port": "http"},
            "periodSeconds": period_s,
            "failureThreshold": failures,
        }
        for name, (path, period_s, failures) in wanted.items()
        if period_s
    }


def _hooks(version: Version) -> Obj:
    hooks: Obj = {}
    if version.pre_stop == "sleep":
        hooks["preStop"] = {"sleep": {"seconds": version.pre_stop_s}}
    elif version.pre_stop == "exec":
        hooks["preStop"] = {"exec": {"command": ["pre-stop"]}}
    elif version.pre_stop == "http":
        hooks["preStop"] = {"httpGet": {"path": HOOK, "port": "http"}}
    if version.post_start:
        hooks["postStart"] = {"exec": {"command": ["post-start"]}}
    return hooks
