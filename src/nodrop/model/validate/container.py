"""Rules for one container: name, image, ports, environment, mounts, probes and hooks."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.quantity import is_quantity
from nodrop.model.validate.causes import (
    duplicate,
    forbidden,
    invalid,
    not_found,
    one_of,
    required,
)
from nodrop.model.validate.metadata import named_twice
from nodrop.model.validate.names import (
    config_key,
    dns_label,
    dns_subdomain,
    port_name,
    port_number,
    variable_name,
)
from nodrop.model.validate.probes import validate_hooks, validate_probes

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_VALUE_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef")
_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_ONE_VALUE_SOURCE = (
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
)
_ONLY_ONE = "may not have more than one field specified at a time"
_QUANTITY = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)


def validate_container(
    container: Obj, path: str, *, volumes: Collection[str], grace_s: int | None
) -> list[Cause]:
    """Causes for a regular container; ``volumes`` are the names its mounts may use."""
    causes = _running(container, path, volumes=volumes, grace_s=grace_s)
    if container.get("restartPolicy"):
        text = "may not be set for non-init containers"
        causes.append(forbidden(f"{path}.restartPolicy", text))
    return causes


def _running(
    container: Obj, path: str, *, volumes: Collection[str], grace_s: int | None
) -> list[Cause]:
    """Causes for a container that stays: a regular one or a sidecar."""
    causes = _common(container, path, volumes)
    if "lifecycle" in container:
        causes += validate_hooks(container["lifecycle"], f"{path}.lifecycle", grace_s)
    causes += validate_probes(container, path)
    return causes


def validate_init_container(
    container: Obj, path: str, *, volumes: Collection[str], grace_s: int | None
) -> list[Cause]:
    """Causes for an init container; only a sidecar may have hooks and probes."""
    if container.get("restartPolicy") == "Always":
        return _running(container, path, volumes=volumes, grace_s=grace_s)
    causes = _common(container, path, volumes)
    if policy := container.get("restartPolicy"):
        causes += one_of(f"{path}.restartPolicy", policy, ("Always",))
    for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(field) is not None:
            text = "may not be set for init containers without restartPolicy=Always"
            causes.append(forbidden(f"{path}.{field}", text))
    return causes


def _common(container: Obj, path: str, volumes: Collection[str]) -> list[Cause]:
    name, image = container.get("name"), container.get("image")
    if name:
        causes = [invalid(f"{path}.name", name, text) for text in dns_label(name)]
    else:
        causes = [required(f"{path}.name")]
    if not image:
        causes.append(required(f"{path}.image"))
    elif image != image.strip():
        text = "must not have leading or trailing whitespace"
        causes.append(invalid(f"{path}.image", image, text))
    policy = container.get("terminationMessagePolicy")
    if policy not in ("File", "FallbackToLogsOnError"):
        text = "must be 'File' or 'FallbackToLogsOnError'"
        causes.append(invalid(f"{path}.terminationMessagePolicy", policy or "", text))
    causes += one_of(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES)
    causes += _ports(container.get("ports") or (), f"{path}.ports")
    causes += _environment(container, path)
    causes += _mounts(container.get("volumeMounts") or (), f"{path}.volumeMounts", volumes)
    causes += _resources(container.get("resources") or {}, f"{path}.resources")
    return causes


def _ports(ports: Sequence[Obj], path: str) -> list[Cause]:
    causes = []
    for index, port in enumerate(ports):
        where, number = f"{path}[{index}]", port.get("containerPort", 0)
        name = port.get("name")
        if name:
            causes += [invalid(f"{where}.name", name, text) for text in port_name(name)]
        if number == 0:
            causes.append(required(f"{where}.containerPort"))
        else:
            at = f"{where}.containerPort"
            causes += [invalid(at, number, text) for text in port_number(number)]
        host_port = port.get("hostPort", 0)
        if host_port:
            at = f"{where}.hostPort"
            causes += [invalid(at, host_port, text) for text in port_number(host_port)]
        causes += one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
    return causes + named_twice(ports, path)


def _environment(container: Obj, path: str) -> list[Cause]:
    causes = []
    for index, variable in enumerate(container.get("env") or ()):
        where = f"{path}.env[{index}]"
        name = variable.get("name")
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid(f"{where}.name", name, text) for text in variable_name(name)]
        source = variable.get("valueFrom")
        if source is not None:
            causes += _value_from(source, f"{where}.valueFrom", has_value=variable.get("value"))
    for index, source in enumerate(container.get("envFrom") or ()):
        causes += _env_from(source, f"{path}.envFrom[{index}]")
    return causes


def _value_from(source: Obj, path: str, *, has_value: object) -> list[Cause]:
    found = [name for name in _VALUE_SOURCES if source.get(name) is not None]
    causes = []
    if "fieldRef" in found:
        causes += _field_ref(source["fieldRef"], f"{path}.fieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in found:
            causes += _key_ref(source[name], f"{path}.{name}")
    if not found:
        causes.append(invalid(path, "", _ONE_VALUE_SOURCE))
    elif has_value:
        causes.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(found) > 1:
        causes.append(invalid(path, "", _ONLY_ONE))
    return causes


def _field_ref(reference: Obj, path: str) -> list[Cause]:
    field = reference.get("fieldPath")
    if not field:
        return [required(f"{path}.fieldPath")]
    subscripted = field.startswith(("metadata.labels['", "metadata.annotations['"))
    if field in _FIELDS or (subscripted and field.endswith("']")):
        return []
    text = f"error converting fieldPath: field label not supported: {field}"
    return [invalid(f"{path}.fieldPath", field, text)]


def _key_ref(reference: Obj, path: str) -> list[Cause]:
    name, key = reference.get("name"), reference.get("key")
    if name:
        causes = [invalid(f"{path}.name", name, text) for text in dns_subdomain(name)]
    else:
        causes = [required(f"{path}.name")]
    if not key:
        return [*causes, required(f"{path}.key")]
    return causes + [invalid(f"{path}.key", key, text) for text in config_key(key)]


def _env_from(source: Obj, path: str) -> list[Cause]:
    causes = []
    prefix = source.get("prefix")
    if prefix:
        causes += [invalid(f"{path}.prefix", prefix, text) for text in variable_name(prefix)]
    found = [name for name in ("configMapRef", "secretRef") if source.get(name) is not None]
    for name in found:
        target = source[name].get("name")
        at = f"{path}.{name}.name"
        if not target:
            causes.append(required(at))
        else:
            causes += [invalid(at, target, text) for text in dns_subdomain(target)]
    if not found:
        causes.append(invalid(path, "", "must specify one of: `configMapRef` or `secretRef`"))
    elif len(found) > 1:
        causes.append(invalid(path, "", _ONLY_ONE))
    return causes


def _mounts(mounts: Sequence[Obj], path: str, volumes: Collection[str]) -> list[Cause]:
    causes = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        where, name, target = f"{path}[{index}]", mount.get("name"), mount.get("mountPath")
        if not name:
            causes.append(required(f"{where}.name"))
        elif name not in volumes:
            causes.append(not_found(f"{where}.name", name))
        if not target:
            causes.append(required(f"{where}.mountPath"))
        elif target in seen:
            causes.append(invalid(f"{where}.mountPath", target, "must be unique"))
        seen.add(target or "")
        causes += _sub_path(mount.get("subPath") or "", f"{where}.subPath")
        expression = mount.get("subPathExpr") or ""
        causes += _sub_path(expression, f"{where}.subPathExpr")
        if expression and mount.get("subPath"):
            text = "subPathExpr and subPath are mutually exclusive"
            causes.append(invalid(f"{where}.subPathExpr", expression, text))
    return causes


def _sub_path(path_inside: str, path: str) -> list[Cause]:
    if path_inside.startswith("/"):
        return [invalid(path, path_inside, "must be a relative path")]
    if ".." in path_inside.split("/"):
        return [invalid(path, path_inside, "must not contain '..'")]
    return []


def _resources(resources: Obj, path: str) -> list[Cause]:
    causes = []
    for section in ("limits", "requests"):
        for name, amount in (resources.get(section) or {}).items():
            if not is_quantity(amount):
                causes.append(invalid(f"{path}.{section}[{name}]", amount, _QUANTITY))
    return causes


def host_ports_twice(containers: Sequence[Obj], path: str) -> list[Cause]:
    """Duplicate causes for host ports that two containers of a pod claim."""
    seen: set[tuple[str, str, int]] = set()
    causes = []
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            claim = (port.get("protocol", ""), port.get("hostIP", ""), port["hostPort"])
            if claim in seen:
                at = f"{path}[{index}].ports[{number}].hostPort"
                causes.append(duplicate(at, "/".join(map(str, claim))))
            seen.add(claim)
    return causes
