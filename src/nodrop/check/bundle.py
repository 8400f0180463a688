"""All objects of a check at once, so that rules see how they belong together. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeGuard

from nodrop.check.position import Path
from nodrop.check.source import Document
from nodrop.check.views import Container, Pod, dig, mapping, mappings, string_map, text, whole
from nodrop.model.intstr import Fenceposts, resolve, resolve_fenceposts
from nodrop.model.meta import Obj

_TEMPLATE: Path = ("spec", "template", "spec")
_POD_PATHS: dict[str, Path] = {
    "Pod": ("spec",),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_LONG_RUNNING = {"Deployment", "StatefulSet", "DaemonSet"}
#: Ports that carry no users' requests: a pod that has only these serves nobody.
_BYSTANDERS = ("metric", "health", "probe", "prometheus", "pprof", "profil", "debug", "webhook")


@dataclass(frozen=True)
class Workload:
    """An object that makes pods (or is one)."""

    document: Document
    pod: Pod

    @property
    def obj(self) -> Obj:
        return self.document.obj

    @property
    def kind(self) -> str:
        return text(self.obj.get("kind"))

    @property
    def name(self) -> str:
        return name_of(self.obj)

    @property
    def namespace(self) -> str:
        return namespace_of(self.obj)

    @property
    def is_deployment(self) -> bool:
        return self.kind == "Deployment" and text(self.obj.get("apiVersion")).startswith("apps/")

    @cached_property
    def labels(self) -> dict[str, str]:
        """Those of its pods."""
        holder: object = self.obj
        for step in self.pod.path[:-1]:
            holder = dig(holder, str(step))
        return string_map(dig(holder, "metadata", "labels"))

    @property
    def replicas(self) -> int:
        return max(0, whole(dig(self.obj, "spec", "replicas"), 1))

    @property
    def strategy(self) -> str:
        return text(dig(self.obj, "spec", "strategy", "type")) or "RollingUpdate"

    @property
    def raw_surge(self) -> object:
        return self._rolling("maxSurge")

    @property
    def raw_unavailable(self) -> object:
        return self._rolling("maxUnavailable")

    def fenceposts(self, replicas: int) -> Fenceposts | None:
        """How many pods a rolling update adds and misses; None where that can't be read."""
        return fenceposts(self.raw_surge, self.raw_unavailable, replicas)

    @property
    def rolls(self) -> bool:
        return self.is_deployment and self.strategy == "RollingUpdate"

    def _rolling(self, name: str) -> object:
        found = dig(self.obj, "spec", "strategy", "rollingUpdate", name)
        return "25%" if found is None else found


def fenceposts(surge: object, unavailable: object, replicas: int) -> Fenceposts | None:
    if is_count(surge) and is_count(unavailable):
        return resolve_fenceposts(surge, unavailable, replicas)
    return None


