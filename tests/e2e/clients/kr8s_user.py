"""kr8s: deploy, wait, roll by a merge patch, and delete."""

from __future__ import annotations

import sys

import kr8s
from kr8s.objects import Deployment, objects_from_files


def wait(deployment: Deployment, image: str) -> None:
    """Watch until all replicas run ``image``."""
    for _, found in kr8s.watch("deployments", namespace="default"):
        raw = found.raw
        wanted, status = raw["spec"]["replicas"], raw["status"]
        fields = ("updatedReplicas", "availableReplicas", "replicas")
        current = raw["spec"]["template"]["spec"]["containers"][0]["image"] == image
        current = current and status.get("observedGeneration") == raw["metadata"]["generation"]
        if current and [status.get(field) for field in fields] == [wanted] * 3:
            deployment.refresh()
            return


def main(manifest: str) -> None:
    made = objects_from_files(manifest)
    for obj in made:
        obj.create()
    deployment = next(obj for obj in made if obj.kind == "Deployment")
    assert isinstance(deployment, Deployment)
    wait(deployment, "hello:v1")
    containers = [{**deployment.raw["spec"]["template"]["spec"]["containers"][0]}]
    containers[0]["image"] = "hello:v2"
    deployment.patch({"spec": {"template": {"spec": {"containers": containers}}}})
    wait(deployment, "hello:v2")
    assert "Running" in {pod.status.phase for pod in deployment.pods()}
    deployment.scale(2)
    for obj in made:
        obj.delete()


if __name__ == "__main__":
    main(sys.argv[1])
