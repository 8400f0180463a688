"""Lifecycle hooks over a fake runtime and prober (S16, S17)."""

from __future__ import annotations

import pytest

from nodrop.agent.hooks import run_hook
from nodrop.agent.plan.probes import HttpTarget, Target
from nodrop.agent.plan.spec import Container, Exec, Handler, HttpGet, Sleep, TcpSocket
from nodrop.agent.probers.protocol import SUCCESS, ProbeResult
from nodrop.agent.runtime.protocol import ContainerId, ContainerSpec, ExecResult
from nodrop.clock import SystemClock
from tests.unit.agent.fakes import FakeProber, FakeRuntime

ID = ContainerId("u_app_0")
BROKEN = ProbeResult("failure", "connection refused", answered=False)


async def outcome(hook: Handler, prober: FakeProber, code: int = 0) -> str | None:
    runtime = FakeRuntime(SystemClock())
    runtime.execute = lambda command: ExecResult(code, b"said\n")
    spec = ContainerSpec(
        id=ID,
        pod_uid="u",
        name="app",
        argv=("x",),
        env={},
        cwd="/",
        pod_ip="127.9.0.2",
        log_path="/x",
    )
    await runtime.start(spec)
    return await run_hook(
        hook,
        runtime=runtime,
        prober=prober,
        container=Container(name="app", ports={"web": 80}),
        id=ID,
        pod_ip="127.9.0.2",
    )


@pytest.mark.parametrize(
    ("code", "failure"),
    [(0, None), (3, "command 'stop now' ended with exit code 3: said")],
)
async def test_s16_exec(code: int, failure: str | None) -> None:
    """S16: a command can do what the container can't."""
    assert await outcome(Exec(("stop", "now")), FakeProber(), code) == failure


async def test_http_ignores_the_status_and_fails_on_a_broken_transport() -> None:
    prober = FakeProber()
    prober.verdict = lambda target: ProbeResult("failure", "HTTP probe failed with statuscode: 500")
    assert await outcome(HttpGet("web", "/stop"), prober) is None
    assert prober.asked == [HttpTarget("127.9.0.2", 80, "/stop")]
    prober.verdict = lambda target: BROKEN
    assert await outcome(HttpGet(80), prober) == "connection refused"


async def test_https_that_nobody_speaks_is_tried_as_http() -> None:
    def verdict(target: Target) -> ProbeResult:
        assert isinstance(target, HttpTarget)
        return SUCCESS if target.scheme == "HTTP" else BROKEN

    prober = FakeProber()
    prober.verdict = verdict
    assert await outcome(HttpGet(443, scheme="HTTPS"), prober) is None
    assert len(prober.asked) == 2


async def test_other_handlers_fail_in_words() -> None:
    assert await outcome(Sleep(0), FakeProber()) is None
    assert "only exec, httpGet and sleep" in (await outcome(TcpSocket(1), FakeProber()) or "")
    assert await outcome(HttpGet("nope"), FakeProber()) == "couldn't find port: nope"
