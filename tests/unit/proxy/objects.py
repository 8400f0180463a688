"""API objects for proxy tests, and a client that serves them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from nodrop.client.actions import Action, Emit
from nodrop.client.protocol import ALL, Page, Scope, WatchEvent
from nodrop.model.errors import not_found
from nodrop.model.kinds import Kind
from nodrop.model.meta import Obj, ObjectKey, Revision, key_of


def service(name: str = "web", *, ip: str = "127.9.1.1", port: int = 80, **spec: object) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"clusterIP": ip, "ports": [{"port": port, "protocol": "TCP"}], **spec},
    }


def endpoint(
    name: str,
    *,
    ready: bool = True,
    serving: bool | None = None,
    terminating: bool = False,
    ip: str = "127.9.2.1",
) -> Obj:
    return {
        "addresses": [ip],
        "conditions": {
            "ready": ready,
            "serving": ready if serving is None else serving,
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "name": name, "uid": f"uid-{name}"},
    }


def endpoint_slice(
    *endpoints: Obj, service: str = "web", port: int = 8080, port_name: str = ""
) -> Obj:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {
            "name": f"{service}-{port}",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": service},
        },
        "endpoints": list(endpoints),
        "ports": [{"name": port_name, "port": port, "protocol": "TCP"}],
    }


def path(text: str, service: str = "web", kind: str = "Prefix", port: Obj | None = None) -> Obj:
    backend = {"service": {"name": service, "port": port or {"number": 80}}}
    return {"path": text, "pathType": kind, "backend": backend}


def ingress(
    *paths: Obj, host: str = "", name: str = "ing", created: str = "", **spec: object
) -> Obj:
    rule: Obj = {"http": {"paths": list(paths)}}
    if host:
        rule["host"] = host
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": "default", "creationTimestamp": created},
        "spec": {"rules": [rule] if paths else [], **spec},
    }


class ObjectFeed:
    """The Client protocol over objects that the test puts in."""

    def __init__(self) -> None:
        self._objects: dict[ObjectKey, Obj] = {}
        self._queues: list[tuple[Kind, asyncio.Queue[WatchEvent]]] = []
        self._revision = 0
        self.emitted: list[Emit] = []

    def put(self, *objects: Obj) -> None:
        for obj in objects:
            self._revision += 1
            metadata = {**obj["metadata"], "resourceVersion": str(self._revision)}
            stored = {**obj, "metadata": metadata}
            key = key_of(stored)
            known = key in self._objects
            self._objects[key] = stored
            event = WatchEvent("MODIFIED" if known else "ADDED", stored, Revision(self._revision))
            self._send(key.kind, event)

    def remove(self, obj: Obj) -> None:
        self._revision += 1
        gone = self._objects.pop(key_of(obj))
        self._send(key_of(obj).kind, WatchEvent("DELETED", gone, Revision(self._revision)))

    def _send(self, kind: Kind, event: WatchEvent) -> None:
        for watched, queue in self._queues:
            if watched == kind:
                queue.put_nowait(event)

    async def get(self, key: ObjectKey) -> Obj:
        if key not in self._objects:
            raise not_found(key.kind, key.name)
        return self._objects[key]

    async def list(self, kind: Kind, scope: Scope = ALL) -> Page:
        items = tuple(obj for key, obj in self._objects.items() if key.kind == kind)
        return Page(items, Revision(self._revision))

    async def watch(
        self, kind: Kind, scope: Scope = ALL, *, since: Revision
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent] = asyncio.Queue()
        self._queues.append((kind, queue))
        while True:
            yield await queue.get()

    async def apply(self, action: Action) -> Obj | None:
        assert isinstance(action, Emit)
        self.emitted.append(action)
        return None
