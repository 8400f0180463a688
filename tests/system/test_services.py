"""Services reached without the Ingress: by NodePort, and from a pod."""

from __future__ import annotations

import sys

from nodrop.model.kinds import POD, SERVICE
from nodrop.model.meta import Obj, ObjectKey
from tests.system.harness import Engine, Traffic, Watching, apply, hello, is_ready

#: What a pod finds of a Service that was there before it, as upstream sets it.
_CALL = (
    "import os, urllib.request as u;"
    "u.urlopen('http://%(HELLO_SERVICE_HOST)s:%(HELLO_SERVICE_PORT)s/' % os.environ, timeout=5)"
)


def caller() -> Obj:
    """A pod that is ready as long as it gets an answer from the Service of ``hello``."""
    ask = {"exec": {"command": [sys.executable, "-c", _CALL]}, "periodSeconds": 1}
    container: Obj = {
        "name": "caller",
        "image": "caller",
        "command": ["sleep", "600"],
        "readinessProbe": {**ask, "timeoutSeconds": 10, "failureThreshold": 1},
    }
    spec = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "caller"}, "spec": spec}


def by_node_port(documents: list[Obj]) -> list[Obj]:
    for document in documents:
        if document["kind"] == "Service":
            document["spec"]["type"] = "NodePort"
    return documents


async def test_node_ports_and_calls_from_pods_lose_nothing_in_a_rollout(engine: Engine) -> None:
    """S5, S8, S14: whoever comes past the Ingress has the same promise."""
    await apply(engine, by_node_port(hello("v1", replicas=2)), wait=True)
    await apply(engine, [caller()])
    async with engine.client() as client, Watching(client) as watching:

        def calls() -> bool:
            pod = watching.cache.get(ObjectKey(POD, "default", "caller"))
            return pod is not None and is_ready(pod)

        await watching.until(calls)
        service = await client.get(ObjectKey(SERVICE, "default", "hello"))
        assert service is not None
        port = service["spec"]["ports"][0]["nodePort"]
        assert 30000 <= port <= 32767
        async with Traffic(f"http://127.0.0.1:{port}", rate=100) as traffic:
            await traffic.seen(50)
            await apply(engine, by_node_port(hello("v2", replicas=2)))
            await watching.until(lambda: watching.rolled_out("v2", gone=False))
            await traffic.seen(50)
        assert traffic.lost == []
        assert traffic.versions() == {"v1", "v2"}
        assert calls()
        seen = [e.obj for e in watching.history if e.obj["metadata"]["name"] == "caller"]
        states = [is_ready(obj) for obj in seen if obj["kind"] == "Pod"]
        assert all(states[states.index(True) :]), "a call from a pod failed"
