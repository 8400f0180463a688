"""Which container of a pod a request means, and what runs there; pure."""

from __future__ import annotations

from nodrop.model.errors import ApiError, bad_request
from nodrop.model.meta import Obj


def container_name(pod: Obj, asked: str) -> str:
    """The container asked for, or the only one. Raises ApiError 400 with upstream's words."""
    spec, pod_name = pod.get("spec") or {}, pod["metadata"]["name"]
    main = [container["name"] for container in spec.get("containers") or ()]
    init = [container["name"] for container in spec.get("initContainers") or ()]
    if asked:
        if asked not in main + init:
            raise bad_request(f"container {asked} is not valid for pod {pod_name}")
        return asked
    if len(main) == 1:
        return str(main[0])
    listed = f"choose one of: [{' '.join(main)}]"
    if init:
        listed += f" or one of the init containers: [{' '.join(init)}]"
    raise bad_request(f"a container name must be specified for pod {pod_name}, {listed}")


def container_spec(pod: Obj, name: str) -> Obj:
    """The container of that name, which is there."""
    spec = pod["spec"]
    everyone = (*spec["containers"], *(spec.get("initContainers") or ()))
    found: Obj = next(container for container in everyone if container["name"] == name)
    return found


def container_status(pod: Obj, name: str) -> Obj | None:
    """Its containerStatus, or None while there is none."""
    status = pod.get("status") or {}
    for field in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(field) or ():
            if container.get("name") == name:
                found: Obj = container
                return found
    return None


def runs(status: Obj) -> bool:
    """Whether a containerStatus says that it runs."""
    return "running" in (status.get("state") or {})


def running_container(pod: Obj, asked: str) -> tuple[str, int]:
    """Name and restart count of a container that runs. Raises ApiError 400 or 404."""
    name = container_name(pod, asked)
    status = container_status(pod, name)
    if status is None or not runs(status):
        raise ApiError(404, "NotFound", f'container not found ("{name}"): it does not run')
    return name, int(status.get("restartCount", 0))
