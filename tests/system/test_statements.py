"""The seed's statements S1–S20, each shown by real processes behind the real proxy."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from nodrop.model.meta import Obj, is_deleting
from nodrop.rehearse.schedule import Mix
from tests.system.harness import Engine, Traffic, Watching, apply, is_ready, write

WITNESS = Path(__file__).with_name("witness.py")
GETS = Mix(post_share=0.0, slow_share=0.0)


def witness(
    folder: Path,
    version: str = "v1",
    *,
    replicas: int = 1,
    probe: bool = True,
    env: dict[str, str] | None = None,
    lifecycle: Obj | None = None,
    grace_s: int = 10,
    **spec: Any,
) -> list[Obj]:
    """The witness app as Deployment, Service and Ingress."""
    variables = {"VERSION": version, "WITNESS": str(folder / "witness"), **(env or {})}
    container: Obj = {
        "name": "app",
        "image": f"witness:{version}",
        "command": [sys.executable, str(WITNESS)],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [{"name": name, "value": value} for name, value in variables.items()]
        + [{"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
    }
    if probe:
        container["readinessProbe"] = {
            "httpGet": {"path": "/healthz", "port": "http"},
            "periodSeconds": 1,
            "failureThreshold": 1,
        }
    if lifecycle:
        container["lifecycle"] = lifecycle
    labels = {"app": "witness"}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "witness"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {"terminationGracePeriodSeconds": grace_s, "containers": [container]},
                },
                **spec,
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "witness"},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": "http"}]},
        },
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "witness"},
            "spec": {
                "defaultBackend": {"service": {"name": "witness", "port": {"number": 80}}},
            },
        },
    ]


def notes(folder: Path, version: str | None = None) -> list[tuple[float, str]]:
    """What the witness wrote: (time, what), of one version."""
    try:
        lines = (folder / "witness").read_text().splitlines()
    except FileNotFoundError:
        return []
    split = [line.split(" ", 2) for line in lines]
    return [(float(at), what) for at, by, what in split if version in (None, by)]


def when(folder: Path, what: str, version: str | None = None) -> float:
    return next(at for at, noted in notes(folder, version) if noted.startswith(what))


def events(watching: Watching, reason: str) -> list[Obj]:
    from nodrop.model.kinds import EVENT

    return [e for e in watching.cache.list(EVENT) if e["reason"] == reason]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.headers.get("X-Version", "")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""


def load(engine: Engine, rate: float = 50) -> Traffic:
    return Traffic(engine.url, rate=rate, mix=GETS)


async def test_s1_an_ingress_lets_the_outside_reach_the_containers(
    engine: Engine, tmp_path: Path
) -> None:
    """S1; and with no pod behind it the answer is 503, with no rule 404."""
    assert await asyncio.to_thread(get, engine.url) == (404, "")
    await apply(engine, witness(tmp_path, replicas=0), wait=True)
    assert await asyncio.to_thread(get, engine.url) == (503, "")
    await apply(engine, witness(tmp_path), wait=True)
    assert await asyncio.to_thread(get, engine.url) == (200, "v1")


async def test_s2_s7_s8_traffic_moves_only_once_the_new_pod_is_ready(
    engine: Engine, tmp_path: Path
) -> None:
    """S2, S7, S8: v2 runs unready for a while: not an endpoint, no request; then all go to it."""
    flag = tmp_path / "ready"
    await apply(engine, witness(tmp_path, "v1"), wait=True)
    async with engine.client() as client, Watching(client) as watching, load(engine) as traffic:
        await apply(engine, witness(tmp_path, "v2", env={"READY": str(flag)}))
        await watching.until(lambda: any(what == "listen" for _, what in notes(tmp_path, "v2")))
        await traffic.seen(60)
        assert traffic.versions() == {"v1"}
        assert not any(what.startswith("request") for _, what in notes(tmp_path, "v2"))
        (new,) = watching.pods("v2")
        assert not is_ready(new)
        assert new["status"]["podIP"] not in ready_addresses(watching)
        flag.touch()
        await watching.until(lambda: watching.pods("v2") and is_ready(watching.pods("v2")[0]))
        await watching.until(lambda: new["status"]["podIP"] in ready_addresses(watching))
        await watching.until(lambda: not watching.pods("v1"))
        # S7: the probe diagnoses the present: when it fails, the pod leaves the endpoints.
        await traffic.seen(20)
    assert traffic.lost == []
    assert traffic.versions() == {"v1", "v2"}
    first_v2 = min(at for at, what in notes(tmp_path, "v2") if what.startswith("request"))
    assert first_v2 < when(tmp_path, "sigterm", "v1"), "v1 went before v2 had traffic"


async def test_s7_s8_a_pod_that_stops_being_ready_leaves_the_endpoints_and_comes_back(
    engine: Engine, tmp_path: Path
) -> None:
    flag = tmp_path / "ready"
    flag.touch()
    await apply(engine, witness(tmp_path, env={"READY": str(flag)}), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        await watching.until(lambda: len(ready_addresses(watching)) == 1)
        flag.unlink()
        await watching.until(lambda: not ready_addresses(watching))
        assert events(watching, "Unhealthy")
        flag.touch()
        await watching.until(lambda: len(ready_addresses(watching)) == 1)
        (pod,) = watching.pods()
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0


def ready_addresses(watching: Watching) -> set[str]:
    from nodrop.model.kinds import ENDPOINTSLICE

    return {
        address
        for found in watching.cache.list(ENDPOINTSLICE)
        for endpoint in found.get("endpoints") or ()
        if endpoint["conditions"]["ready"]
        for address in endpoint["addresses"]
    }


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 0), ("0%", 0), (0, "0%")])
def test_s6_both_zero_is_refused_and_says_why(
    empty_engine: Engine, tmp_path: Path, surge: int | str, unavailable: int | str
) -> None:
    """S6: the error names the field, and the hint says that there could be no pod at all."""
    strategy = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    file = write(tmp_path / "m.yaml", witness(tmp_path, strategy=strategy))
    done = empty_engine.run("up", file, check=False)
    assert done.returncode == 1
    assert "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: " in done.stderr
    assert "may not be 0 when `maxSurge` is 0" in done.stderr
    assert "there could be no pod at all" in done.stderr
    assert "witness" not in empty_engine.run("status", "--json").stdout


async def test_s9_s10_without_a_probe_no_traffic_comes_for_min_ready_seconds(
    engine: Engine, tmp_path: Path
) -> None:
    """S9, S10: the app needs 2 s to listen and has no probe; minReadySeconds 3 covers it."""
    slow = {"START_S": "2"}
    await apply(
        engine, witness(tmp_path, "v1", probe=False, env=slow, minReadySeconds=3), wait=True
    )
    async with engine.client() as client, Watching(client) as watching:
        async with load(engine) as traffic:
            change = witness(tmp_path, "v2", probe=False, env=slow, minReadySeconds=3)
            await apply(engine, change)
            await watching.until(lambda: not watching.pods("v1") and watching.pods("v2"))
            await traffic.seen(20)
        assert traffic.lost == []
        assert traffic.versions() == {"v1", "v2"}
    requests = [at for at, what in notes(tmp_path, "v2") if what.startswith("request")]
    tick_s = 0.02  # the kernel tells in hundredths of a second when a process began
    assert min(requests) - when(tmp_path, "start", "v2") >= 3 - tick_s


async def test_s11_with_a_probe_traffic_comes_as_soon_as_it_passes(
    engine: Engine, tmp_path: Path
) -> None:
    """S11: minReadySeconds 60 is far from over when the first request arrives."""
    await apply(engine, witness(tmp_path, minReadySeconds=60))
    async with engine.client() as client, Watching(client) as watching:
        await watching.until(lambda: len(ready_addresses(watching)) == 1)
        status, version = await asyncio.to_thread(get, engine.url)
        assert (status, version) == (200, "v1")
        deployment = watching.deployment("witness")
        assert deployment is not None
        assert deployment["status"].get("availableReplicas", 0) == 0


async def test_s15_past_the_grace_period_the_process_is_killed(
    engine: Engine, tmp_path: Path
) -> None:
    """S12, S15: SIGTERM first; one who ignores it is killed when the grace period (3 s) is over."""
    change = witness(tmp_path, env={"ON_SIGTERM": "ignore"}, grace_s=3)
    await apply(engine, change, wait=True)
    async with engine.client() as client, Watching(client) as watching:
        asked = time.time()
        await apply(engine, witness(tmp_path, replicas=0, env={"ON_SIGTERM": "ignore"}, grace_s=3))
        await watching.until(lambda: not watching.pods())
        ended = time.time()
        last = watching.history[::-1]
        pod = next(e.obj for e in last if e.obj["kind"] == "Pod" and e.type == "DELETED")
    assert pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    assert ended - when(tmp_path, "sigterm") >= 0.5
    assert ended - asked >= 2.5


def test_s15_the_misspelt_field_is_reported_with_the_right_name(
    empty_engine: Engine, tmp_path: Path
) -> None:
    """S15: the seed's own slip, terminationGradePeriodSeconds."""
    documents = witness(tmp_path)
    pod = documents[0]["spec"]["template"]["spec"]
    pod["terminationGradePeriodSeconds"] = pod.pop("terminationGracePeriodSeconds")
    done = empty_engine.run("up", write(tmp_path / "m.yaml", documents), check=False)
    assert done.returncode == 1
    assert "spec.template.spec.terminationGradePeriodSeconds" in done.stderr
    assert "terminationGracePeriodSeconds" in done.stderr


