"""Cells of Pods: the Ready, Status and Restarts rules of upstream's printer."""

from __future__ import annotations

from datetime import datetime

from nodrop.apiserver.cells.column import NONE, Cell, Column, age, object_age
from nodrop.model.meta import Obj, is_deleting

POD_COLUMNS = (
    Column("Name"),
    Column("Ready"),
    Column("Status"),
    Column("Restarts"),
    Column("Age"),
    Column("IP", wide=True),
    Column("Node", wide=True),
    Column("Nominated Node", wide=True),
    Column("Readiness Gates", wide=True),
)


def pod_cells(pod: Obj, now: datetime) -> list[Cell]:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    ips = [entry.get("ip", "") for entry in status.get("podIPs") or ()]
    return [
        pod["metadata"]["name"],
        _ready(spec, status),
        pod_status(pod),
        _restarts(spec, status, now),
        object_age(pod, now),
        (ips[0] if ips else status.get("podIP")) or NONE,
        spec.get("nodeName") or NONE,
        status.get("nominatedNodeName") or NONE,
        _gates(spec, status),
    ]


def pod_status(pod: Obj) -> str:
    """One word for how a pod is: its phase, or the reason that says more."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    phase: str = status.get("phase", "")
    word = _init_word(spec, status)
    if word is None:
        word = _container_word(status, otherwise=status.get("reason") or phase)
    if is_deleting(pod):
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if phase not in ("Succeeded", "Failed"):
            return "Terminating"
    return word


# Private


def _init_word(spec: Obj, status: Obj) -> str | None:
    """``Init:0/2``, ``Init:CrashLoopBackOff`` …, or None once initialisation is over."""
    sidecars = _sidecars(spec)
    total = len(spec.get("initContainers") or ())
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and terminated.get("exitCode") == 0:
            continue
        if container.get("name") in sidecars and container.get("started"):
            continue
        if terminated:
            return f"Init:{terminated.get('reason') or _ending(terminated)}"
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return None


def _container_word(status: Obj, *, otherwise: str) -> str:
    """The reason of the first container that has one; running ones correct ``Completed``."""
    word, running = otherwise, False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            word = waiting["reason"]
        elif terminated:
            word = terminated.get("reason") or _ending(terminated)
        elif container.get("ready") and "running" in state:
            running = True
    if word == "Completed" and running:
        return "Running" if _is_ready(status) else "NotReady"
    return word


def _ending(terminated: Obj) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _is_ready(status: Obj) -> bool:
    return any(
        condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in status.get("conditions") or ()
    )


def _sidecars(spec: Obj) -> set[str]:
    return {
        container["name"]
        for container in spec.get("initContainers") or ()
        if container.get("restartPolicy") == "Always"
    }


def _counted(spec: Obj, status: Obj) -> list[Obj]:
    """Statuses of the containers that Ready and Restarts speak of: regular ones and sidecars."""
    sidecars = _sidecars(spec)
    return [
        container
        for container in status.get("initContainerStatuses") or ()
        if container.get("name") in sidecars
    ] + list(status.get("containerStatuses") or ())


def _ready(spec: Obj, status: Obj) -> str:
    total = len(spec.get("containers") or ()) + len(_sidecars(spec))
    ready = sum(
        1
        for container in _counted(spec, status)
        if container.get("ready") and "running" in (container.get("state") or {})
    )
    return f"{ready}/{total}"


def _restarts(spec: Obj, status: Obj, now: datetime) -> str:
    containers = _counted(spec, status)
    count = sum(container.get("restartCount", 0) for container in containers)
    ends = [
        ended["finishedAt"]
        for container in containers
        if (ended := (container.get("lastState") or {}).get("terminated"))
        and ended.get("finishedAt")
    ]
    return f"{count} ({age(max(ends), now)} ago)" if count and ends else str(count)


def _gates(spec: Obj, status: Obj) -> str:
    gates = [gate["conditionType"] for gate in spec.get("readinessGates") or ()]
    if not gates:
        return NONE
    true = {
        condition.get("type")
        for condition in status.get("conditions") or ()
        if condition.get("status") == "True"
    }
    return f"{sum(gate in true for gate in gates)}/{len(gates)}"
