"""lightkube: server-side apply, watch, roll by a merge patch, and delete."""

from __future__ import annotations

import sys
from pathlib import Path

from lightkube import Client, codecs
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import Pod, Service
from lightkube.types import PatchType


def wait(client: Client, image: str) -> None:
    """Watch until all replicas run ``image``."""
    for _, found in client.watch(Deployment, namespace="default"):
        if found.spec is None or found.status is None:
            continue
        containers = found.spec.template.spec.containers if found.spec.template.spec else []
        wanted, status = found.spec.replicas, found.status
        done = (status.updatedReplicas, status.availableReplicas, status.replicas)
        assert found.metadata is not None
        current = status.observedGeneration == found.metadata.generation
        if current and containers[0].image == image and done == (wanted, wanted, wanted):
            return


def main(manifest: str) -> None:
    client = Client(field_manager="light")
    for obj in codecs.load_all_yaml(Path(manifest).read_text()):
        client.apply(obj, namespace="default")  # type: ignore[call-overload]  # any kind
    wait(client, "hello:v1")
    containers = [{"name": "hello", "image": "hello:v2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    client.patch(Deployment, "hello", patch, patch_type=PatchType.STRATEGIC)
    wait(client, "hello:v2")
    pods = list(client.list(Pod, labels={"app": "hello"}))
    assert "Running" in {pod.status.phase for pod in pods if pod.status}
    client.delete(Deployment, "hello")
    client.delete(Service, "hello")


if __name__ == "__main__":
    main(sys.argv[1])
