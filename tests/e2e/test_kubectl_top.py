"""kubectl top: CPU and memory of pods, containers and the node."""

from __future__ import annotations

import asyncio

from tests.e2e.conftest import Kubectl, rows
from tests.system.harness import HELLO, Engine


async def test_top_of_pods_and_nodes(kubectl: Kubectl, engine: Engine) -> None:
    await kubectl("apply", "-f", str(HELLO / "v1.yaml"))
    await kubectl("rollout", "status", "deploy/hello", "--timeout=60s")

    async with asyncio.timeout(60):  # the engine looks every few seconds
        while (await kubectl.ask("top", "pods", "-l", "app=hello")).out.count("Mi") < 4:
            await asyncio.sleep(0.2)
    pods = rows(await kubectl("top", "pods"))
    assert len(pods) == 4
    for name, cpu, memory in pods:
        assert name.startswith("hello-")
        assert cpu.endswith("m")
        assert int(memory.removesuffix("Mi")) > 5  # a Python
    ((pod, container, *_),) = rows(await kubectl("top", "pod", pods[0][0], "--containers"))
    assert (pod, container) == (pods[0][0], "hello")
    ((_, _, cpu_share, memory, memory_share),) = rows(await kubectl("top", "nodes"))
    assert cpu_share.endswith("%")
    assert memory_share.endswith("%")
    assert int(memory.removesuffix("Mi")) > 50
    assert "metrics.k8s.io/v1beta1" in await kubectl("api-versions")
    raw = await kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/namespaces/none/pods")
    assert '"items":[]' in raw
    gone = await kubectl.ask("top", "pod", "nobody")
    assert gone.code == 1
    assert "not found" in gone.err
