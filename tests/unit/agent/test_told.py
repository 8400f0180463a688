"""What the agent tells of hooks and probes that go wrong, word for word (semantics 3.2 to 3.6)."""

from __future__ import annotations

from signal import Signals

from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import ContainerId, ExecResult
from tests.unit.agent.fakes import FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, container, container_status, pod

READY = {"exec": {"command": ["check"]}, "periodSeconds": 1, "failureThreshold": 1}
HOOK = {"exec": {"command": ["hook"]}}


async def test_s17_a_failed_post_start_ends_the_container_and_is_told(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """preStop included; the restart policy applies, and the state says why it waits."""

    def execute(command: object) -> ExecResult:
        runtime.starting.clear()  # hold the restart back, so that what it waits for is seen
        return ExecResult(1, b"no\n")

    runtime.execute = execute
    hooks = {"postStart": HOOK, "preStop": HOOK}
    failure = "command 'hook' ended with exit code 1: no"
    told = {"waiting": {"reason": "PostStartHookError", "message": failure}}
    async with rig.running():
        made = await rig.create(pod("web", container("serve", lifecycle=hooks)))
        await rig.until(lambda: container_status(rig.pod("web")).get("state") == told)
        assert rig.events("FailedPostStartHook") == [f"PostStartHook failed: {failure}"]
        assert rig.events("FailedPreStopHook") == [f"PreStopHook failed: {failure}"]
        states = [container_status(seen).get("state") or {} for seen in rig.pods]
        assert not any("running" in state for state in states), "it never counts as running"
        first = ContainerId(f"{made['metadata']['uid']}_app_0")
        assert runtime.containers[first].signals == [Signals.SIGTERM]
        runtime.starting.set()
        runtime.execute = lambda command: ExecResult(0, b"")
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["restartCount"] == 1


async def test_s18_a_failed_pre_stop_is_told_and_stops_nothing(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        await rig.create(pod("web", container("serve", lifecycle={"preStop": HOOK})))
        await rig.until_ready("web")
        runtime.execute = lambda command: ExecResult(3, b"busy\n")
        await rig.delete("web")
        await rig.until_gone("web")
        assert rig.events("FailedPreStopHook") == [
            "PreStopHook failed: command 'hook' ended with exit code 3: busy"
        ]
        assert rig.events("Killing") == ["Stopping container app"]


async def test_a_container_that_ended_by_itself_has_no_pre_stop(
    rig: Rig, runtime: FakeRuntime
) -> None:
    asked: list[object] = []

    def execute(command: object) -> ExecResult:
        asked.append(command)
        return ExecResult(0, b"")

    runtime.execute = execute
    async with rig.running():
        made = await rig.create(pod("web", container("serve", lifecycle={"preStop": HOOK})))
        await rig.until_ready("web")
        runtime.end(ContainerId(f"{made['metadata']['uid']}_app_0"), 1)
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        assert asked == []


async def test_a_failing_probe_is_told_by_its_kind(rig: Rig, prober: FakeProber) -> None:
    prober.verdict = lambda target: ProbeResult("failure", "HTTP probe failed with statuscode: 503")
    async with rig.running():
        await rig.create(pod("web", container("serve", readinessProbe=READY)))
        await rig.until(lambda: rig.events("Unhealthy") != [])
        assert rig.events("Unhealthy") == [
            "Readiness probe failed: HTTP probe failed with statuscode: 503"
        ]


async def test_a_probe_with_a_warning_succeeds_and_is_told(rig: Rig, prober: FakeProber) -> None:
    redirected = ProbeResult("success", warning="Probe terminated redirects, Response body: moved")
    prober.verdict = lambda target: redirected
    async with rig.running():
        await rig.create(pod("web", container("serve", readinessProbe=READY)))
        await rig.until_ready("web")
        await rig.until(lambda: rig.events("ProbeWarning") != [])
        assert rig.events("ProbeWarning") == [
            "Readiness probe warning: Probe terminated redirects, Response body: moved"
        ]


async def test_a_prober_that_fails_itself_is_asked_three_times_and_says_nothing(
    rig: Rig, prober: FakeProber
) -> None:
    answers = [ProbeResult("error", "out of sockets")] * 3
    prober.verdict = lambda target: answers.pop() if answers else SUCCESS
    async with rig.running():
        await rig.create(pod("web", container("serve", readinessProbe=READY)))
        await rig.until_ready("web")
        assert prober.count() >= 4
        assert rig.events("Unhealthy") == []


async def test_invalid_names_of_environment_variables_are_told(rig: Rig) -> None:
    source = {"configMapRef": {"name": "settings"}}
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "default"},
        "data": {"2bad": "x", "GOOD": "y"},
    }
    async with rig.running():
        await rig.create(settings)
        await rig.create(pod("web", container("serve", envFrom=[source])))
        await rig.until_ready("web")
        assert rig.events("InvalidEnvironmentVariableNames") == [
            "Keys [2bad] from the EnvFrom configMap default/settings were skipped since they are "
            "considered invalid environment variable names."
        ]