def hook(folder: Path, what: str, *, seconds: float = 0) -> Obj:
    script = f"sleep {seconds}; echo $(date +%s.%N) $VERSION {what} >> {folder}/witness"
    return {"exec": {"command": ["sh", "-c", script]}}


async def test_s16_s17_s18_s19_hooks_run_at_their_time(engine: Engine, tmp_path: Path) -> None:
    """S16–S19: postStart right after the start; SIGTERM only when preStop has finished."""
    lifecycle = {
        "postStart": hook(tmp_path, "poststart"),
        "preStop": hook(tmp_path, "prestop", seconds=1),
    }
    await apply(engine, witness(tmp_path, lifecycle=lifecycle), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        await apply(engine, witness(tmp_path, replicas=0, lifecycle=lifecycle))
        await watching.until(lambda: not watching.pods())
    # S17: postStart runs beside the program, so the two may start in either order.
    assert abs(when(tmp_path, "poststart") - when(tmp_path, "start")) < 5
    assert when(tmp_path, "prestop") < when(tmp_path, "sigterm")
    assert sum(what == "prestop" for _, what in notes(tmp_path)) == 1


async def test_s20_a_hook_does_not_extend_the_grace_period_and_is_warned_about(
    engine: Engine, tmp_path: Path
) -> None:
    """S20: a hook of 30 s in a grace of 2 s: ended at grace + 2 s, and the manifest is warned."""
    lifecycle = {"preStop": {"exec": {"command": ["sleep", "30"]}}}
    change = witness(tmp_path, lifecycle=lifecycle, grace_s=2, env={"ON_SIGTERM": "ignore"})
    done = engine.run("up", write(tmp_path / "m.yaml", change))
    assert "preStop hook takes 30 s, but terminationGracePeriodSeconds is 2" in done.stderr
    async with engine.client() as client, Watching(client) as watching:
        asked = time.time()
        change[0]["spec"]["replicas"] = 0
        await apply(engine, change)
        await watching.until(lambda: all(is_deleting(pod) for pod in watching.pods()))
        await watching.until(lambda: not watching.pods())
        assert time.time() - asked < 20
    assert when(tmp_path, "sigterm") - asked >= 1
