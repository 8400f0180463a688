"""The official client: deploy, watch, roll by a strategic merge patch, and delete."""

from __future__ import annotations

import sys
from typing import Any

import yaml
from kubernetes import client, config, utils, watch


def wait(apps: Any, image: str) -> None:
    """Watch until all replicas run ``image``."""
    for event in watch.Watch().stream(
        apps.list_namespaced_deployment, "default", timeout_seconds=60
    ):
        found = event["object"]
        status, wanted = found.status, found.spec.replicas
        current = found.spec.template.spec.containers[0].image == image
        current = current and status.observed_generation == found.metadata.generation
        done = (status.updated_replicas, status.available_replicas, status.replicas)
        if current and done == (wanted, wanted, wanted):
            return
    raise SystemExit(f"not rolled out to {image}")


def main(manifest: str) -> None:
    config.load_kube_config()
    apps: Any = client.AppsV1Api()
    core: Any = client.CoreV1Api()
    with open(manifest, encoding="utf-8") as file:
        documents = [one for one in yaml.safe_load_all(file) if one]
    for document in documents:
        utils.create_from_dict(client.ApiClient(), document)
    wait(apps, "hello:v1")
    containers = [{"name": "hello", "image": "hello:v2"}]
    patch = {"spec": {"template": {"spec": {"containers": containers}}}}
    apps.patch_namespaced_deployment("hello", "default", patch)
    wait(apps, "hello:v2")
    pods = core.list_namespaced_pod("default", label_selector="app=hello").items
    assert "Running" in {pod.status.phase for pod in pods}
    scale = apps.read_namespaced_deployment_scale("hello", "default")
    assert scale.status.replicas == scale.spec.replicas == 4
    new = next(pod for pod in pods if pod.spec.containers[0].image == "hello:v2")
    assert core.read_namespaced_pod_log(new.metadata.name, "default") is not None
    apps.delete_namespaced_deployment("hello", "default")
    core.delete_namespaced_service("hello", "default")


if __name__ == "__main__":
    main(sys.argv[1])
