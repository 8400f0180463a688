"""Small valid objects that a test changes in one place."""

from __future__ import annotations

from typing import Any

from nodrop.model.defaults import apply_defaults
from nodrop.model.meta import Obj
from nodrop.model.trees import clone


def metadata(**more: Any) -> Obj:
    return {"name": "web", "namespace": "default", **more}


def pod(**container: Any) -> Obj:
    first = {"name": "app", "image": "hello:v1", "command": ["./serve"], **container}
    spec = {"containers": [first]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata(), "spec": spec}


def deployment(**spec: Any) -> Obj:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod()["spec"]}
    whole = {"selector": {"matchLabels": {"app": "web"}}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(),
        "spec": whole,
    }


def rolling(**numbers: Any) -> Obj:
    return deployment(strategy={"type": "RollingUpdate", "rollingUpdate": numbers})


def service(**spec: Any) -> Obj:
    whole = {"selector": {"app": "web"}, "ports": [{"port": 80}], **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(), "spec": whole}


def ingress(path: Obj | None = None, **spec: Any) -> Obj:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    entry = {"path": "/", "pathType": "Prefix", "backend": backend} | (path or {})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": metadata(),
        "spec": {"rules": [{"host": "a.example", "http": {"paths": [entry]}}], **spec},
    }


def secret(**fields: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata(), **fields}


def configmap(**fields: Any) -> Obj:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(), **fields}


def changed(obj: Obj, path: str, value: Any) -> Obj:
    """A copy with the value at a dotted path replaced; None removes it. Digits index lists."""
    copy: Obj = clone(obj)
    *steps, last = path.split(".")
    holder: Any = copy
    for step in steps:
        holder = holder[int(step)] if step.isdigit() else holder.setdefault(step, {})
    if value is None:
        del holder[last]
    else:
        holder[int(last) if last.isdigit() else last] = value
    return copy


def defaulted(obj: Obj, path: str, value: Any) -> Obj:
    return apply_defaults(changed(obj, path, value))
