"""Thresholds, delays and targets of probes, in upstream's arithmetic."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from nodrop.agent.plan.probes import (
    ExecTarget,
    GrpcTarget,
    HttpTarget,
    Outcome,
    ProbeKind,
    TcpTarget,
    Unusable,
    Verdict,
    awaits_first,
    door_of,
    first_state,
    next_state,
    target_of,
)
from nodrop.agent.plan.spec import Exec, Grpc, Handler, HttpGet, Probe, TcpSocket
from nodrop.agent.runtime.protocol import ContainerId

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=timezone.utc)
ID = ContainerId("u_app_0")
S, F, E = "success", "failure", "error"


@pytest.mark.parametrize(
    ("kind", "verdict"), [("readiness", False), ("liveness", True), ("startup", None)]
)
def test_the_verdict_before_the_first(kind: ProbeKind, verdict: Verdict) -> None:
    assert first_state(kind).verdict is verdict


def test_an_adopted_container_keeps_its_verdict() -> None:
    assert first_state("readiness", True).verdict is True


@pytest.mark.parametrize(
    ("kind", "outcomes", "verdicts"),
    [
        ("readiness", [S], [True]),
        ("readiness", [S, F, F, F], [True, True, True, False]),
        ("readiness", [S, F, F, S, F, F, F], [True] * 6 + [False]),
        ("readiness", [S, F, E, F, E, F], [True, True, True, True, True, False]),
        ("readiness", [F, F, F, S], [False, False, False, True]),
        ("liveness", [F, F, F], [True, True, False]),
        ("liveness", [F, F, S, F, F], [True] * 5),
        ("startup", [F, F], [None, None]),
        ("startup", [F, F, F], [None, None, False]),
        ("startup", [F, F, S], [None, None, True]),
    ],
)
def test_s7_thresholds_count_equal_outcomes_in_a_row(
    kind: ProbeKind, outcomes: list[Outcome], verdicts: list[Verdict]
) -> None:
    """S7: the verdict changes at the threshold, 1 success and 3 failures by default."""
    probe, state = Probe(handler=TcpSocket(1)), first_state(kind)
    seen: list[Verdict] = []
    for outcome in outcomes:
        state = next_state(state, outcome, probe)
        seen.append(state.verdict)
    assert seen == verdicts


def test_a_success_threshold_above_one() -> None:
    probe, state = Probe(handler=TcpSocket(1), success_threshold=2), first_state("readiness")
    state = next_state(state, "success", probe)
    assert state.verdict is False
    assert next_state(state, "success", probe).verdict is True


@pytest.mark.parametrize(
    ("kind", "outcomes", "awaited"),
    [
        ("readiness", [], True),
        ("readiness", [F, F, F, F], True),
        ("readiness", [S], False),
        ("readiness", [S, F, F, F], False),
        ("startup", [F], True),
        ("startup", [S], False),
        ("liveness", [], False),
        ("liveness", [F], False),
    ],
)
def test_s7_only_the_first_success_of_readiness_or_startup_is_awaited(
    kind: ProbeKind, outcomes: list[Outcome], awaited: bool
) -> None:
    probe, state = Probe(handler=TcpSocket(1)), first_state(kind)
    for outcome in outcomes:
        state = next_state(state, outcome, probe)
    assert awaits_first(kind, state) is awaited


def test_an_adopted_container_that_is_ready_awaits_nothing() -> None:
    assert not awaits_first("readiness", first_state("readiness", True))


def test_grpc_has_a_door_to_knock_at() -> None:
    """Its client waits for a server; a plain connection says at once that there is none."""
    assert door_of(GrpcTarget("127.0.0.9", 9, "cart")) == TcpTarget("127.0.0.9", 9)
    http = HttpTarget("127.0.0.9", 8080, "/")
    assert door_of(http) is http


@pytest.mark.parametrize(
    ("handler", "target"),
    [
        (HttpGet("web", "healthz"), HttpTarget("127.0.0.9", 8080, "/healthz")),
        (HttpGet(81, host="h", scheme="HTTPS"), HttpTarget("h", 81, "/", "HTTPS")),
        (HttpGet("nope"), Unusable("couldn't find port: nope")),
        (TcpSocket("web"), TcpTarget("127.0.0.9", 8080)),
        (Grpc(9, "cart"), GrpcTarget("127.0.0.9", 9, "cart")),
        (Exec(("a", "b")), ExecTarget(ID, ("a", "b"))),
    ],
)
def test_targets(handler: Handler, target: object) -> None:
    assert target_of(handler, container=ID, pod_ip="127.0.0.9", ports={"web": 8080}) == target
