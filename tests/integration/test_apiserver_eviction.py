"""Evictions as HTTP sees them: codes, bodies, Retry-After, discovery."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nodrop.model.kinds import POD, PODDISRUPTIONBUDGET
from nodrop.model.meta import Obj, ObjectKey
from tests.serving import Served, serving, signed_in

WEB = ObjectKey(POD, "default", "web")
BUDGET = ObjectKey(PODDISRUPTIONBUDGET, "default", "web")
PATH = "/api/v1/namespaces/default/pods/web/eviction"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path / "state") as running:
        pod = {
            "metadata": {"name": "web", "labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1", "command": ["serve"]}]},
        }
        written = running.registry.create(POD, "default", pod).obj
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-23T10:00:00Z"}
        status = {"phase": "Running", "conditions": [ready], "startTime": "2026-11-23T10:00:00Z"}
        running.registry.update(WEB, {**written, "status": status}, subresource="status")
        yield running


@pytest.fixture
async def http(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    async with signed_in(served) as session:
        yield session


def eviction(**more: Any) -> Obj:
    return {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": "web", "namespace": "default"},
        **more,
    }


def budget(served: Served) -> None:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    served.registry.create(
        PODDISRUPTIONBUDGET, "default", {"metadata": {"name": "web"}, "spec": spec}
    )


async def test_an_eviction_is_answered_with_success(
    http: aiohttp.ClientSession, served: Served
) -> None:
    body = eviction(deleteOptions={"gracePeriodSeconds": 7})
    async with http.post(PATH, json=body) as response:
        assert response.status == 201
        assert (await response.json())["status"] == "Success"
    assert served.registry.get(WEB)["metadata"]["deletionGracePeriodSeconds"] == 7


@pytest.mark.parametrize("where", ["query", "body"])
async def test_a_dry_run_evicts_nothing(
    http: aiohttp.ClientSession, served: Served, where: str
) -> None:
    query = {"dryRun": "All"} if where == "query" else {}
    body = eviction(deleteOptions={"dryRun": ["All"]}) if where == "body" else eviction()
    async with http.post(PATH, json=body, params=query) as response:
        assert response.status == 201
    assert "deletionTimestamp" not in served.registry.get(WEB)["metadata"]


async def test_a_budget_not_looked_at_yet_says_when_to_come_back(
    http: aiohttp.ClientSession, served: Served
) -> None:
    budget(served)
    async with http.post(PATH, json=eviction()) as response:
        assert response.status == 429
        assert response.headers["Retry-After"] == "10"
        assert (await response.json())["details"]["causes"][0]["reason"] == "DisruptionBudget"


async def test_an_exhausted_budget_leaves_the_time_to_the_client(
    http: aiohttp.ClientSession, served: Served
) -> None:
    budget(served)
    status = {"observedGeneration": 1, "desiredHealthy": 1, "currentHealthy": 1}
    served.registry.patch(BUDGET, {"status": status}, "merge", subresource="status")
    async with http.post(PATH, json=eviction()) as response:
        assert response.status == 429
        assert "Retry-After" not in response.headers


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_evictions_are_posted_only(http: aiohttp.ClientSession, method: str) -> None:
    async with http.request(method, PATH, json=eviction()) as response:
        assert response.status == 405


async def test_discovery_names_the_kind_that_kubectl_drain_looks_for(
    http: aiohttp.ClientSession,
) -> None:
    async with http.get("/api/v1") as response:
        resources = {one["name"]: one for one in (await response.json())["resources"]}
    found = resources["pods/eviction"]
    assert (found["group"], found["version"], found["kind"]) == ("policy", "v1", "Eviction")
    assert found["verbs"] == ["create"]
    async with http.get("/apis") as response:
        assert "policy" in [group["name"] for group in (await response.json())["groups"]]
