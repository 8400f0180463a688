"""The environment of a container: envFrom, env, references and service links. Pure."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nodrop.agent.plan.command import expand
from nodrop.agent.plan.resources import resource_value
from nodrop.agent.plan.spec import Container
from nodrop.events import Reason
from nodrop.model.meta import Obj, annotations_of, labels_of

Source = Literal["ConfigMap", "Secret"]
#: Reads a ConfigMap or Secret of the pod's namespace by name; None when there is none.
Lookup = Callable[[Source, str], Obj | None]

#: What container runtimes give to what runs on a terminal.
TERMINAL_ENV = {"TERM": "xterm"}

_LABEL_CHARS = 63
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class ConfigurationError(Exception):
    """A container can't be started as things are; the message says what is missing.

    ``reason`` is that of the Event that tells people.
    """

    def __init__(self, message: str, reason: Reason = Reason.FAILED) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What fieldRef may ask for beside the pod's own metadata."""

    pod_ip: str
    host_ip: str
    node: str
    service_account: str = "default"
    cpus: int = 1
    memory_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Environment:
    """``own``: what the manifest and service links say; ``skipped``: one sentence a source whose
    keys are no names of variables."""

    own: Mapping[str, str]
    skipped: tuple[str, ...] = ()


def container_environment(
    container: Container, pod: Obj, *, facts: PodFacts, lookup: Lookup, services: Iterable[Obj]
) -> Environment:
    """Build the environment; raises ConfigurationError when a needed object or key is missing.

    Order of weight, least first: service links, envFrom in order, env in order. ``$(NAME)`` in a
    value of env refers to what came before it.
    """
    links = service_links(services)
    values: dict[str, str] = {}
    skipped: list[str] = []
    for entry in container.env_from:
        _add_source(values, skipped, entry=entry, pod=pod, lookup=lookup)
    for variable in container.env:
        if variable.get("valueFrom"):
            value = _value_from(variable, container.name, pod=pod, facts=facts, lookup=lookup)
        else:
            value = expand(variable.get("value") or "", {**links, **values})
        if value is not None:
            values[variable["name"]] = value
    return Environment({**links, **values}, tuple(skipped))


def hostname_of(pod: Obj, node: str) -> str:
    """What ``$HOSTNAME`` is: the pod's name, or ``spec.hostname``; that of a hostNetwork pod is the
    node's.

    As upstream cuts it: a label of DNS, so 63 characters, with no ``-`` or ``.`` at the end.
    """
    spec: Obj = pod["spec"]
    if spec.get("hostNetwork"):
        return node
    return str(spec.get("hostname") or pod["metadata"]["name"])[:_LABEL_CHARS].rstrip("-.")


def _add_source(
    values: dict[str, str], skipped: list[str], *, entry: Obj, pod: Obj, lookup: Lookup
) -> None:
    source: Source = "ConfigMap" if entry.get("configMapRef") else "Secret"
    reference: Obj = entry.get("configMapRef") or entry.get("secretRef") or {}
    data = _data(source, reference, lookup)
    prefix = entry.get("prefix") or ""
    wrong = sorted(key for key in data if not _NAME.fullmatch(prefix + key))
    values.update({prefix + key: data[key] for key in data if key not in wrong})
    if wrong:
        kind = "configMap" if source == "ConfigMap" else "secret"
        where = f"{pod['metadata'].get('namespace', '')}/{reference['name']}"
        skipped.append(
            f"Keys [{', '.join(wrong)}] from the EnvFrom {kind} {where} were skipped since they "
            "are considered invalid environment variable names."
        )


def _data(source: Source, reference: Obj, lookup: Lookup) -> Mapping[str, str]:
    """All text of a ConfigMap or Secret; empty when it is optional and missing."""
    found = lookup(source, reference["name"])
    if found is None:
        if reference.get("optional"):
            return {}
        raise ConfigurationError(f'{source.lower()} "{reference["name"]}" not found')
    data: Mapping[str, str] = found.get("data") or {}
    if source == "ConfigMap":
        return data
    return {key: base64.b64decode(value).decode(errors="replace") for key, value in data.items()}


