"""``metrics.k8s.io/v1beta1``: what ``kubectl top`` asks for."""

from __future__ import annotations

from collections.abc import Iterator

from aiohttp import web

from nodrop.apiserver.handlers import json_response
from nodrop.apiserver.parameters import list_options
from nodrop.apiserver.rendering import encode
from nodrop.client.protocol import Scope
from nodrop.clock import Clock
from nodrop.metrics.metrics import LOOK_EVERY_S, Metrics
from nodrop.metrics.usage import Used
from nodrop.model.errors import not_found
from nodrop.model.kinds import NODE, NODE_METRICS, POD, POD_METRICS, Kind
from nodrop.model.meta import Obj, ObjectKey, format_time, uid_of
from nodrop.registry.interface import Registry

_BASE = f"/apis/{POD_METRICS.api_version}"


class ResourceMetrics:
    """PodMetrics and NodeMetrics from the last look at the processes."""

    def __init__(self, metrics: Metrics, registry: Registry, clock: Clock) -> None:
        self._metrics, self._registry, self._clock = metrics, registry, clock

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{_BASE}/pods", self._pods),
            web.get(f"{_BASE}/namespaces/{{namespace}}/pods", self._pods),
            web.get(f"{_BASE}/namespaces/{{namespace}}/pods/{{name}}", self._pod),
            web.get(f"{_BASE}/nodes", self._nodes),
            web.get(f"{_BASE}/nodes/{{name}}", self._node),
        ]

    async def _pods(self, request: web.Request) -> web.Response:
        scope = list_options(request.query, request.match_info.get("namespace")).scope
        found = self._registry.list(POD, scope).items
        return self._list(POD_METRICS, [m for pod in found for m in self._of_pod(pod)])

    async def _pod(self, request: web.Request) -> web.Response:
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        pod = self._registry.get(ObjectKey(POD, namespace, name))
        for measured in self._of_pod(pod):
            return json_response(encode(measured))
        raise not_found(POD_METRICS, name)

    async def _nodes(self, request: web.Request) -> web.Response:
        scope = list_options(request.query, None).scope
        nodes = self._registry.list(NODE, Scope(labels=scope.labels)).items
        return self._list(NODE_METRICS, [self._of_node(node) for node in nodes])

    async def _node(self, request: web.Request) -> web.Response:
        node = self._registry.get(ObjectKey(NODE, "", request.match_info["name"]))
        return json_response(encode(self._of_node(node)))

    # Private

    def _of_pod(self, pod: Obj) -> Iterator[Obj]:
        """Nothing for a pod of which nothing runs."""
        uid = uid_of(pod)
        used = {
            name: used
            for (owner, name), used in self._metrics.usage.containers.items()
            if owner == uid
        }
        if used:
            containers = [{"name": name, "usage": quantities(one)} for name, one in used.items()]
            yield {**self._about(POD_METRICS, pod), "containers": containers}

    def _of_node(self, node: Obj) -> Obj:
        used = quantities(self._metrics.usage.machine)
        return {**self._about(NODE_METRICS, node), "usage": used}

    def _about(self, kind: Kind, obj: Obj) -> Obj:
        now = format_time(self._clock.now())
        fields = ("name", "namespace", "labels")
        meta = {name: obj["metadata"][name] for name in fields if obj["metadata"].get(name)}
        return {
            "kind": kind.kind,
            "apiVersion": kind.api_version,
            "metadata": {**meta, "creationTimestamp": now},
            "timestamp": now,
            "window": f"{self._metrics.usage.window_s or LOOK_EVERY_S:.3f}s",
        }

    def _list(self, kind: Kind, items: list[Obj]) -> web.Response:
        revision = str(self._registry.revision())
        return json_response(
            encode(
                {
                    "kind": f"{kind.kind}List",
                    "apiVersion": kind.api_version,
                    "metadata": {"resourceVersion": revision},
                    "items": items,
                }
            )
        )


def quantities(used: Used) -> Obj:
    """As Kubernetes writes them: nanocores and KiB."""
    return {"cpu": f"{round(used.cores * 1e9)}n", "memory": f"{used.memory_bytes // 1024}Ki"}
