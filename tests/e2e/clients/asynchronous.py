"""kubernetes-asyncio: deploy, watch, roll by a JSON patch, and delete."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import yaml
from kubernetes_asyncio import client, config, utils, watch


async def wait(apps: Any, image: str) -> None:
    """Watch until all replicas run ``image``."""
    async with watch.Watch() as watching:
        async for event in watching.stream(
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


async def main(manifest: str) -> None:
    await config.load_kube_config()
    async with client.ApiClient() as api:
        apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
        with open(manifest, encoding="utf-8") as file:
            documents = [one for one in yaml.safe_load_all(file) if one]
        for document in documents:
            await utils.create_from_dict(api, document)
        await wait(apps, "hello:v1")
        path = "/spec/template/spec/containers/0/image"
        patch = [{"op": "replace", "path": path, "value": "hello:v2"}]
        await apps.patch_namespaced_deployment("hello", "default", patch)
        await wait(apps, "hello:v2")
        pods = (await core.list_namespaced_pod("default", label_selector="app=hello")).items
        assert "Running" in {pod.status.phase for pod in pods}
        await apps.delete_namespaced_deployment("hello", "default")
        await core.delete_namespaced_service("hello", "default")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
