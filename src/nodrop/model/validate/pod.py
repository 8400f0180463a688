"""Rules for pods and pod templates: containers, volumes, grace periods, and what may change."""

from __future__ import annotations

from collections.abc import Sequence

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.trees import clone
from nodrop.model.validate.causes import (
    MOST_INT32,
    duplicate,
    forbidden,
    invalid,
    one_of,
    required,
)
from nodrop.model.validate.container import (
    host_ports_twice,
    validate_container,
    validate_init_container,
)
from nodrop.model.validate.metadata import validate_labels
from nodrop.model.validate.names import dns_label, dns_subdomain, qualified_name
from nodrop.model.validate.volumes import validate_source

RESTART_POLICIES = ("Always", "OnFailure", "Never")
_DNS_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")
_NOT_SOURCES = ("name",)
UPDATE_RULE = (
    "pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def validate_pod_spec(spec: Obj, path: str) -> list[Cause]:
    """Causes for the spec of a pod or of a pod template."""
    volumes = [volume.get("name", "") for volume in spec.get("volumes") or ()]
    causes = _volumes(spec.get("volumes") or (), f"{path}.volumes")
    causes += _containers(spec, path, volumes)
    causes += one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    causes += one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), _DNS_POLICIES)
    deadline_s = spec.get("activeDeadlineSeconds")
    if deadline_s is not None and not 1 <= deadline_s <= MOST_INT32:
        text = f"must be between 1 and {MOST_INT32}, inclusive"
        causes.append(invalid(f"{path}.activeDeadlineSeconds", deadline_s, text))
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s > MOST_INT32:
        text = f"must be no more than {MOST_INT32}"
        causes.append(invalid(f"{path}.terminationGracePeriodSeconds", grace_s, text))
    causes += validate_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    causes += _names(spec, path)
    return causes


def _names(spec: Obj, path: str) -> list[Cause]:
    causes = []
    for field, check in (
        ("hostname", dns_label),
        ("subdomain", dns_label),
        ("serviceAccountName", dns_subdomain),
        ("nodeName", dns_subdomain),
    ):
        value = spec.get(field)
        if value:
            causes += [invalid(f"{path}.{field}", value, text) for text in check(value)]
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        at, kind = f"{path}.readinessGates[{index}].conditionType", gate.get("conditionType", "")
        causes += [invalid(at, kind, text) for text in qualified_name(kind)]
    return causes


def _containers(spec: Obj, path: str, volumes: Sequence[str]) -> list[Cause]:
    grace_s = spec.get("terminationGracePeriodSeconds")
    regular = spec.get("containers") or ()
    causes = [] if regular else [required(f"{path}.containers")]
    seen: set[str] = set()
    for index, container in enumerate(regular):
        where = f"{path}.containers[{index}]"
        causes += validate_container(container, where, volumes=volumes, grace_s=grace_s)
        causes += _name_twice(container, where, seen)
    for index, container in enumerate(spec.get("initContainers") or ()):
        where = f"{path}.initContainers[{index}]"
        causes += validate_init_container(container, where, volumes=volumes, grace_s=grace_s)
        causes += _name_twice(container, where, seen)
    return causes + host_ports_twice(regular, f"{path}.containers")


def _name_twice(container: Obj, path: str, seen: set[str]) -> list[Cause]:
    name = container.get("name") or ""
    if name and name in seen:
        return [duplicate(f"{path}.name", name)]
    seen.add(name)
    return []


def _volumes(volumes: Sequence[Obj], path: str) -> list[Cause]:
    causes = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        where, name = f"{path}[{index}]", volume.get("name")
        if not name:
            causes.append(required(f"{where}.name"))
        else:
            causes += [invalid(f"{where}.name", name, text) for text in dns_label(name)]
            if name in seen:
                causes.append(duplicate(f"{where}.name", name))
            seen.add(name)
        sources = [field for field in volume if field not in _NOT_SOURCES]
        if not sources:
            causes.append(required(where, "must specify a volume type"))
        causes += [
            forbidden(f"{where}.{field}", "may not specify more than 1 volume type")
            for field in sources[1:]
        ]
        causes += validate_source(volume, where)
    return causes


def validate_pod_update(new: Obj, old: Obj) -> list[Cause]:
    """Causes for a change of a pod's spec: only images and a few numbers may change."""
    causes = []
    for section in ("containers", "initContainers"):
        if len(new.get(section) or ()) != len(old.get(section) or ()):
            text = "pod updates may not add or remove containers"
            causes.append(forbidden(f"spec.{section}", text))
    if causes:
        return causes
    causes += _deadline_update(new, old)
    changed = sorted(_changed_fields(_with_allowed_changes(new, old), old))
    if changed:
        causes.append(forbidden("spec", f"{UPDATE_RULE}; changed: {', '.join(changed)}"))
    return causes


def _deadline_update(new: Obj, old: Obj) -> list[Cause]:
    before, after = old.get("activeDeadlineSeconds"), new.get("activeDeadlineSeconds")
    path = "spec.activeDeadlineSeconds"
    if before is None or before == after:
        return []
    if after is None:
        return [invalid(path, None, "must not update from a positive integer to nil value")]
    if after > before:
        text = f"must be less than or equal to previous value ({before})"
        return [invalid(path, after, text)]
    return []


def _with_allowed_changes(new: Obj, old: Obj) -> Obj:
    """``new`` with everything put back that may change, so that what differs may not."""
    munged: Obj = clone(new)
    for section in ("containers", "initContainers"):
        for container, before in zip(
            munged.get(section) or (), old.get(section) or (), strict=True
        ):
            if container.get("image"):
                container["image"] = before.get("image")
    _put_back(munged, old, "activeDeadlineSeconds")
    before = old.get("tolerations") or []
    if all(toleration in (new.get("tolerations") or ()) for toleration in before):
        _put_back(munged, old, "tolerations")
    gates = old.get("schedulingGates") or []
    if all(gate in gates for gate in new.get("schedulingGates") or ()):
        _put_back(munged, old, "schedulingGates")
    grace = "terminationGracePeriodSeconds"
    if old.get(grace, 0) < 0 and new.get(grace) == 1:
        _put_back(munged, old, grace)
    return munged


def _put_back(spec: Obj, old: Obj, field: str) -> None:
    if field in old:
        spec[field] = old[field]
    else:
        spec.pop(field, None)


def _changed_fields(new: Obj, old: Obj) -> set[str]:
    return {field for field in new.keys() | old.keys() if new.get(field) != old.get(field)}


def missing_command(pod_spec: Obj) -> list[str]:
    """Paths of the commands that are missing, inside the pod spec: ``containers[0].command``.

    The API takes such a container, because an image may bring its own command; a process has
    no image, so the agent can't start it. `nodrop up` and the agent say it with these paths.
    """
    return [
        f"{section}[{index}].command"
        for section in ("initContainers", "containers")
        for index, container in enumerate(pod_spec.get(section) or ())
        if not container.get("command")
    ]