def _value_from(
    variable: Obj, container: str, *, pod: Obj, facts: PodFacts, lookup: Lookup
) -> str | None:
    """The value of ``valueFrom``; None = optional and missing, the variable isn't set."""
    origin: Obj = variable["valueFrom"]
    if field := origin.get("fieldRef"):
        return field_value(field["fieldPath"], pod, facts)
    if reference := origin.get("configMapKeyRef"):
        return _key("ConfigMap", reference, pod=pod, lookup=lookup)
    if reference := origin.get("secretKeyRef"):
        return _key("Secret", reference, pod=pod, lookup=lookup)
    if reference := origin.get("resourceFieldRef"):
        return resource_of(reference, pod, facts, own=container)
    raise ConfigurationError(
        f"env {variable['name']}: valueFrom.{'/'.join(origin)} is not supported by nodrop; "
        "use value, fieldRef, resourceFieldRef, configMapKeyRef or secretKeyRef"
    )


def _key(source: Source, reference: Obj, *, pod: Obj, lookup: Lookup) -> str | None:
    data = _data(source, reference, lookup)
    if (value := data.get(reference["key"])) is not None:
        return value
    if reference.get("optional"):
        return None
    where = f"{pod['metadata'].get('namespace', '')}/{reference['name']}"
    raise ConfigurationError(f"couldn't find key {reference['key']} in {source} {where}")


def field_value(path: str, pod: Obj, facts: PodFacts) -> str:
    """The downward API. Raises ConfigurationError for a path that upstream doesn't know either."""
    meta = pod["metadata"]
    if found := _SUBSCRIPT.fullmatch(path):
        held = labels_of(pod) if found[1] == "labels" else annotations_of(pod)
        return held.get(found[2], "")
    fields = {
        "metadata.name": meta["name"],
        "metadata.namespace": meta.get("namespace", ""),
        "metadata.uid": meta["uid"],
        "spec.nodeName": facts.node,
        "spec.serviceAccountName": facts.service_account,
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
    }
    if path not in fields:
        raise ConfigurationError(f'fieldRef: field label not supported: "{path}"')
    return str(fields[path])


def resource_of(reference: Obj, pod: Obj, facts: PodFacts, *, own: str = "") -> str:
    """What a resourceFieldRef stands for; without a container's name it means ``own``."""
    name, spec = reference.get("containerName") or own, pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        if container["name"] == name:
            try:
                return resource_value(
                    container.get("resources") or {},
                    reference,
                    cpus=facts.cpus,
                    memory_bytes=facts.memory_bytes,
                )
            except KeyError:
                unknown = reference["resource"]
                raise ConfigurationError(
                    f"resourceFieldRef: unsupported container resource: {unknown}"
                ) from None
    raise ConfigurationError(f"resourceFieldRef: container {name} not found")


def service_links(services: Iterable[Obj]) -> dict[str, str]:
    """Upstream's variables for Services that have an address: ``WEB_SERVICE_HOST`` and so on."""
    links: dict[str, str] = {}
    for service in services:
        address = service["spec"].get("clusterIP")
        ports = service["spec"].get("ports") or ()
        if address and address != "None" and ports:
            links.update(_links(service["metadata"]["name"], address, ports))
    return links


def _links(name: str, address: str, ports: Sequence[Obj]) -> dict[str, str]:
    prefix = name.upper().replace("-", "_")
    links = {
        f"{prefix}_SERVICE_HOST": address,
        f"{prefix}_SERVICE_PORT": str(ports[0]["port"]),
    }
    for index, port in enumerate(ports):
        number, protocol = str(port["port"]), (port.get("protocol") or "TCP")
        if port.get("name"):
            links[f"{prefix}_SERVICE_PORT_{port['name'].upper().replace('-', '_')}"] = number
        url = f"{protocol.lower()}://{address}:{number}"
        if index == 0:
            links[f"{prefix}_PORT"] = url
        each = f"{prefix}_PORT_{number}_{protocol.upper()}"
        links.update(
            {
                each: url,
                f"{each}_PROTO": protocol.lower(),
                f"{each}_PORT": number,
                f"{each}_ADDR": address,
            }
        )
    return links
