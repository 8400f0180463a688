"""The control plane may go at any moment: pods, traffic and rollouts don't mind."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nodrop.model.meta import Obj
from tests.system.harness import Engine, Traffic, Watching, apply, hello, is_ready


async def test_kill_9_in_mid_rollout_loses_nothing_and_restarts_no_pod(engine: Engine) -> None:
    """The rollout goes on where it was, with the same pods, under load."""
    await apply(engine, hello("v1", env={"ON_SIGTERM": "exit"}), wait=True)
    async with Traffic(engine.url, rate=200) as traffic:
        for delay_s in (0.3, 0.9, 1.7):
            version = f"v{delay_s:g}"
            await apply(engine, hello(version, env={"ON_SIGTERM": "exit"}))
            await asyncio.sleep(delay_s)  # some moment of the rollout, different each time
            engine.kill()
            await traffic.seen(100)  # nobody at the helm
            await asyncio.to_thread(engine.serve)
            async with engine.client() as client, Watching(client) as watching:
                await watching.until(partial(watching.rolled_out, version))
                assert restarts(watching.pods()) == 0
        await traffic.seen(50)
    assert traffic.lost == []


async def test_a_terminated_engine_leaves_pods_and_proxy_and_adopts_them_again(
    engine: Engine,
) -> None:
    await apply(engine, hello("v1"), wait=True)
    async with Traffic(engine.url, rate=50) as traffic:
        before = pids(engine)
        assert len(before["proxy"]) == 2, "one for HTTP, one that accepts for Services"
        assert engine.terminate() == 0
        await traffic.seen(50)
        await asyncio.to_thread(engine.serve)
        async with engine.client() as client, Watching(client) as watching:
            await watching.until(lambda: watching.rolled_out("v1"))
            assert restarts(watching.pods()) == 0
        await traffic.seen(20)
    assert traffic.lost == []
    assert pids(engine)["keeper"] == before["keeper"]
    assert pids(engine)["proxy"] == before["proxy"]
    assert pids(engine)["engine"] != before["engine"]


async def test_a_pod_that_dies_while_nobody_looks_is_restarted_with_its_exit_code_known(
    engine: Engine,
) -> None:
    await apply(engine, hello("v1", replicas=2), wait=True)
    async with engine.client() as client, Watching(client) as watching:
        victim = watching.pods()[0]
    engine.kill()
    uid = victim["metadata"]["uid"]
    os.kill(child_of(engine, victim), 9)
    await asyncio.to_thread(engine.serve)
    async with engine.client() as client, Watching(client) as watching:

        def restarted() -> Obj | None:
            for pod in watching.pods():
                for status in (pod.get("status") or {}).get("containerStatuses") or ():
                    if pod["metadata"]["uid"] == uid and status["restartCount"] == 1:
                        found: Obj = status
                        return found
            return None

        await watching.until(restarted)
        status = restarted()
        assert status is not None
        assert status["lastState"]["terminated"]["exitCode"] == 137
        await watching.until(lambda: watching.rolled_out("v1"))


def test_every_acknowledged_write_survives_kill_9(engine: Engine) -> None:
    file = engine.state.root / "cm.yaml"
    for number in range(3):
        file.write_text(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n"
            f'data: {{number: "{number}"}}\n'
        )
        engine.run("up", str(file))
        engine.kill()
        engine.serve()
    import subprocess

    done = subprocess.run(
        ["kubectl", "get", "configmap", "c", "-o", "jsonpath={.data.number}"],
        env=dict(engine.environment),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "2"


def test_down_leaves_no_process_and_keeps_the_objects(new_engine: Callable[[], Engine]) -> None:
    engine = new_engine().serve()
    file = Path(__file__).parents[2] / "examples" / "hello" / "v1.yaml"
    engine.run("up", str(file))
    keeper = pids(engine)["keeper"]
    tree = {keeper, *pids(engine)["proxy"], *descendants(keeper)}
    engine.run("down")
    left = {pid: state_of(pid) for pid in tree}
    assert {pid: state for pid, state in left.items() if state not in ("gone", "Z")} == {}
    engine.serve()
    engine.run("rollout", "status", "hello", "--timeout", "60")


@pytest.mark.parametrize("seed", [1])
async def test_two_engines_live_side_by_side(new_engine: Callable[[], Engine], seed: int) -> None:
    first, second = new_engine().serve(), new_engine().serve()
    assert first.info["network"] != second.info["network"]
    order = random.Random(seed).sample([first, second], 2)
    for engine in order:
        await apply(engine, hello(f"v{order.index(engine)}", replicas=2), wait=True)
    for engine in order:
        async with Traffic(engine.url, rate=50) as traffic:
            await traffic.seen(20)
        assert traffic.versions() == {f"v{order.index(engine)}"}


# Looking at processes


def pids(engine: Engine) -> Obj:
    found: Obj = engine.info["pids"]
    return found


def restarts(pods: list[Obj]) -> int:
    return sum(
        status["restartCount"]
        for pod in pods
        for status in (pod.get("status") or {}).get("containerStatuses") or ()
    )


def environ(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def state_of(pid: int) -> str:
    """``gone``, or the kernel's letter: Z is an ended process that init has not reaped yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "gone"


def descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in map(int, (task / "children").read_text().split()):
            found |= {child} | descendants(child)
    return found


def child_of(engine: Engine, pod: Obj) -> int:
    """The process of a pod: the keeper's child with the pod's name in its environment."""
    name = pod["metadata"]["name"]
    children = descendants(pids(engine)["keeper"])
    return next(pid for pid in children if f"POD_NAME={name}" in environ(pid))


async def test_an_engine_whose_keeper_died_says_so_and_starts_again_by_itself(
    engine: Engine,
) -> None:
    """Nobody can adopt the children of a dead parent: pods start anew, and nobody has to act."""
    await apply(engine, hello("v1", replicas=2), wait=True)
    before, keeper = pids(engine)["engine"], pids(engine)["keeper"]
    old = descendants(keeper)
    os.kill(keeper, 9)
    async with asyncio.timeout(60):
        while pids(engine)["keeper"] == keeper:
            await asyncio.sleep(0.05)
    assert pids(engine)["engine"] == before, "for whoever watches it, it never ended"
    log = engine.state.engine_log.read_text()
    assert f"the keeper (pid {keeper}) has ended" in log
    assert "Traceback" not in log
    async with engine.client() as client, Watching(client) as watching:
        await watching.until(lambda: restarts(watching.pods()) == 2)
        await watching.until(lambda: sum(map(is_ready, watching.pods())) == 2)
    said = await asyncio.to_thread(engine.run, "status")
    assert "its keeper was found dead: all pods were started anew" in said.stdout
    assert {state_of(pid) for pid in old} <= {"gone", "Z"}
    old = descendants(pids(engine)["keeper"])
    os.kill(pids(engine)["keeper"], 9)
    down = await asyncio.to_thread(engine.run, "down", "--timeout", "60")
    assert "everything has ended" in down.stdout, "it has not started again"
    assert {state_of(pid) for pid in old} <= {"gone", "Z"}
