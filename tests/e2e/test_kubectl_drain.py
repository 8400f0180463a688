"""kubectl drain: budgets decide which pods may be evicted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from nodrop.client.protocol import Scope
from nodrop.model.kinds import NODE, POD, PODDISRUPTIONBUDGET, Kind
from nodrop.model.meta import Obj, ObjectKey, is_deleting
from nodrop.registry.interface import DeleteOptions
from tests.e2e.conftest import Kubectl
from tests.serving import ALLOCATION, Served, serving

BUDGET = """
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web}
spec:
  minAvailable: 1
  selector: {matchLabels: {app: web}}
"""
KEY = ObjectKey(PODDISRUPTIONBUDGET, "default", "web")


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        yield running


@pytest.fixture
def kubectl(kubectl_binary: Path, served: Served, tmp_path: Path) -> Kubectl:
    return Kubectl(kubectl_binary, tmp_path, served.state.kubeconfig)


def create(served: Served, kind: Kind, obj: Obj) -> Obj:
    return served.registry.create(kind, "default", obj).obj


def running_pod(served: Served, name: str) -> None:
    pod = create(
        served,
        POD,
        {
            "metadata": {"name": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "command": ["serve"]}]},
        },
    )
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T10:00:00Z"}
    status = {"phase": "Running", "conditions": [ready], "startTime": "2026-11-23T10:00:00Z"}
    key = ObjectKey(POD, "default", name)
    served.registry.update(key, {**pod, "status": status}, subresource="status")


def allow(served: Served, allowed: int) -> None:
    """What the disruption controller would write."""
    budget = served.registry.get(KEY)
    status = {
        "disruptionsAllowed": allowed,
        "currentHealthy": 1 + allowed,
        "desiredHealthy": 1,
        "expectedPods": 2,
        "observedGeneration": budget["metadata"]["generation"],
    }
    served.registry.update(KEY, {**budget, "status": status}, subresource="status")


def end_what_is_ending(served: Served) -> int:
    """The agent's part; returns how many pods have ended."""
    pods = served.registry.list(POD, Scope(namespace="default")).items
    ending = [pod["metadata"]["name"] for pod in pods if is_deleting(pod)]
    for name in ending:
        served.registry.delete(ObjectKey(POD, "default", name), DeleteOptions(grace_period_s=0))
    return len(ending)


async def test_drain_waits_for_the_budget(kubectl: Kubectl, served: Served) -> None:
    """Of two pods one must stay: the second is refused until the budget allows it."""
    await kubectl("apply", "-f", "-", stdin=BUDGET)
    for name in ("web-1", "web-2"):
        running_pod(served, name)
    allow(served, 1)
    assert "Min available" in await kubectl("describe", "pdb", "web")
    row = (await kubectl("get", "pdb")).split()[-5:-1]
    assert row == ["web", "1", "N/A", "1"]
    node = ALLOCATION.node_name
    process = await kubectl.start("drain", node, "--ignore-daemonsets", "--force")
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"violate the pod's disruption budget" not in await process.stderr.readline():
                assert process.returncode is None
            assert end_what_is_ending(served) == 1
            allow(served, 1)
            while process.returncode is None:
                end_what_is_ending(served)
                await asyncio.sleep(0.05)
    finally:
        if process.returncode is None:
            process.kill()
        out, _ = await process.communicate()
    assert f"node/{node} drained" in out.decode()
    assert process.returncode == 0
    assert served.registry.get(ObjectKey(NODE, "", node))["spec"]["unschedulable"] is True
    assert served.registry.list(POD, Scope(namespace="default")).items == ()
    await kubectl("uncordon", node)
    assert not served.registry.get(ObjectKey(NODE, "", node))["spec"].get("unschedulable")
