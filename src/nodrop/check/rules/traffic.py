"""ND5: whether selectors, Services and Ingresses lead to pods. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.bundle import name_of, namespace_of, selector_of
from nodrop.check.finding import Hit
from nodrop.check.position import Path
from nodrop.check.routes import DEFAULT, Claim, claim_of
from nodrop.check.rules.case import Case
from nodrop.check.source import Document
from nodrop.check.views import dig, mapping, mappings, string_map, text
from nodrop.model.meta import Obj

_SELECTING = {"Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"}


def selector_mismatch(case: Case) -> Iterator[Hit]:
    for one in case.bundle.workloads:
        selector = string_map(dig(one.obj, "spec", "selector", "matchLabels"))
        missing = sorted(selector.items() - one.labels.items())
        if one.kind in _SELECTING and missing:
            yield Hit(
                document=one.document,
                path=("spec", "selector", "matchLabels", missing[0][0]),
                message=f"the selector asks for {_shown(dict(missing))}, which the pods' labels "
                f"({_shown(one.labels) or 'none'}) don't have; the API refuses it",
                mend="give spec.template.metadata.labels every label of the selector",
            )


def service_selects_nothing(case: Case) -> Iterator[Hit]:
    for service in case.bundle.services:
        selector = selector_of(service)
        if not selector or case.bundle.selected_by(service):
            continue
        near = [one for one in case.bundle.workloads if one.namespace == namespace_of(service.obj)]
        if not near and not case.bundle.complete:
            continue
        best = max(near, key=lambda one: len(selector.items() & one.labels.items()), default=None)
        wrong = _shown(dict(selector.items() - best.labels.items())) if best else ""
        nearest = f" ({best.kind} {best.name} lacks {wrong})" if best else ""
        yield Hit(
            document=service,
            path=("spec", "selector"),
            message=f"no pod has the labels {_shown(selector)}: requests to Service "
            f"{name_of(service.obj)} are refused{nearest}",
            mend="let the selector and the labels of the pod template agree",
        )


def target_port_missing(case: Case) -> Iterator[Hit]:
    for service in case.bundle.services:
        selected = case.bundle.selected_by(service)
        declared = [
            port for one in selected for container in one.pod.everyone for port in container.ports
        ]
        names = {port.name for port in declared if port.name}
        numbers = {port.number for port in declared}
        for index, port in mappings(dig(service.obj, "spec", "ports")) if selected else ():
            target = port.get("targetPort") or port.get("port")
            named = isinstance(target, str) and not target.isdecimal()
            if (named and target in names) or (not named and _as_number(target) in numbers):
                continue
            if not named and not declared:
                continue  # ports need not be declared, and here nobody does
            yield Hit(
                document=service,
                path=("spec", "ports", index, "targetPort" if "targetPort" in port else "port"),
                message=f"targetPort {target} is declared by no container of "
                f"{selected[0].kind} {selected[0].name} (its ports: "
                f"{_ports(names, numbers)})",
                mend="send to a port that a container has",
                level=None if named else "warning",
            )


def ingress_backend_missing(case: Case) -> Iterator[Hit]:
    for ingress in case.bundle.of_kind("Ingress"):
        namespace = namespace_of(ingress.obj)
        near = {
            name_of(one.obj): one
            for one in case.bundle.services
            if namespace_of(one.obj) == namespace
        }
        if not near and not case.bundle.complete:
            continue
        for path, backend in backends_of(ingress.obj):
            name = text(backend.get("name"))
            if name not in near:
                yield Hit(
                    document=ingress,
                    path=(*path, "name"),
                    message=f'there is no Service "{name}" in namespace {namespace}, so its '
                    "requests are answered with an error "
                    f"(Services: {', '.join(sorted(near)) or 'none'})",
                    mend="name a Service of the same namespace",
                )
            elif missing := _missing_port(backend, near[name]):
                yield Hit(
                    document=ingress,
                    path=(*path, "port"),
                    message=missing,
                    mend="ask for one of its ports, by name or number (port, not targetPort)",
                )


def publishes_not_ready(case: Case) -> Iterator[Hit]:
    for workload in case.bundle.serving:
        for service in case.bundle.services_of(workload):
            headless = text(dig(service.obj, "spec", "clusterIP")) == "None"
            if headless or dig(service.obj, "spec", "publishNotReadyAddresses") is not True:
                continue
            yield Hit(
                document=service,
                path=("spec", "publishNotReadyAddresses"),
                message=f"Service {name_of(service.obj)} sends requests to pods that are not ready "
                "yet and to those that are ending: readiness has no effect",
                mend="leave publishNotReadyAddresses to headless Services for discovery",
            )


def shadowed_path(case: Case) -> Iterator[Hit]:
    owners: dict[tuple[str, Claim], Document] = {}
    for ingress in case.bundle.of_kind("Ingress"):
        class_name = text(dig(ingress.obj, "spec", "ingressClassName"))
        for path, claim in _claims(ingress):
            owner = owners.setdefault((class_name, claim), ingress)
            same = (name_of(owner.obj), namespace_of(owner.obj)) == (
                name_of(ingress.obj),
                namespace_of(ingress.obj),
            )  # another version of it, in another file
            if not same and not _is_canary(ingress):
                yield Hit(
                    document=ingress,
                    path=path,
                    message=f"{'the default backend' if claim == DEFAULT else claim} is claimed by "
                    f"Ingress {name_of(owner.obj)} too: only one of them gets its requests",
                    mend="give each host and path to one Ingress",
                )


RULES = {
    "ND501": selector_mismatch,
    "ND502": service_selects_nothing,
    "ND503": target_port_missing,
    "ND504": ingress_backend_missing,
    "ND505": publishes_not_ready,
    "ND506": shadowed_path,
}


def backends_of(ingress: Obj) -> Iterator[tuple[Path, Obj]]:
    """Every ``service`` backend with its path."""
    if service := dig(ingress, "spec", "defaultBackend", "service"):
        yield ("spec", "defaultBackend", "service"), mapping(service)
    for path, one in _paths(ingress):
        if service := dig(one, "backend", "service"):
            yield (*path, "backend", "service"), mapping(service)


# Private


def _paths(ingress: Obj) -> Iterator[tuple[Path, Obj]]:
    for number, rule in mappings(dig(ingress, "spec", "rules")):
        for index, one in mappings(dig(rule, "http", "paths")):
            yield ("spec", "rules", number, "http", "paths", index), one


def _missing_port(backend: Obj, service: Document) -> str:
    """What is wrong with the port that a backend asks for, or nothing."""
    asked = mapping(backend.get("port"))
    wanted = asked.get("name") or asked.get("number")
    ports = [port for _, port in mappings(dig(service.obj, "spec", "ports"))]
    if text(dig(service.obj, "spec", "type")) == "ExternalName":
        return ""  # it has no ports of its own
    if wanted is None or any(wanted in (port.get("name"), port.get("port")) for port in ports):
        return ""
    known = ", ".join(_port_name(port) for port in ports) or "none"
    return f'Service "{name_of(service.obj)}" has no port {wanted} (its ports: {known})'


def _claims(ingress: Document) -> Iterator[tuple[Path, Claim]]:
    if dig(ingress.obj, "spec", "defaultBackend"):
        yield ("spec", "defaultBackend"), DEFAULT
    for number, rule in mappings(dig(ingress.obj, "spec", "rules")):
        for index, one in mappings(dig(rule, "http", "paths")):
            path: Path = ("spec", "rules", number, "http", "paths", index)
            yield path, claim_of(text(rule.get("host")), {**one, "path": text(one.get("path"))})


def _is_canary(ingress: Document) -> bool:
    annotations = mapping(dig(ingress.obj, "metadata", "annotations"))
    return any(str(key).rpartition("/")[2] == "canary" for key in annotations)


def _shown(labels: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _as_number(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isdecimal() else value


def _ports(names: set[str], numbers: set[int]) -> str:
    return ", ".join([*sorted(names), *map(str, sorted(numbers))]) or "none"


def _port_name(port: Obj) -> str:
    found = [str(port[key]) for key in ("name", "port") if port.get(key) is not None]
    return " = ".join(found)
