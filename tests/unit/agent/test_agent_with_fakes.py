"""The agent over a fake runtime and prober, with the real registry and cache."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from functools import partial
from signal import Signals

import pytest

from nodrop.agent import pod_context
from nodrop.agent.adopt import recall_withdrawn
from nodrop.agent.plan.spec import PodSpec, read_pod
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec, ContainerState, Mount
from nodrop.bugs import BugLog
from nodrop.client.actions import Patch
from nodrop.clock import SystemClock
from nodrop.model.kinds import POD
from nodrop.model.meta import Obj, ObjectKey
from tests.unit.agent.fakes import FakeFolders, FakeProber, FakeRuntime
from tests.unit.agent.rig import Rig, condition, container, container_status, id_of, is_ready, pod

READY = {"exec": {"command": ["check"]}, "periodSeconds": 1}


async def test_a_pod_runs_and_is_ready(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        found = await rig.until_ready("web")
        status = found["status"]
        assert status["phase"] == "Running"
        assert status["podIP"] == "127.99.0.2"
        assert status["qosClass"] == "BestEffort"
        shown = container_status(found)
        assert shown["containerID"] == f"nodrop://{id_of(made)}"
        assert shown["started"] is True
        assert rig.events("Started") == ["Started container app"]
        assert rig.events("Scheduled") == ["Successfully assigned default/web to localhost"]
        spec = runtime.containers[id_of(made)].spec
        assert set(spec.env) == {"PATH", "HOME", "LANG", "TMPDIR", "HOSTNAME"}
        assert spec.env["HOSTNAME"] == "web"


async def test_a_manifest_may_say_another_hostname(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        own = container("serve", env=[{"name": "HOSTNAME", "value": "mine"}])
        made = await rig.create(pod("web", own))
        await rig.until_ready("web")
        assert runtime.containers[id_of(made)].spec.env["HOSTNAME"] == "mine"


async def test_s7_readiness_follows_the_probe(rig: Rig, prober: FakeProber) -> None:
    """S7: the probe says whether the container can serve now, in both directions."""
    prober.verdict = lambda target: ProbeResult("failure", "not yet")
    async with rig.running():
        probe = READY | {"failureThreshold": 1}
        await rig.create(pod("web", container("serve", readinessProbe=probe)))
        await rig.until(lambda: rig.events("Unhealthy") != [])
        assert condition(rig.pod("web"), "Ready") == "False"
        prober.verdict = lambda target: SUCCESS
        await rig.until_ready("web")
        prober.verdict = lambda target: ProbeResult("failure", "overloaded")
        await rig.until_ready("web", ready=False)
        assert "Readiness probe failed: not yet" in rig.events("Unhealthy")


async def test_a_startup_probe_holds_the_others_back(rig: Rig, prober: FakeProber) -> None:
    starting = {"exec": {"command": ["started"]}, "periodSeconds": 1, "failureThreshold": 30}
    up = False

    def verdict(target: object) -> ProbeResult:
        return SUCCESS if up or "started" not in str(target) else ProbeResult("failure", "no")

    prober.verdict = verdict
    async with rig.running():
        await rig.create(
            pod("web", container("serve", startupProbe=starting, readinessProbe=READY))
        )
        await rig.until(lambda: rig.events("Unhealthy") != [])
        assert not any("check" in str(target) for target in prober.asked)
        up = True
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["started"] is True


async def test_s12_s13_the_first_signal_waits_for_the_proxy(rig: Rig, runtime: FakeRuntime) -> None:
    """S12, S13: SIGTERM first, and only once no new request can come and none is in flight."""
    rig.traffic.release.clear()
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until(lambda: rig.events("Killing") != [])
        held = runtime.containers[id_of(made)]
        assert held.signals == []
        rig.traffic.release.set()
        await rig.until_gone("web")
        assert held.signals == [Signals.SIGTERM]
        uid = made["metadata"]["uid"]
        await rig.until(lambda: uid not in rig.folders.known())
        assert [step[0] for step in rig.traffic.history] == ["withdraw", "withdrawn", "forget"]
        assert 19 <= rig.traffic.budgets_s[0] <= 20  # two thirds of 30 s


async def test_the_terminal_phase_is_written_before_the_object_goes(rig: Rig) -> None:
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        assert rig.pods[-1]["status"]["phase"] == "Failed"  # ended by SIGTERM: 143
        assert container_status(rig.pods[-1])["state"]["terminated"]["exitCode"] == 143
        assert not is_ready(rig.pods[-1])


async def test_s14_the_cluster_faithful_order_does_not_wait(runtime: FakeRuntime) -> None:
    """S14: with ``acknowledged`` off the signal comes at once, as on a cluster."""
    rig = Rig(
        runtime=runtime,
        prober=FakeProber(),
        folders=FakeFolders(),
        pod_cidr="127.99.0.0/24",
        acknowledged=False,
    )
    rig.traffic.release.clear()
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        assert [step[0] for step in rig.traffic.history] in ([], ["forget"])


async def test_streams_keep_no_pod_from_its_signal_and_are_closed_when_their_time_is_over(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """S13: the app learns of its end by SIGTERM, with its streams open; later they are closed."""
    runtime.ignores_sigterm = True
    rig.traffic.streams = 2
    times = {"nodrop.dev/stream-drain-timeout": "500ms"}
    one = pod("web", container("serve"), terminationGracePeriodSeconds=1)
    one["metadata"]["annotations"] = times
    async with rig.running():
        await rig.create(one)
        await rig.until_ready("web")
        await rig.delete("web")
        (held,) = runtime.containers.values()
        await held.signalled.wait()
        assert "cut" not in [step[0] for step in rig.traffic.history]
        await rig.until_gone("web")
    steps = [step[0] for step in rig.traffic.history]
    assert steps == ["withdraw", "withdrawn", "cut", "forget"]
    assert rig.traffic.answers_s == pytest.approx(1 / 6)
    assert 0 < rig.traffic.spread_s <= 0.4
    (message,) = rig.events("DrainCut")
    assert message.startswith("0 requests and 2 long-lived connections were cut")


async def test_streams_that_were_cut_are_told_though_the_app_ends_with_them(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """A server that waits for its connections ends the moment that the last one is closed."""
    runtime.ignores_sigterm = True
    rig.traffic.streams = 2
    rig.traffic.cut_lasts_s = 60

    def end() -> None:
        for one in runtime.containers:
            runtime.end(one, 0)

    rig.traffic.on_cut = end
    one = pod("web", container("serve"), terminationGracePeriodSeconds=30)
    one["metadata"]["annotations"] = {"nodrop.dev/stream-drain-timeout": "100ms"}
    async with rig.running():
        await rig.create(one)
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
    (message,) = rig.events("DrainCut")
    assert message.startswith("0 requests and 2 long-lived connections were cut")


async def test_an_app_that_ends_its_streams_has_none_cut(rig: Rig) -> None:
    rig.traffic.streams = 2
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
    assert [step[0] for step in rig.traffic.history] == ["withdraw", "withdrawn", "forget"]
    assert rig.events("DrainCut") == []


async def test_requests_that_outlast_the_drain_are_told(rig: Rig) -> None:
    rig.traffic.release.clear()
    rig.traffic.in_flight = 3
    async with rig.running():
        await rig.create(pod("web", container("serve"), terminationGracePeriodSeconds=1))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until_gone("web")
        [message] = rig.events("DrainCut")
        assert message.startswith("3 requests (and 0 long-lived connections) were still in flight")


async def test_a_second_delete_cuts_the_waits(rig: Rig) -> None:
    rig.traffic.release.clear()
    async with rig.running():
        await rig.create(pod("web", container("serve"), terminationGracePeriodSeconds=600))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until(lambda: rig.traffic.budgets_s != [])
        await rig.delete("web", grace_s=1)
        await rig.until_gone("web")
        assert rig.traffic.budgets_s[0] > 390
        assert rig.traffic.budgets_s[-1] <= 1


async def test_a_forced_delete_still_stops_the_process(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        held = runtime.containers[id_of(made)]
        await rig.delete("web", grace_s=0)
        assert rig.pod("web") is None
        await held.ended.wait()
        assert held.signals == [Signals.SIGTERM]


async def test_an_ended_container_is_restarted_and_counted(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        runtime.end(id_of(made), 1)
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        await rig.until_ready("web")
        shown = container_status(rig.pod("web"))
        assert shown["lastState"]["terminated"]["exitCode"] == 1
        runtime.end(id_of(made, attempt=1), 2)
        await rig.until(lambda: "waiting" in container_status(rig.pod("web"))["state"])
        waiting = container_status(rig.pod("web"))["state"]["waiting"]
        assert waiting["reason"] == "CrashLoopBackOff"
        found = rig.pod("web")
        assert found is not None
        assert found["status"]["phase"] == "Running"
        assert not is_ready(found)
        await rig.delete("web")
        await rig.until_gone("web")  # deletion does not wait for the back-off


async def test_never_restarted_containers_end_the_pod(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(pod("job", container("work"), restartPolicy="Never"))
        await rig.until_ready("job")
        runtime.end(id_of(made), 0)
        await rig.until(lambda: (rig.pod("job") or {})["status"]["phase"] == "Succeeded")
        await rig.delete("job")
        assert rig.pod("job") is None


async def test_a_failed_liveness_probe_restarts(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    prober.verdict = lambda target: ProbeResult("failure", "stuck")
    live = {"exec": {"command": ["live"]}, "periodSeconds": 1, "failureThreshold": 1}
    async with rig.running():
        made = await rig.create(pod("web", container("serve", livenessProbe=live)))
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        assert rig.events("Killing") == ["Container app failed liveness probe, will be restarted"]
        assert [step[0] for step in rig.traffic.history] == ["pause", "paused"]
        held = [one for one in rig.pods if container_status(one).get("restartCount") == 0]
        assert not is_ready(held[-1])  # not ready was stored before the signal
        assert id_of(made, attempt=1) in runtime.containers


async def test_requests_that_a_restart_in_place_cuts_are_told(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    prober.verdict = lambda target: ProbeResult("failure", "stuck")
    rig.traffic.release.clear()
    rig.traffic.in_flight = 3
    live = {"exec": {"command": ["live"]}, "periodSeconds": 1, "failureThreshold": 1}
    one = pod("web", container("serve", livenessProbe=live), terminationGracePeriodSeconds=1)
    async with rig.running():
        await rig.create(one)
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        (message, *_) = rig.events("DrainCut")
        assert message.startswith("3 requests were still in flight after 0.")
        assert "container app is ended" in message


async def test_a_missing_config_map_is_waited_for(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        wanted = [{"configMapRef": {"name": "settings"}}]
        made = await rig.create(pod("web", container("serve", envFrom=wanted)))
        await rig.until(lambda: "waiting" in (container_status(rig.pod("web")).get("state") or {}))
        await rig.until(lambda: rig.events("Failed") != [])
        waiting = container_status(rig.pod("web"))["state"]["waiting"]
        assert waiting == {
            "reason": "CreateContainerConfigError",
            "message": 'configmap "settings" not found',
        }
        await rig.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "settings", "namespace": "default"},
                "data": {"COLOUR": "blue"},
            }
        )
        await rig.until_ready("web")
        assert runtime.containers[id_of(made)].spec.env["COLOUR"] == "blue"


async def test_a_missing_command_names_the_field(rig: Rig) -> None:
    async with rig.running():
        await rig.create(pod("web", {"name": "app", "image": "nginx"}))
        await rig.until(lambda: rig.events("MissingCommand") != [])
        [message] = rig.events("MissingCommand")
        assert message.startswith("spec.containers[0].command: Required value: nodrop runs")
        await rig.delete("web")
        await rig.until_gone("web")


async def test_a_missing_volume_source_holds_the_pod_and_its_deletion_is_quick(
    rig: Rig, runtime: FakeRuntime
) -> None:
    mount = [{"name": "settings", "mountPath": "/etc/app"}]
    volumes = [{"name": "settings", "configMap": {"name": "app"}}]
    async with rig.running():
        for name in ("a", "b"):
            await rig.create(pod(name, container("serve", volumeMounts=mount), volumes=volumes))
        await rig.until(lambda: len(rig.events("FailedMount")) == 2)
        assert set(rig.events("FailedMount")) == {
            'MountVolume.SetUp failed for volume "settings" : configmap "app" not found'
        }
        assert container_status(rig.pod("a"))["state"]["waiting"] == {"reason": "ContainerCreating"}
        async with asyncio.timeout(10):
            await rig.delete("a")
            await rig.until_gone("a")
        await rig.create(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "app", "namespace": "default"},
                "data": {"colour": "blue"},
            }
        )
        made = await rig.until_ready("b")
        uid = made["metadata"]["uid"]
        assert runtime.containers[id_of(made)].spec.mounts == (
            Mount(f"/pods/{uid}/volumes/settings", "/etc/app", read_only=False),
            Mount(f"/pods/{uid}/messages/app/0", "/dev/termination-log", read_only=False),
        )


async def test_what_nodrop_has_no_volumes_for_is_refused_in_words(rig: Rig) -> None:
    async with rig.running():
        disk = {"name": "data", "persistentVolumeClaim": {"claimName": "disk"}}
        trust = {"name": "t", "projected": {"sources": [{"clusterTrustBundle": {"path": "t"}}]}}
        await rig.create(pod("a", container("serve"), volumes=[disk]))
        await rig.create(pod("b", container("serve"), volumes=[trust]))
        await rig.until(lambda: len(rig.events("Unsupported")) == 2)
        assert sorted(rig.events("Unsupported")) == [
            "spec.volumes[0].persistentVolumeClaim: nodrop has no such volumes; use emptyDir, "
            "configMap, secret, downwardAPI, projected or hostPath",
            "spec.volumes[0].projected.sources[0].clusterTrustBundle: nodrop has none; use a "
            "ConfigMap with the certificates",
        ]


async def test_a_refused_start_is_told_and_tried_again(rig: Rig, runtime: FakeRuntime) -> None:
    runtime.refuse_start = "no such program: serve"
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until(lambda: rig.events("Failed") != [])
        assert rig.events("Failed") == ["Error: no such program: serve"]
        waiting = container_status(rig.pod("web"))["state"]["waiting"]
        assert waiting["reason"] == "RunContainerError"


async def test_where_mounts_are_forbidden_only_what_asked_for_one_fails(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """The token of its account was mounted unasked: its container runs without."""
    runtime.refuse_mounts = "this machine does not let its user have mounts"
    source = {"serviceAccountToken": {"path": "token"}}
    token = {"name": "kube-api-access-x", "projected": {"sources": [source]}}
    work = {"name": "work", "emptyDir": {}}
    mounts = {"token": [{"name": "kube-api-access-x", "mountPath": "/var/run/secrets"}]}
    mounts["both"] = [*mounts["token"], {"name": "work", "mountPath": "/work"}]
    async with rig.running():
        made = await rig.create(
            pod("a", container("serve", volumeMounts=mounts["token"]), volumes=[token])
        )
        await rig.until_ready("a")
        spec = runtime.containers[id_of(made)].spec
        assert spec.mounts == ()
        assert "KUBERNETES_SERVICE_HOST" in spec.env
        [told] = rig.events("FailedMount")
        assert told.startswith("Container app runs without its service account's token: this")
        await rig.create(
            pod("b", container("serve", volumeMounts=mounts["both"]), volumes=[token, work])
        )
        await rig.until(lambda: rig.events("Failed") != [])
        assert rig.events("Failed") == [f"Error: {runtime.refuse_mounts}"]


async def test_where_binds_cannot_be_moved_pod_ip_is_given(rig: Rig, runtime: FakeRuntime) -> None:
    runtime.wildcard_bind = False
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        found = await rig.until_ready("web")
        assert runtime.containers[id_of(made)].spec.env["POD_IP"] == found["status"]["podIP"]
        assert len(rig.events("WildcardBindUnavailable")) == 1


async def test_s17_post_start_comes_before_ready_and_before_the_next_container(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """S17: postStart runs right after the start; nothing is ready before it is over."""
    async with rig.running():
        hook = {"postStart": {"sleep": {"seconds": 1}}}
        first = container("one", name="one", lifecycle=hook)
        made = await rig.create(pod("web", first, container("two", name="two")))
        await rig.until(lambda: rig.events("Started") != [])
        assert id_of(made, "two") not in runtime.containers
        assert "waiting" in container_status(rig.pod("web"))["state"]
        await rig.until_ready("web")
        assert id_of(made, "two") in runtime.containers


async def test_a_new_agent_adopts_without_a_gap(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    async with rig.running():
        made = await rig.create(
            pod("web", container("serve", readinessProbe=READY | {"periodSeconds": 60}))
        )
        await rig.until_ready("web")
    seen = len(rig.pods)
    stray = FakeFolders()
    stray.uids = {made["metadata"]["uid"], "gone"}
    rig.folders = stray
    async with rig.running():
        await rig.until(lambda: rig.events("Adopted") != [])
        assert stray.known() == [made["metadata"]["uid"]]
        assert all(is_ready(version) for version in rig.pods[seen:])
        assert container_status(rig.pod("web"))["restartCount"] == 0
        assert list(runtime.containers) == [id_of(made)]


async def test_a_new_agent_goes_on_with_a_termination(rig: Rig, runtime: FakeRuntime) -> None:
    rig.traffic.release.clear()
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        await rig.until(lambda: rig.traffic.history != [])
    held = runtime.containers[id_of(made)]
    assert held.signals == []
    rig.traffic.release.set()
    async with rig.running():
        await rig.until_gone("web")
    assert held.signals == [Signals.SIGTERM]


async def test_s15_a_noted_signal_is_not_sent_twice(rig: Rig, runtime: FakeRuntime) -> None:
    """S15: past the grace period SIGKILL ends it, whoever began the termination."""
    runtime.ignores_sigterm = True
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), terminationGracePeriodSeconds=3))
        await rig.until_ready("web")
        held = runtime.containers[id_of(made)]
        await rig.delete("web")
        await held.signalled.wait()
    async with rig.running():
        await rig.until_gone("web")
    assert held.signals == [Signals.SIGTERM, Signals.SIGKILL]


async def test_containers_of_vanished_pods_are_ended(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
    held = runtime.containers[id_of(made)]
    await rig.delete("web", grace_s=0)
    async with rig.running():
        await held.ended.wait()
    assert held.signals[0] == Signals.SIGTERM


async def test_a_delete_during_the_start_ends_what_was_started(
    rig: Rig, runtime: FakeRuntime
) -> None:
    runtime.starting.clear()
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until(lambda: condition(rig.pod("web"), "PodReadyToStartContainers") == "True")
        async with asyncio.timeout(10):
            while id_of(made) not in runtime.containers:
                await asyncio.sleep(0)
        await rig.delete("web")
        await rig.until(lambda: rig.traffic.history != [])
        for _ in range(100):
            await asyncio.sleep(0)  # the agent gets past the drain before the start is over
        held = runtime.containers[id_of(made)]
        runtime.starting.set()
        await rig.until_gone("web")
    assert held.signals == [Signals.SIGTERM]


async def test_trouble_with_one_pod_harms_no_other(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        sick = await rig.create(pod("sick", container("serve"), restartPolicy="Never"))
        await rig.until_ready("sick")
        uid = sick["metadata"]["uid"]
        runtime.failing[uid] = "the keeper hung up"
        await rig.create(pod("well", container("serve")))
        await rig.until_ready("well")
        await rig.delete("sick", grace_s=1)
        runtime.failing.clear()
        await rig.until_gone("sick")
        assert is_ready(rig.pod("well"))


async def test_an_unforeseen_failure_is_logged_and_looked_at_again(
    rig: Rig, runtime: FakeRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    broken = runtime.start
    calls = 0

    async def start(spec: ContainerSpec) -> ContainerState:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("a bug")
        return await broken(spec)

    runtime.start = start  # type: ignore[method-assign]  # a fake's fake
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
    assert "unforeseen; looking again" in caplog.text


async def test_another_image_restarts_the_container_in_place(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), restartPolicy="Never"))
        await rig.until_ready("web")
        await rig.set_image("web", "app:v2")
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["image"] == "app:v2"
        assert rig.events("Killing") == ["Container app definition changed, will be restarted"]
        assert runtime.containers[id_of(made, attempt=1)].signals == []


async def crash_twice(rig: Rig, runtime: FakeRuntime, made: Obj) -> None:
    """The first restart comes at once; the second is backed off."""
    for attempt in (0, 1):
        container_id = id_of(made, attempt=attempt)
        await rig.until(partial(runtime.containers.__contains__, container_id))
        await rig.until_ready("web")
        runtime.end(container_id, 1)


async def test_another_image_ends_a_back_off_and_is_noticed_by_a_new_agent(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await crash_twice(rig, runtime, made)
        await rig.until(lambda: rig.events("BackOff") != [])
        await rig.set_image("web", "app:v2")
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["restartCount"] == 2
    await rig.set_image("web", "app:v3")
    async with rig.running():
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 3)
        await rig.until_ready("web")
        assert container_status(rig.pod("web"))["image"] == "app:v3"


async def test_a_pod_is_ended_at_its_active_deadline(rig: Rig, runtime: FakeRuntime) -> None:
    """The order is that of a deletion, so no request is lost; the object stays, Failed."""
    async with rig.running():
        made = await rig.create(pod("web", container("serve"), activeDeadlineSeconds=2))
        await rig.until_ready("web")
        await rig.until(lambda: (rig.pod("web") or {})["status"]["phase"] == "Failed")
        found = rig.pod("web")
        assert found is not None
        message = "Pod was active on the node longer than the specified deadline"
        assert (found["status"]["reason"], found["status"]["message"]) == (
            "DeadlineExceeded",
            message,
        )
        assert rig.events("DeadlineExceeded") == [message]
        assert [step[0] for step in rig.traffic.history] == ["withdraw", "withdrawn"]
        assert runtime.containers[id_of(made)].signals == [Signals.SIGTERM]
        await rig.delete("web")
        await rig.until_gone("web")
        await rig.until(lambda: rig.traffic.history[-1][0] == "forget")


async def test_a_deadline_that_is_set_later_counts_from_the_start(rig: Rig) -> None:
    async with rig.running():
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        key = ObjectKey(POD, "default", "web")
        await rig.client.apply(Patch(key, {"spec": {"activeDeadlineSeconds": 1}}))
        await rig.until(lambda: (rig.pod("web") or {})["status"]["phase"] == "Failed")


async def test_a_readiness_gate_is_followed_at_once(rig: Rig) -> None:
    """Another controller's condition wakes the agent, and is never overwritten."""
    gate = {"conditionType": "example.org/lb"}
    async with rig.running():
        await rig.create(pod("web", container("serve"), readinessGates=[gate]))
        await rig.until(lambda: condition(rig.pod("web"), "ContainersReady") == "True")
        held = rig.pod("web")
        assert held is not None
        assert not is_ready(held)
        [ready] = [c for c in held["status"]["conditions"] if c["type"] == "Ready"]
        assert ready["reason"] == "ReadinessGatesNotReady"
        for status in ("True", "False"):
            others = [c for c in held["status"]["conditions"] if c["type"] != "example.org/lb"]
            mine = {"type": "example.org/lb", "status": status}
            patch = {"status": {"conditions": [*others, mine]}}
            key = ObjectKey(POD, "default", "web")
            await rig.client.apply(Patch(key, patch, subresource="status"))
            held = await rig.until_ready("web", ready=status == "True")
            assert condition(held, "example.org/lb") == status


