"""Defaults inside a pod: spec, containers, probes, hooks, volumes. They write in place."""

from __future__ import annotations

from nodrop.model.meta import Obj

GRACE_PERIOD_S = 30
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_NUMBERS = (
    ("timeoutSeconds", 1),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("failureThreshold", 3),
)
_FILE_MODE = 0o644
_MODED_SOURCES = ("secret", "configMap", "downwardAPI", "projected")


def default_pod(obj: Obj) -> None:
    """What a Pod gets beyond what a pod template gets: service links, requests from limits."""
    spec = obj.setdefault("spec", {})
    default_pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        limits = container["resources"].get("limits")
        if limits:
            container["resources"]["requests"] = {
                **limits,
                **(container["resources"].get("requests") or {}),
            }


def default_pod_spec(spec: Obj) -> None:
    """Fill in the defaults of a pod's spec, or of a template's, in place."""
    if not spec.get("restartPolicy"):
        spec["restartPolicy"] = "Always"
    spec.setdefault("terminationGracePeriodSeconds", GRACE_PERIOD_S)
    grace_s = spec["terminationGracePeriodSeconds"]
    if isinstance(grace_s, int) and grace_s < 0:
        spec["terminationGracePeriodSeconds"] = 1
    if not spec.get("dnsPolicy"):
        spec["dnsPolicy"] = "ClusterFirst"
    spec.setdefault("securityContext", {})
    if not spec.get("schedulerName"):
        spec["schedulerName"] = "default-scheduler"
    _mirror_service_account(spec)
    host_network = spec.get("hostNetwork", False)
    for section in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(section) or ():
            _container(container, host_network=host_network)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _mirror_service_account(spec: Obj) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; the API shows both."""
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account


def _container(container: Obj, *, host_network: bool) -> None:
    container.setdefault("resources", {})
    if not container.get("terminationMessagePath"):
        container["terminationMessagePath"] = "/dev/termination-log"
    if not container.get("terminationMessagePolicy"):
        container["terminationMessagePolicy"] = "File"
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = pull_policy(container.get("image", ""))
    for port in container.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if host_network and not port.get("hostPort") and port.get("containerPort"):
            port["hostPort"] = port["containerPort"]
    for variable in container.get("env") or ():
        _field_ref((variable.get("valueFrom") or {}).get("fieldRef"))
    for name in _PROBES:
        if name in container:
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook)


def pull_policy(image: str) -> str:
    """Always for the tag ``latest`` or none, else IfNotPresent; a digest counts as a tag.

    The colon of a registry's port is no tag: ``registry:5000/app`` has none.
    """
    if "@" in image:
        return "IfNotPresent"
    _, _, tag = image.rpartition("/")[2].partition(":")
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Obj) -> None:
    for field, value in _PROBE_NUMBERS:
        if not probe.get(field):
            probe[field] = value
    _http_get(probe)
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _http_get(handler: Obj) -> None:
    action = handler.get("httpGet")
    if action is not None:
        if not action.get("path"):
            action["path"] = "/"
        if not action.get("scheme"):
            action["scheme"] = "HTTP"


def _field_ref(reference: Obj | None) -> None:
    if reference is not None and not reference.get("apiVersion"):
        reference["apiVersion"] = "v1"


def _volume(volume: Obj) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for source in _MODED_SOURCES:
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    _downward_items(volume.get("downwardAPI"))
    for source in (volume.get("projected") or {}).get("sources") or ():
        _downward_items(source.get("downwardAPI"))
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)


def _downward_items(source: Obj | None) -> None:
    for item in (source or {}).get("items") or ():
        _field_ref(item.get("fieldRef"))
