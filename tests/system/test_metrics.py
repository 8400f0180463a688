"""A whole engine under load: its metrics, access log and views say what the clients saw."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from bench.engine import free_port
from nodrop.metrics.catalog import CATALOG
from nodrop.model.meta import Obj
from tests.system.harness import Engine, Traffic, Watching, apply, hello

Samples = dict[str, list[tuple[dict[str, str], float]]]


def get(url: str, *, data: bytes | None = None) -> str:
    with urllib.request.urlopen(url, data, timeout=60) as response:
        text: bytes = response.read()
    return text.decode()


async def scrape(port: int) -> Samples:
    text = await asyncio.to_thread(get, f"http://127.0.0.1:{port}/metrics")
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return samples


def total(samples: Samples, name: str, **labels: str) -> float:
    found = samples.get(name, ())
    return sum(value for have, value in found if labels.items() <= have.items())


async def until(level: Callable[[], Awaitable[bool]], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not await level():
            await asyncio.sleep(0.1)


def entries(path: Path) -> list[Obj]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_counts_of_a_rollout_are_those_of_its_clients(
    new_engine: Callable[[], Engine],
) -> None:
    """Requests by version, pod and service; the log has a line for each, with pod and version."""
    port, engine = free_port(), new_engine()
    engine.serve("--access-log", "--metrics-port", str(port))
    await apply(engine, hello(replicas=2), wait=True)
    async with Traffic(engine.url, rate=100) as traffic:
        await traffic.seen(100)
        await apply(engine, hello("v2", replicas=2), wait=True)
        await traffic.seen(100)
    assert traffic.lost == []
    sent = len(traffic.records)
    after = await scrape(port)
    assert total(after, "nodrop_service_requests_total", service="hello") == sent
    assert total(after, "nodrop_version_requests_total", service="hello") == sent
    assert total(after, "nodrop_pod_responses_total", code="2xx") == sent
    by_version = {
        version: sum(record.version == version for record in traffic.records)
        for version in ("v1", "v2")
    }
    for revision, version in (("1", "v1"), ("2", "v2")):
        counted = total(after, "nodrop_version_requests_total", version=revision)
        assert counted == by_version[version]
    assert total(after, "nodrop_drains_total", outcome="complete") == 2
    assert total(after, "nodrop_deployment_replicas", state="available") == 2
    assert total(after, "nodrop_deployment_revision", deployment="hello") == 2
    assert total(after, "nodrop_request_sample_ratio") == 1

    async def all_written() -> bool:
        return len(entries(engine.state.access_log)) >= sent

    await until(all_written)
    lines = entries(engine.state.access_log)
    assert len(lines) == sent
    for revision, version in (("1", "v1"), ("2", "v2")):
        assert sum(line["version"] == revision for line in lines) == by_version[version]
    pods = {record.pod for record in traffic.records}
    assert {line["pod"] for line in lines} == pods
    durations = await scrape(port)
    assert total(durations, "nodrop_service_request_duration_seconds_count") == sent
    assert total(durations, "nodrop_access_log_lines_total", result="dropped") == 0


async def test_every_metric_is_there_under_its_documented_name(
    new_engine: Callable[[], Engine],
) -> None:
    port, engine = free_port(), new_engine()
    engine.serve("--metrics-port", str(port))
    await apply(engine, hello(replicas=1), wait=True)
    text = await asyncio.to_thread(get, f"http://127.0.0.1:{port}/metrics")
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    assert types == {name: metric.type for name, metric in CATALOG.items()}


async def test_a_drain_that_had_to_cut_is_an_event_and_counted(
    new_engine: Callable[[], Engine],
) -> None:
    """S15: a request that outlasts the grace period is cut, and nobody has to guess why."""
    port, engine = free_port(), new_engine()
    engine.serve("--metrics-port", str(port))
    short = {"terminationGracePeriodSeconds": 2}
    await apply(engine, hello(replicas=1, pod=short), wait=True)
    # A POST: a GET that is cut is asked again of the next pod.
    slow = asyncio.create_task(asyncio.to_thread(get, f"{engine.url}/slow?s=30", data=b""))

    async def in_flight() -> bool:
        return total(await scrape(port), "nodrop_pod_in_flight_requests") == 1

    await until(in_flight)
    await apply(engine, hello("v2", replicas=1, pod=short), wait=True)

    async def counted() -> bool:
        return total(await scrape(port), "nodrop_cut_requests_total", version="1") == 1

    await until(counted)
    await asyncio.gather(slow, return_exceptions=True)
    after = await scrape(port)
    assert total(after, "nodrop_drains_total", outcome="cut") == 1
    assert total(after, "nodrop_events_total", reason="DrainCut") == 1


async def test_views_work_without_a_terminal(engine: Engine) -> None:
    await apply(engine, hello(replicas=2), wait=True)
    async with Traffic(engine.url, rate=100) as traffic:
        await traffic.seen(50)

        async def rates() -> bool:
            found = json.loads((await asyncio.to_thread(engine.run, "top", "--json")).stdout)
            busy = [row for row in found["services"] if row["requests_per_s"] > 0]
            pods = [pod for pod in found["pods"] if pod["requests_per_s"] > 0]
            return (len(busy), len(pods)) == (1, 2)

        await until(rates)
    shown = await asyncio.to_thread(engine.run, "top")
    assert "default/hello:80" in shown.stdout
    assert "MEMORY" in shown.stdout
    none = json.loads(engine.run("top", "--json", "-n", "other").stdout)
    assert (none["pods"], none["services"]) == ([], [])


async def test_status_watch_prints_every_change(engine: Engine) -> None:
    process = await asyncio.create_subprocess_exec(
        *("nodrop", "status", "--watch", "--json"),
        env=dict(engine.environment),
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            first = json.loads(await process.stdout.readline())
            assert first["pods"] == []
            async with engine.client() as client, Watching(client) as watching:
                await apply(engine, hello(replicas=1))
                await watching.until(lambda: watching.rolled_out("v1"))
            while not any(pod["traffic"] for pod in first["pods"]):
                first = json.loads(await process.stdout.readline())
    finally:
        process.terminate()
        await process.wait()