async def test_the_log_becomes_the_termination_message(rig: Rig, runtime: FakeRuntime) -> None:
    async with rig.running():
        fields = {"terminationMessagePolicy": "FallbackToLogsOnError"}
        made = await rig.create(pod("web", container("serve", **fields)))
        await rig.until_ready("web")
        runtime.end(id_of(made), 1)
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        last = container_status(rig.pod("web"))["lastState"]["terminated"]
        assert last["message"] == "the end of app/0\n"


async def test_a_probe_may_have_a_grace_period_of_its_own(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    runtime.ignores_sigterm = True
    prober.verdict = lambda target: ProbeResult("failure", "stuck")
    live = {
        "exec": {"command": ["live"]},
        "failureThreshold": 1,
        "terminationGracePeriodSeconds": 1,
    }
    async with rig.running():
        made = await rig.create(
            pod("web", container("serve", livenessProbe=live), terminationGracePeriodSeconds=600)
        )
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 1)
        signals = [Signals.SIGTERM, Signals.SIGKILL]
        ended = container_status(rig.pod("web"))["lastState"]["terminated"]
        assert ended["exitCode"] == 137
        assert id_of(made) not in runtime.containers or (
            runtime.containers[id_of(made)].signals == signals
        )


async def test_startup_success_asks_for_readiness_at_once(rig: Rig, prober: FakeProber) -> None:
    slow = {"exec": {"command": ["check"]}, "periodSeconds": 600}
    start = {"exec": {"command": ["start"]}, "periodSeconds": 1}
    async with rig.running():
        await rig.create(pod("web", container("serve", startupProbe=start, readinessProbe=slow)))
        await rig.until_ready("web")


