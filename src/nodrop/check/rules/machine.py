"""ND8: what one machine without images can't offer to a pod. For nodrop alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from nodrop.check.bundle import Workload
from nodrop.check.finding import Hit
from nodrop.check.position import Path
from nodrop.check.rules.case import Case
from nodrop.check.views import Pod, mappings, text
from nodrop.model.kinds import kind_of
from nodrop.model.meta import Obj

#: A test holds it together with what the agent makes.
VOLUMES = ("emptyDir", "configMap", "secret", "downwardAPI", "projected", "hostPath")
_USE = "use emptyDir, configMap, secret, downwardAPI, projected or hostPath"

#: Why each field of a pod has no effect, then those of its containers.
_ONE_NODE = "there is one node, and it takes every pod"
_PROCESSES = "pods are processes of the engine's user and share the machine's files and network"
_NO_IMAGE = "no image is pulled"
_POD_FIELDS = {
    "nodeSelector": _ONE_NODE,
    "affinity": _ONE_NODE,
    "tolerations": _ONE_NODE,
    "topologySpreadConstraints": _ONE_NODE,
    "schedulerName": _ONE_NODE,
    "priorityClassName": _ONE_NODE,
    "hostNetwork": _PROCESSES,
    "hostPID": _PROCESSES,
    "hostIPC": _PROCESSES,
    "shareProcessNamespace": _PROCESSES,
    "hostname": "but for $HOSTNAME: the name that the system tells is the machine's",
    "subdomain": _PROCESSES,
    "hostAliases": _PROCESSES,
    "dnsConfig": _PROCESSES,
    "runtimeClassName": _PROCESSES,
    "securityContext": _PROCESSES,
    "imagePullSecrets": _NO_IMAGE,
}


def volume_not_offered(case: Case) -> Iterator[Hit]:
    for one in _run(case):
        for index, volume in mappings(one.pod.spec.get("volumes")):
            for path, mend in _missing(volume, (*one.pod.path, "volumes", index)):
                yield Hit(
                    document=one.document,
                    path=path,
                    message=f"nodrop has no {path[-1]} volumes, so no pod that has volume "
                    f"{text(volume.get('name'))} can start",
                    mend=mend,
                )
        for container in one.pod.everyone:
            for index, mount in mappings(container.obj.get("volumeMounts")):
                where = text(mount.get("mountPath"))
                if where and not where.startswith("/"):
                    yield Hit(
                        document=one.document,
                        path=(*container.path, "volumeMounts", index, "mountPath"),
                        message=f"nodrop mounts nothing at the relative path {where!r}, so "
                        f"container {container.name} can't start",
                        mend="give an absolute path",
                    )


def field_without_effect(case: Case) -> Iterator[Hit]:
    """One finding a workload, at the first such field: they are many, and rarely matter singly."""
    for one in _run(case):
        found = list(_ineffective(one.pod))
        if not found:
            continue
        reasons = dict.fromkeys(why for _, why in found)
        told = "; ".join(
            f"{', '.join(dict.fromkeys(_shown(path, one.pod) for path, of in found if of == why))}"
            f" ({why})"
            for why in reasons
        )
        yield Hit(
            document=one.document,
            path=found[0][0],
            message=f"accepted, and without effect on nodrop: {told}",
            mend="keep them for a cluster; what the application needs of them, it has to find on "
            "the machine",
        )


RULES = {
    "ND801": volume_not_offered,
    "ND802": field_without_effect,
}


# Private


def _run(case: Case) -> Iterator[Workload]:
    """The workloads that nodrop runs: of other kinds ``check`` says that it refuses them."""
    for one in case.bundle.workloads:
        if kind_of(one.obj["apiVersion"], one.obj["kind"]):
            yield one


def _missing(volume: Obj, path: Path) -> Iterator[tuple[Path, str]]:
    """(where it stands, what to do) for each source that there is none of."""
    for source in volume:
        if source != "name" and source not in VOLUMES and volume[source] is not None:
            yield (*path, source), _USE
    projected = volume.get("projected")
    sources = projected.get("sources") if isinstance(projected, dict) else None
    for number, part in mappings(sources):
        if part.get("clusterTrustBundle"):
            at = (*path, "projected", "sources", number, "clusterTrustBundle")
            yield at, "use a ConfigMap with the certificates"


def _ineffective(pod: Pod) -> Iterator[tuple[Path, str]]:
    """(field, why), in the order of the table, then of the containers."""
    for name, why in _POD_FIELDS.items():
        value = pod.spec.get(name)
        if value and (name, value) != ("schedulerName", "default-scheduler"):
            yield (*pod.path, name), why
    for container in pod.everyone:
        if container.obj.get("securityContext"):
            yield (*container.path, "securityContext"), _PROCESSES
        resources = container.obj.get("resources")
        if isinstance(resources, dict) and resources.get("limits"):
            yield (*container.path, "resources", "limits"), _PROCESSES
        for index, port in mappings(container.obj.get("ports")):
            if port.get("hostPort") and not pod.spec.get("hostNetwork"):
                yield (*container.path, "ports", index, "hostPort"), _PROCESSES


def _shown(path: Path, pod: Pod) -> str:
    """A field within the pod's spec, without numbers: ``containers.resources.limits``.

    >>> _shown(("spec", "containers", 0, "securityContext"), Pod(("spec",), {}))
    'containers.securityContext'
    """
    return ".".join(step for step in path[len(pod.path) :] if isinstance(step, str))
