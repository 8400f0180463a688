"""A kopf operator: every Widget gets a ConfigMap of its size, and its end is noted."""

from __future__ import annotations

from typing import Any

import kopf
from kubernetes import client, config


def core() -> Any:
    config.load_kube_config()
    return client.CoreV1Api()


@kopf.on.create("example.com", "v1", "widgets")
def made(spec: kopf.Spec, name: str | None, namespace: str | None, **_: Any) -> dict[str, Any]:
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-size"},
        "data": {"size": str(spec["size"])},
    }
    kopf.adopt(config_map)  # names the Widget as the owner
    core().create_namespaced_config_map(namespace, config_map)
    return {"size": spec["size"]}


@kopf.on.update("example.com", "v1", "widgets", field="spec.size")
def resized(new: Any, name: str | None, namespace: str | None, **_: Any) -> dict[str, Any]:
    change = {"data": {"size": str(new)}}
    core().patch_namespaced_config_map(f"{name}-size", namespace, change)
    return {"size": new}


@kopf.on.delete("example.com", "v1", "widgets")
def ended(name: str | None, namespace: str | None, **_: Any) -> None:
    ending = {"metadata": {"name": f"{name}-ended"}}
    core().create_namespaced_config_map(namespace, ending)
