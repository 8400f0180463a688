"""Init containers and sidecars: order of start and end, phases and conditions (semantics 3.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from signal import Signals

from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import ContainerId, ExecResult
from nodrop.model.meta import Obj
from tests.unit.agent.fakes import FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, condition, container, container_status, id_of, is_ready, pod


def step(name: str) -> Obj:
    return container("prepare", name=name)


def sidecar(name: str, **fields: object) -> Obj:
    return container("help", name=name, restartPolicy="Always", **fields)


def phase(rig: Rig, name: str = "web") -> str:
    return str(((rig.pod(name) or {}).get("status") or {}).get("phase"))


def waiting(rig: Rig, index: int = 0) -> str:
    state = container_status(rig.pod("web"), index).get("state") or {}
    return str((state.get("waiting") or {}).get("reason"))


def init_status(rig: Rig, index: int = 0) -> Obj:
    status = (rig.pod("web") or {}).get("status") or {}
    found: Obj = (status.get("initContainerStatuses") or [{}] * 9)[index]
    return found


async def started(rig: Rig, runtime: FakeRuntime, *ids: ContainerId) -> None:
    await rig.until(lambda: all(id in runtime.containers for id in ids))


async def test_init_containers_run_one_after_another(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(
            pod("web", container("serve"), initContainers=[step("a"), step("b")])
        )
        await started(rig, runtime, id_of(made, "a"))
        await rig.until(lambda: "running" in (init_status(rig).get("state") or {}))
        found = rig.pod("web")
        assert found is not None
        assert phase(rig) == "Pending"
        assert waiting(rig) == "PodInitializing"
        assert init_status(rig, 1)["state"]["waiting"]["reason"] == "PodInitializing"
        [initialized] = [c for c in found["status"]["conditions"] if c["type"] == "Initialized"]
        assert initialized["message"] == "containers with incomplete status: [a b]"
        assert initialized["reason"] == "ContainersNotInitialized"
        assert id_of(made, "b") not in runtime.containers
        runtime.end(id_of(made, "a"), 0)
        await started(rig, runtime, id_of(made, "b"))
        await rig.until(lambda: init_status(rig).get("ready") is True)
        assert id_of(made, "app") not in runtime.containers
        runtime.end(id_of(made, "b"), 0)
        ready = await rig.until_ready("web")
        assert condition(ready, "Initialized") == "True"
        assert init_status(rig, 1)["state"]["terminated"]["reason"] == "Completed"
        assert phase(rig) == "Running"


async def test_a_failed_init_container_is_tried_again_with_back_off(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), initContainers=[step("a")]))
        await started(rig, runtime, id_of(made, "a"))
        runtime.end(id_of(made, "a"), 1)
        await started(rig, runtime, id_of(made, "a", 1))
        await rig.until(lambda: init_status(rig).get("restartCount") == 1)
        runtime.end(id_of(made, "a", 1), 1)
        await rig.until(lambda: rig.events("BackOff") != [])
        looping = {"reason": "CrashLoopBackOff"}
        await rig.until(
            lambda: looping.items() <= init_status(rig)["state"].get("waiting", {}).items()
        )
        assert phase(rig) == "Pending"
        await rig.delete("web", grace_s=1)
        await rig.until_gone("web")


async def test_a_failed_init_container_fails_a_pod_that_never_restarts(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        inits = [sidecar("s"), step("a")]
        made = await rig.create(
            pod("web", container("serve"), initContainers=inits, restartPolicy="Never")
        )
        await started(rig, runtime, id_of(made, "a"))
        runtime.end(id_of(made, "a"), 3)
        await rig.until(lambda: phase(rig) == "Failed")
        assert id_of(made, "app") not in runtime.containers
        assert runtime.containers[id_of(made, "s")].signals == [Signals.SIGTERM]
        assert waiting(rig) == "PodInitializing"


async def test_a_sidecar_must_have_started_before_the_next_one(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    up = False
    prober.verdict = lambda target: SUCCESS if up else ProbeResult("failure", "no")
    probe = {"exec": {"command": ["up"]}, "periodSeconds": 1, "failureThreshold": 99}
    async with rig.running():
        inits = [sidecar("s", startupProbe=probe)]
        made = await rig.create(pod("web", container("serve"), initContainers=inits))
        await rig.until(lambda: rig.events("Unhealthy") != [])
        assert id_of(made, "app") not in runtime.containers
        assert condition(rig.pod("web"), "Initialized") == "False"
        up = True
        found = await rig.until_ready("web")
        assert condition(found, "Initialized") == "True"
        assert init_status(rig)["ready"] is True


async def test_a_sidecar_counts_in_ready_and_always_restarts(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(
            pod("web", container("serve"), initContainers=[sidecar("s")], restartPolicy="Never")
        )
        await rig.until_ready("web")
        runtime.starting.clear()
        runtime.end(id_of(made, "s"), 0)
        found = await rig.until_ready("web", ready=False)
        [ready] = [c for c in found["status"]["conditions"] if c["type"] == "ContainersReady"]
        assert ready["message"] == "containers with unready status: [s]"
        assert condition(found, "Initialized") == "True"
        runtime.starting.set()
        await rig.until_ready("web")
        assert init_status(rig)["restartCount"] == 1


async def test_a_sidecar_does_not_keep_a_pod_from_completing(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(
            pod("web", container("work"), initContainers=[sidecar("s")], restartPolicy="Never")
        )
        await rig.until_ready("web")
        runtime.ignores_sigterm = True
        runtime.end(id_of(made, "app"), 0)
        await runtime.containers[id_of(made, "s")].signalled.wait()
        assert phase(rig) == "Running"
        assert rig.events("Killing") == ["Stopping container s"]
        runtime.end(id_of(made, "s"), 0)
        await rig.until(lambda: phase(rig) == "Succeeded")


async def test_sidecars_are_signalled_last_and_in_reverse_order(
    rig: Rig, runtime: FakeRuntime
) -> None:
    hooked: list[str] = []
    async with rig.running():
        hook = {"preStop": {"exec": {"command": ["hook"]}}}
        inits = [sidecar("one", lifecycle=hook), sidecar("two", lifecycle=hook)]
        made = await rig.create(pod("web", container("serve"), initContainers=inits))
        await rig.until_ready("web")
        runtime.ignores_sigterm = True

        def execute(command: Sequence[str]) -> ExecResult:
            hooked.append(command[0])
            return ExecResult(0, b"")

        runtime.execute = execute
        await rig.delete("web")
        app, one, two = (runtime.containers[id_of(made, n)] for n in ("app", "one", "two"))
        await app.signalled.wait()
        await rig.until(lambda: len(hooked) == 2)  # hooks of all start together
        assert (one.signals, two.signals) == ([], [])
        runtime.end(id_of(made, "app"), 0)
        await two.signalled.wait()
        assert one.signals == []
        runtime.end(id_of(made, "two"), 0)
        await one.signalled.wait()
        runtime.end(id_of(made, "one"), 0)
        await rig.until_gone("web")
        assert phase_of_last(rig) == "Succeeded"


def phase_of_last(rig: Rig) -> str:
    return str(rig.pods[-1]["status"]["phase"])


async def test_out_of_time_sidecars_are_signalled_all_the_same(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), initContainers=[sidecar("s")]))
        await rig.until_ready("web")
        runtime.ignores_sigterm = True
        held = [runtime.containers[id_of(made, name)] for name in ("app", "s")]
        await rig.delete("web", grace_s=1)
        await rig.until_gone("web")
        await rig.until(lambda: all(one.ended.is_set() for one in held))
        assert [one.signals for one in held] == [[Signals.SIGTERM, Signals.SIGKILL]] * 2


async def test_a_delete_while_initializing_is_quick(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        inits = [sidecar("s"), step("a")]
        made = await rig.create(pod("web", container("serve"), initContainers=inits))
        await started(rig, runtime, id_of(made, "a"))
        async with asyncio.timeout(10):
            await rig.delete("web")
            await rig.until_gone("web")
        assert id_of(made, "app") not in runtime.containers


async def test_a_new_agent_goes_on_with_init_containers(rig: Rig, runtime: FakeRuntime) -> None:
    inits = [step("a"), sidecar("s"), step("b")]
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), initContainers=inits))
        await started(rig, runtime, id_of(made, "a"))
        runtime.end(id_of(made, "a"), 0)
        await started(rig, runtime, id_of(made, "b"))
        await rig.until(lambda: "running" in init_status(rig, 2)["state"])
    async with rig.running():
        runtime.end(id_of(made, "b"), 0)
        await rig.until_ready("web")
    ids = [id_of(made, name) for name in ("a", "s", "b", "app")]
    assert sorted(runtime.containers) == sorted(ids)
    seen = len(rig.pods)
    async with rig.running():
        await rig.until(lambda: len(rig.events("Adopted")) >= 2)
        assert all(is_ready(version) for version in rig.pods[seen:])
    assert sorted(runtime.containers) == sorted(ids)


async def test_a_lost_sidecar_is_started_beside_what_runs(rig: Rig, runtime: FakeRuntime) -> None:
    """After a restart of the engine nothing regular waits for a sidecar that has gone."""
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), initContainers=[sidecar("s")]))
        await rig.until_ready("web")
    del runtime.containers[id_of(made, "s")]
    async with rig.running():
        await rig.until(lambda: init_status(rig).get("restartCount") == 1)
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["restartCount"] == 0
        assert runtime.containers[id_of(made, "app")].signals == []
