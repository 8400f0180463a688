"""Rules for what is written to /status: others read it as we do, so it must be readable."""

from __future__ import annotations

from nodrop.model.errors import Cause
from nodrop.model.meta import Obj
from nodrop.model.validate.causes import invalid, non_negative, one_of, required
from nodrop.model.validate.metadata import validate_annotations
from nodrop.model.validate.names import is_ip

_CONDITION = ("False", "True", "Unknown")
_PHASES = ("Failed", "Pending", "Running", "Succeeded", "Unknown")
_MUST_BE_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_SECTIONS = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
_COUNTERS = {
    "availableReplicas",
    "collisionCount",
    "currentHealthy",
    "desiredHealthy",
    "disruptionsAllowed",
    "expectedPods",
    "fullyLabeledReplicas",
    "observedGeneration",
    "readyReplicas",
    "replicas",
    "terminatingReplicas",
    "unavailableReplicas",
    "updatedReplicas",
}


def validate_status(obj: Obj) -> list[Cause]:
    """Causes for the status of an object of any kind (with its types right)."""
    status = obj.get("status") or {}
    causes = validate_annotations(obj["metadata"].get("annotations"), "metadata.annotations")
    for field in sorted(_COUNTERS & status.keys()):
        causes += non_negative(f"status.{field}", status.get(field))
    for index, condition in enumerate(status.get("conditions") or ()):
        path = f"status.conditions[{index}]"
        if not condition.get("type"):
            causes.append(required(f"{path}.type"))
        causes += one_of(f"{path}.status", condition.get("status"), _CONDITION)
    return causes + (_pod(status) if obj["kind"] == "Pod" else [])


def _pod(status: Obj) -> list[Cause]:
    causes = []
    if status.get("phase"):
        causes += one_of("status.phase", status["phase"], _PHASES)
    for field in ("podIP", "hostIP"):
        addresses = {f"status.{field}": status.get(field)}
        for index, entry in enumerate(status.get(f"{field}s") or ()):
            addresses[f"status.{field}s[{index}].ip"] = entry.get("ip")
        causes += [
            invalid(path, address, _MUST_BE_IP)
            for path, address in addresses.items()
            if address and not is_ip(address)
        ]
    for section in _SECTIONS:
        for index, container in enumerate(status.get(section) or ()):
            path = f"status.{section}[{index}]"
            if not container.get("name"):
                causes.append(required(f"{path}.name"))
            causes += non_negative(f"{path}.restartCount", container.get("restartCount"))
    return causes
