"""What a rehearsal aims at: which Deployment, through which Service, host and paths. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nodrop.cli.session import USAGE, Failure
from nodrop.model.kinds import DEPLOYMENT
from nodrop.model.meta import Obj, ObjectKey, key_of, labels_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """``host`` and ``path`` are an Ingress rule's; ``by_ingress`` False: the Service itself.

    ``health`` is the readinessProbe's path, for an app that has nothing at ``path``; ``labels``
    are those of its pods, ``pod`` is their spec.
    """

    deployment: ObjectKey
    service: ObjectKey
    port: int
    pod_port: int = 80
    host: str = ""
    path: str = "/"
    by_ingress: bool = False
    health: str = ""
    replicas: int = 1
    grace_s: float = 30.0
    has_pre_stop: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    pod: Obj = field(default_factory=dict)


def aim_at(objects: Sequence[Obj]) -> Aim:
    """The first Deployment that a Service leads to. Raises Failure when there is none."""
    for deployment in _of_kind(objects, "Deployment"):
        for service in _of_kind(objects, "Service"):
            if _selects(service, deployment):
                return _aim(deployment, service, objects)
    raise Failure(
        "there is no Deployment that a Service leads to",
        hint="a rehearsal sends requests through a Service: give manifests that have both",
        code=USAGE,
    )


def _aim(deployment: Obj, service: Obj, objects: Sequence[Obj]) -> Aim:
    pod = deployment["spec"]["template"]["spec"]
    containers = pod.get("containers") or []
    port = (service["spec"].get("ports") or [{"port": 80}])[0]
    host, path, found = _rule_for(service, objects)
    return Aim(
        deployment=key_of(deployment),
        service=key_of(service),
        port=port["port"],
        pod_port=_pod_port(port, containers),
        host=host,
        path=path,
        by_ingress=found,
        health=next(filter(None, map(_health, containers)), ""),
        replicas=int(deployment["spec"].get("replicas", 1)),
        grace_s=float(pod.get("terminationGracePeriodSeconds", 30)),
        has_pre_stop=any((each.get("lifecycle") or {}).get("preStop") for each in containers),
        labels=labels_of(deployment["spec"]["template"]),
        pod=pod,
    )


def in_namespace(objects: Sequence[Obj], namespace: str) -> list[Obj]:
    """The same objects in a namespace of their own, without Ingresses: those would claim hosts
    and paths beside what serves there already."""
    moved = [
        {**obj, "metadata": {**obj["metadata"], "namespace": namespace}}
        for obj in objects
        if obj["kind"] not in ("Ingress", "IngressClass", "Namespace", "Node")
    ]
    metadata = {"name": namespace}
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, *moved]


def same_deployment(aim: Aim, objects: Sequence[Obj]) -> Obj:
    """The Deployment aimed at in the manifests to roll out to. Raises Failure without one."""
    found = {key_of(obj): obj for obj in _of_kind(objects, DEPLOYMENT.kind)}
    if aim.deployment not in found:
        names = ", ".join(key.name for key in found) or "none"
        raise Failure(f"--to has no Deployment {aim.deployment.name}: it holds {names}", code=USAGE)
    return found[aim.deployment]


# Private


def _of_kind(objects: Sequence[Obj], kind: str) -> list[Obj]:
    return [obj for obj in objects if obj["kind"] == kind]


def _selects(service: Obj, deployment: Obj) -> bool:
    selector = (service.get("spec") or {}).get("selector") or {}
    same = service["metadata"].get("namespace") == deployment["metadata"].get("namespace")
    labels = labels_of(deployment["spec"]["template"])
    return same and bool(selector) and selector.items() <= labels.items()


def _rule_for(service: Obj, objects: Sequence[Obj]) -> tuple[str, str, bool]:
    """(host, path, whether an Ingress leads to the Service)."""
    name = service["metadata"]["name"]
    for ingress in _of_kind(objects, "Ingress"):
        spec = ingress.get("spec") or {}
        for rule in spec.get("rules") or ():
            for path in (rule.get("http") or {}).get("paths") or ():
                if _backend(path.get("backend")) == name:
                    host = (rule.get("host") or "").replace("*", "rehearsal")
                    return host, path.get("path") or "/", True
        if _backend(spec.get("defaultBackend")) == name:
            return "", "/", True
    return "", "/", False


def _backend(backend: Obj | None) -> str:
    name: str = ((backend or {}).get("service") or {}).get("name", "")
    return name


def _pod_port(port: Obj, containers: Sequence[Obj]) -> int:
    target = port.get("targetPort") or port["port"]
    if isinstance(target, int):
        return target
    named = (
        each["containerPort"]
        for container in containers
        for each in container.get("ports") or ()
        if each.get("name") == target
    )
    return int(next(named, port["port"]))


def _health(container: Obj) -> str:
    probe = container.get("readinessProbe") or {}
    path: str = (probe.get("httpGet") or {}).get("path") or ""
    return path


def service_url(service: Obj, port: int) -> str:
    """Where a Service answers on this machine, or an empty string."""
    address = str((service.get("spec") or {}).get("clusterIP") or "")
    return f"http://{address}:{port}" if address.startswith("127.") else ""
