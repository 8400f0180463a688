"""kubectl against a whole engine: the hello example deployed, rolled, undone and deleted."""

from __future__ import annotations

import asyncio
import urllib.request

from tests.e2e.conftest import Kubectl
from tests.system.harness import HELLO, Engine

V1 = str(HELLO / "v1.yaml")
KINDS = "deploy,rs,pods,svc,endpointslices,ingress"


def answered(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as response:
        text: bytes = response.read()
    return text.decode()


async def test_the_hello_example_by_kubectl_alone(kubectl: Kubectl, engine: Engine) -> None:
    await kubectl("apply", "-f", V1)
    told = await kubectl("rollout", "status", "deploy/hello", "--timeout=60s")
    assert "successfully rolled out" in told
    shown = await kubectl("get", KINDS, "-o", "wide")
    assert "deployment.apps/hello" in shown
    assert "4/4" in shown
    assert "v1" in await asyncio.to_thread(answered, engine.url)

    await kubectl("set", "image", "deploy/hello", "hello=hello:v2")
    await kubectl("rollout", "status", "deploy/hello", "--timeout=60s")
    await kubectl("wait", "deploy/hello", "--for=condition=Available", "--timeout=60s")
    images = "jsonpath={.items[*].spec.containers[0].image}"
    live = ("get", "pods", "-l", "app=hello", "--field-selector", "status.phase=Running")
    assert "hello:v2" in await kubectl(*live, "-o", images)
    history = await kubectl("rollout", "history", "deploy/hello")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]

    await kubectl("rollout", "undo", "deploy/hello")
    await kubectl("rollout", "status", "deploy/hello", "--timeout=60s")
    image = "jsonpath={.spec.template.spec.containers[0].image}"
    assert await kubectl("get", "deploy/hello", "-o", image) == "hello:v1"

    await kubectl("rollout", "restart", "deploy/hello")
    await kubectl("rollout", "status", "deploy/hello", "--timeout=60s")
    await kubectl("scale", "deploy/hello", "--replicas=2")
    await kubectl("wait", "deploy/hello", "--for=jsonpath={.status.replicas}=2", "--timeout=60s")

    assert "ScalingReplicaSet" in await kubectl("describe", "deploy/hello")
    logged = await kubectl("logs", "-l", "app=hello", "--tail=-1", "--prefix")
    assert "listening on 0.0.0.0:8080" in logged

    await kubectl("delete", "-f", V1)
    await kubectl("wait", "pods", "-l", "app=hello", "--for=delete", "--timeout=60s")
    assert (await kubectl.ask("get", KINDS, "-o", "name", "-l", "app=hello")).out == ""