async def test_a_restart_in_place_waits_for_the_proxy_but_not_for_a_hung_process(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    """Out of the acknowledged table and drained before the first signal, for 2 s at most."""
    healthy = True
    prober.verdict = lambda target: SUCCESS if healthy else ProbeResult("failure", "stuck")
    live = {"exec": {"command": ["live"]}, "periodSeconds": 1, "failureThreshold": 1}
    rig.traffic.release.clear()
    rig.traffic.in_flight = 1
    async with rig.running():
        made = await rig.create(pod("web", container("serve", livenessProbe=live)))
        await rig.until_ready("web")
        healthy = False
        await rig.until(lambda: rig.traffic.history != [])
        assert not is_ready(rig.pod("web"))
        held = runtime.containers[id_of(made)]
        assert held.signals == []
        await held.signalled.wait()
        assert rig.traffic.budgets_s == [2.0]
        rig.traffic.release.set()
        healthy = True
        await rig.until_ready("web")
        await rig.set_image("web", "app:v2")
        await rig.until(lambda: container_status(rig.pod("web")).get("restartCount") == 2)
        assert rig.traffic.budgets_s == [2.0, 20.0]


async def test_a_back_off_goes_on_after_a_restart_of_the_agent(
    rig: Rig, runtime: FakeRuntime
) -> None:
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await crash_twice(rig, runtime, made)
        await rig.until(lambda: len(rig.events("BackOff")) == 1)
    seen = len(rig.pods)
    async with rig.running():
        await rig.until(lambda: len(rig.pods) > seen)
        await rig.set_image("web", "app:v2")  # only that ends it
        await rig.until_ready("web")
        states = [container_status(version)["state"] for version in rig.pods[seen:]]
        waits = [state.get("waiting", {}) for state in states]
        after = [wait["message"] for wait in waits if wait.get("message")]
        assert set(after) == {
            "back-off 10s restarting failed container=app "
            f"pod=web_default({made['metadata']['uid']})"
        }


async def test_s12_a_withdrawal_is_remembered_before_the_first_signal(
    rig: Rig, runtime: FakeRuntime
) -> None:
    """What a restarted engine reads, it reads beside the process; drained is drained."""
    runtime.ignores_sigterm = True
    noted: list[bool] = []
    send = runtime.signal

    async def signal(container: ContainerId, signal: int) -> None:
        noted.append("withdrawn" in runtime.containers[container].state.notes)
        await send(container, signal)

    runtime.signal = signal  # type: ignore[method-assign]  # a fake's fake
    async with rig.running():
        made = await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.delete("web")
        held = runtime.containers[id_of(made)]
        await held.signalled.wait()
        assert noted == [True]
        await rig.until(lambda: "signalled" in held.state.notes)
    assert await recall_withdrawn(runtime) == {made["metadata"]["uid"]}
    async with rig.running():
        await rig.until(lambda: len(rig.traffic.budgets_s) == 2)
        assert rig.traffic.budgets_s[1] == 0
        runtime.end(id_of(made), 0)
        await rig.until_gone("web")
        assert held.signals == [Signals.SIGTERM]


async def test_a_kill_that_was_cut_short_waits_for_the_proxy_again(
    rig: Rig, runtime: FakeRuntime, prober: FakeProber
) -> None:
    """The note is older than the proxy's word: a new agent asks before it signals."""
    healthy = True
    prober.verdict = lambda target: SUCCESS if healthy else ProbeResult("failure", "stuck")
    live = {"exec": {"command": ["live"]}, "periodSeconds": 1, "failureThreshold": 1}
    rig.traffic.release.clear()
    async with rig.running():
        made = await rig.create(pod("web", container("serve", livenessProbe=live)))
        await rig.until_ready("web")
        healthy = False
        await rig.until(lambda: rig.traffic.history != [])
    held = runtime.containers[id_of(made)]
    assert held.signals == []
    seen = len(rig.pods)
    async with rig.running():
        await rig.until(lambda: len(rig.traffic.history) == 2)
        assert held.signals == []
        rig.traffic.release.set()
        await held.signalled.wait()
        assert [step[0] for step in rig.traffic.history] == ["pause", "pause", "paused"]
        healthy = True
        await rig.until_ready("web")
    states = [(container_status(v).get("restartCount"), is_ready(v)) for v in rig.pods[seen:]]
    assert (0, True) not in states, "what is being killed is never ready"


async def test_a_pod_that_cannot_be_read_does_not_end_the_others(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad object is told of and passed over; it can still be deleted."""

    def read(made: Obj) -> PodSpec:
        if made["metadata"]["name"] == "bad":
            raise KeyError("a field that we read wrongly")
        return read_pod(made)

    monkeypatch.setattr(pod_context, "read_pod", read)
    rig.on_bug = BugLog()
    async with rig.running():
        await rig.create(pod("bad", container("serve")))
        await rig.create(pod("web", container("serve")))
        await rig.until_ready("web")
        await rig.until(lambda: rig.events("Failed") != [])
        assert rig.events("Failed")[0].startswith("this pod can't be read: KeyError")
        await rig.delete("bad")
        await rig.until_gone("bad")
    assert rig.on_bug.count >= 1


class _SetClock(SystemClock):
    """The machine's clock, set forward or back by somebody."""

    off_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.off_s)


@pytest.mark.parametrize("off_s", [-3600.0, 3600.0])
async def test_s15_a_set_clock_neither_cuts_nor_stretches_a_kill(
    runtime: FakeRuntime, prober: FakeProber, off_s: float
) -> None:
    """The clock is set while the proxy still drains: SIGKILL comes by the grace period."""
    clock = _SetClock()
    rig = Rig(
        runtime=runtime,
        prober=prober,
        folders=FakeFolders(),
        pod_cidr="127.99.0.0/24",
        clock=clock,
    )
    runtime.ignores_sigterm = True
    prober.verdict = lambda target: ProbeResult("failure", "stuck")
    live = {"exec": {"command": ["live"]}, "periodSeconds": 1, "failureThreshold": 1}
    rig.traffic.release.clear()
    loop = asyncio.get_running_loop()
    async with rig.running():
        made = await rig.create(
            pod("web", container("serve", livenessProbe=live), terminationGracePeriodSeconds=4)
        )
        await rig.until(lambda: rig.traffic.history != [])
        began_s = loop.time()
        clock.off_s = off_s
        rig.traffic.release.set()
        held = runtime.containers[id_of(made)]
        await held.ended.wait()
        assert held.signals == [Signals.SIGTERM, Signals.SIGKILL]
        assert loop.time() - began_s > 3.5  # cut would be the least time after SIGTERM, 2 s
        # Stretched would be an hour: the time-out of the test is the proof.


async def test_a_clock_that_is_set_back_does_not_stop_the_probes(
    runtime: FakeRuntime, prober: FakeProber
) -> None:
    clock = _SetClock()
    rig = Rig(
        runtime=runtime,
        prober=prober,
        folders=FakeFolders(),
        pod_cidr="127.99.0.0/24",
        clock=clock,
    )
    async with rig.running():
        await rig.create(pod("web", container("serve", readinessProbe=READY)))
        await rig.until_ready("web")
        clock.off_s = -3600.0
        prober.verdict = lambda target: ProbeResult("failure", "no")
        await rig.until_ready("web", False)