def is_count(value: object) -> TypeGuard[int | str]:
    """Whether ``value`` is what maxSurge and the like may be."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        return False
    try:
        return resolve(value, 1, "up") >= 0
    except ValueError:
        return False


#: Workloads by (namespace, label, value).
Labelled = dict[tuple[str, str, str], list[Workload]]


@dataclass(frozen=True)
class Bundle:
    """The objects of all files, by what they are.

    ``complete`` means that nothing exists beside them: what is not here is missing.
    """

    documents: Sequence[Document]
    complete: bool = False
    workloads: tuple[Workload, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "workloads", tuple(_workloads(self.documents)))

    def of_kind(self, kind: str) -> list[Document]:
        return self._by_kind.get(kind, [])

    @cached_property
    def services(self) -> list[Document]:
        return self.of_kind("Service")

    @cached_property
    def deployments(self) -> list[Workload]:
        return [one for one in self.workloads if one.is_deployment]

    @cached_property
    def serving(self) -> list[Workload]:
        """What runs on and gets users' requests: a rollout of it could lose some."""
        return [one for one in self.workloads if self._serves(one)]

    def services_of(self, workload: Workload) -> list[Document]:
        return self._services[id(workload)]

    def selected_by(self, service: Document) -> list[Workload]:
        return selected(service, self.labelled)

    @cached_property
    def labelled(self) -> Labelled:
        """The workloads by the labels of their pods."""
        found: Labelled = {}
        for one in self.workloads:
            for label in one.labels.items():
                found.setdefault((one.namespace, *label), []).append(one)
        return found

    def serving_containers(self, workload: Workload) -> list[Container]:
        """The containers that requests go to: by a Service's target, else by their ports."""
        containers = list(workload.pod.containers)
        targets = {target for one in self.services_of(workload) for target in targets_of(one)}
        found = [
            one
            for one in containers
            if targets & {value for port in one.ports for value in (port.name, port.number)}
        ]
        return found or [one for one in containers if _has_users(one)] or containers[:1]

    def autoscaler_of(self, workload: Workload) -> Document | None:
        return self._autoscalers.get((workload.namespace, workload.kind, workload.name))

    def size_of(self, workload: Workload) -> int:
        """Its replicas, or an autoscaler's minimum where the manifest leaves them out."""
        scaler = self.autoscaler_of(workload)
        return smallest_of(scaler) if scaler and self.floats(workload) else workload.replicas

    def floats(self, workload: Workload) -> bool:
        """Whether an autoscaler alone decides on its size (then ND603 judges the minimum)."""
        given = dig(workload.obj, "spec", "replicas") is not None
        return not given and self.autoscaler_of(workload) is not None

    def _serves(self, workload: Workload) -> bool:
        if workload.kind not in _LONG_RUNNING or not workload.pod.containers:
            return False
        services = [one for one in self.services_of(workload) if _routes(one)]
        if services or workload.kind != "Deployment":
            return bool(services)
        near = workload.namespace in self._namespaces_with_services
        return not near and any(_has_users(one) for one in workload.pod.containers)

    @cached_property
    def _by_kind(self) -> dict[str, list[Document]]:
        found: dict[str, list[Document]] = {}
        for one in self.documents:
            found.setdefault(text(one.obj.get("kind")), []).append(one)
        return found

    @cached_property
    def _namespaces_with_services(self) -> set[str]:
        return {namespace_of(one.obj) for one in self.services}

    @cached_property
    def _services(self) -> dict[int, list[Document]]:
        found: dict[int, list[Document]] = {id(one): [] for one in self.workloads}
        for service in self.services:
            for one in self.selected_by(service):
                found[id(one)].append(service)
        return found

    @cached_property
    def _autoscalers(self) -> dict[tuple[str, str, str], Document]:
        found: dict[tuple[str, str, str], Document] = {}
        for one in self.of_kind("HorizontalPodAutoscaler"):
            target = mapping(dig(one.obj, "spec", "scaleTargetRef"))
            key = namespace_of(one.obj), text(target.get("kind")), text(target.get("name"))
            found.setdefault(key, one)
        return found


def name_of(obj: Obj) -> str:
    return text(mapping(obj.get("metadata")).get("name"))


def namespace_of(obj: Obj) -> str:
    return text(mapping(obj.get("metadata")).get("namespace")) or "default"


def selector_of(service: Document) -> dict[str, str]:
    return string_map(dig(service.obj, "spec", "selector"))


def selected(service: Document, labelled: Labelled) -> list[Workload]:
    """What a Service selects: those with its rarest label, as far as they have the others."""
    selector, namespace = selector_of(service), namespace_of(service.obj)
    near = [labelled.get((namespace, *label), []) for label in selector.items()]
    rarest = min(near, key=len, default=[])
    return [one for one in rarest if selector.items() <= one.labels.items()]


def targets_of(service: Document) -> set[object]:
    """The port names and numbers that a Service sends to."""
    found: set[object] = set()
    for _, port in mappings(dig(service.obj, "spec", "ports")):
        target = port.get("targetPort") or port.get("port")
        found.add(int(target) if isinstance(target, str) and target.isdecimal() else str_or(target))
    return found - {None}


def str_or(value: object) -> str | int | None:
    return value if isinstance(value, str | int) else None


def smallest_of(autoscaler: Document) -> int:
    return max(1, whole(dig(autoscaler.obj, "spec", "minReplicas"), 1))


# Private


def _workloads(documents: Sequence[Document]) -> Iterator[Workload]:
    for document in documents:
        path = _POD_PATHS.get(text(document.obj.get("kind")), _TEMPLATE)
        spec = dig(document.obj, *map(str, path))
        if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
            yield Workload(document, Pod(path, spec))


def _is_bystander(name: str) -> bool:
    return any(word in name.lower() for word in _BYSTANDERS)


def _has_users(container: Container) -> bool:
    return any(not _is_bystander(port.name) for port in container.ports)


def _routes(service: Document) -> bool:
    """Whether a Service spreads users' requests: not a headless one, not one for metrics only."""
    if text(dig(service.obj, "spec", "clusterIP")) == "None":
        return False
    ports = [port for _, port in mappings(dig(service.obj, "spec", "ports"))]
    return any(not _is_bystander(text(port.get("name"))) for port in ports)
