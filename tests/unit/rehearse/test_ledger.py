"""The ledger: every request is answered or lost, and every loss has a cause, a pod and a phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as replaced

from nodrop.check.catalogue import _CARDS
from nodrop.rehearse.advice import LONGEST_S, Ending, advice_for
from nodrop.rehearse.cause import Cause, cause_of, detail_of
from nodrop.rehearse.ledger import Completion, Evidence, Kind, loss_of, write_ledger
from nodrop.rehearse.lives import Life, LifePhase, Lives
from nodrop.rehearse.record import Outcome, Record

CLUSTER = Life(
    "old-1", "v1", 0.0, uid="u1", revision="r1", ready=2.0, deleting=10.0, signalled=10.0,
    exited=12.0, exit_code=0, gone=12.5,
)  # fmt: skip
DRAINED = Life(
    "old-2", "v1", 0.0, uid="u2", revision="r1", ready=2.0, deleting=20.0, withdrawn=21.0,
    has_pre_stop=True, signalled=24.0, exited=30.0, exit_code=137, gone=30.5,
)  # fmt: skip


def lives(*pods: Life) -> Lives:
    made = Lives({pod.name: pod for pod in pods})
    made._by_uid.update({pod.uid: pod for pod in pods})
    return made


def record(
    outcome: Outcome = Outcome.OK,
    *,
    at: float = 11.0,
    status: int = 200,
    pod: str = "",
    by_app: bool = False,
    method: str = "GET",
) -> Record:
    return Record(
        7, at - 0.1, at - 0.1, at, outcome, status, method, "", pod, False, path="/", by_app=by_app
    )


@pytest.mark.parametrize(
    ("life", "at", "phase"),
    [
        (CLUSTER, 1.0, "starting"),
        (CLUSTER, 2.0, "serving"),
        (CLUSTER, 10.0, "after SIGTERM"),
        (CLUSTER, 12.0, "ended"),
        (DRAINED, 20.5, "withdrawn"),
        (DRAINED, 22.0, "preStop"),
        (DRAINED, 25.0, "after SIGTERM"),
        (DRAINED, 31.0, "killed"),
    ],
)
def test_a_life_has_phases(life: Life, at: float, phase: LifePhase) -> None:
    assert life.phase_at(at) == phase


def test_where_no_event_tells_of_the_signal_it_came_after_the_hook() -> None:
    """A real cluster: preStop sleep 5 s, told to end at 10, so SIGTERM at 15."""
    life = Life("a", "v1", 0, ready=1, deleting=10, has_pre_stop=True, pre_stop_s=5)
    assert [life.phase_at(at) for at in (12, 15)] == ["preStop", "after SIGTERM"]


def test_without_a_probe_a_pod_is_starting_until_it_has_answered_s7() -> None:
    """S7: nothing stands behind its Ready condition."""
    life = Life("a", "v1", 0, ready=0.1, first_answer=3.0, is_probed=False)
    assert [life.phase_at(at) for at in (1, 4)] == ["starting", "serving"]


def test_a_loss_just_before_the_watch_tells_of_the_end_is_the_ends() -> None:
    assert CLUSTER.phase_of_loss(9.95) == "after SIGTERM"
    assert CLUSTER.phase_of_loss(9.5) == "serving"
    assert DRAINED.phase_of_loss(29.95) == "killed"


@pytest.mark.parametrize(
    ("outcome", "status", "by_app", "cause"),
    [
        (Outcome.REFUSED, 0, False, Cause.REFUSED),
        (Outcome.UNCONNECTED, 0, False, Cause.REFUSED),
        (Outcome.RESET, 0, False, Cause.RESET),
        (Outcome.CLOSED_KEEP_ALIVE, 0, False, Cause.RESET),
        (Outcome.HALF_ANSWER, 0, False, Cause.HALF_ANSWER),
        (Outcome.RESET_MID_ANSWER, 0, False, Cause.HALF_ANSWER),
        (Outcome.STATUS_5XX, 503, True, Cause.APP_5XX),
        (Outcome.STATUS_5XX, 500, False, Cause.APP_5XX),
        (Outcome.STATUS_5XX, 502, False, Cause.PROXY_502),
        (Outcome.STATUS_5XX, 503, False, Cause.PROXY_503),
        (Outcome.STATUS_5XX, 504, False, Cause.PROXY_504),
        (Outcome.TIMEOUT, 0, False, Cause.TIMEOUT),
        (Outcome.STATUS_4XX, 404, True, Cause.STATUS),
        (Outcome.WRONG_BODY, 200, True, Cause.WRONG_ANSWER),
        (Outcome.MALFORMED, 0, False, Cause.WRONG_ANSWER),
        (Outcome.DUPLICATE, 200, True, Cause.DUPLICATE),
        (Outcome.UNSENT, 0, False, Cause.UNSENT),
    ],
)
def test_every_outcome_has_its_cause(
    outcome: Outcome, status: int, by_app: bool, cause: Cause
) -> None:
    assert cause_of(record(outcome, status=status, by_app=by_app)) is cause


def test_an_answered_request_has_no_cause() -> None:
    with pytest.raises(ValueError, match="is not lost"):
        cause_of(record())


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_is_told(cause: Cause) -> None:
    assert detail_of(cause, has_pod=True, is_repeatable=False)


def test_a_loss_is_the_pods_that_the_answer_names_s14() -> None:
    lost = record(Outcome.STATUS_5XX, status=503, pod="u1_127.9.0.1_8080")
    loss = loss_of(lost, lives(CLUSTER, DRAINED))
    assert loss is not None
    assert (loss.pod, loss.version, loss.phase, loss.sureness) == (
        "old-1", "v1", "after SIGTERM", "named",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pods", "pod", "sureness"),
    [
        ((CLUSTER, DRAINED), "old-1", "inferred"),  # the other one ends later
        ((DRAINED,), "", "unknown"),
        ((CLUSTER, Life("x", "v1", 0.0, uid="u3", deleting=10.5)), "", "unknown"),  # which one?
    ],
)
def test_without_a_name_only_a_single_ending_pod_is_blamed(
    pods: Sequence[Life], pod: str, sureness: str
) -> None:
    loss = loss_of(record(Outcome.CLOSED_KEEP_ALIVE), lives(*pods))
    assert loss is not None
    assert (loss.pod, loss.sureness) == (pod, sureness)


def test_an_old_version_after_completion_is_a_loss() -> None:
    done = [Completion(at=5.0, until=50.0, revision="r2")]
    late = record(pod="u1_127.9.0.1_8080", at=9.0)
    loss = loss_of(late, lives(CLUSTER), done)
    assert loss is not None
    assert loss.cause is Cause.WRONG_VERSION
    assert loss_of(record(pod="u1_127.9.0.1_8080", at=5.05), lives(CLUSTER), done) is None
    assert loss_of(late, lives(CLUSTER), [Completion(5.0, 50.0, "r1")]) is None


@given(st.lists(st.sampled_from(list(Outcome)), max_size=60))
def test_every_request_is_answered_or_lost(outcomes: list[Outcome]) -> None:
    evidence = Evidence()
    evidence.add_all(record(outcome, status=503) for outcome in outcomes)
    ledger = write_ledger(evidence, lives(CLUSTER))
    assert ledger.requests == ledger.answered + ledger.lost == len(outcomes)
    assert ledger.lost == sum(outcome is not Outcome.OK for outcome in outcomes)
    assert ledger.lost == sum(ledger.causes().values()) == len(ledger.losses)


def test_what_is_not_kept_is_counted() -> None:
    evidence = Evidence()
    evidence.add_all([record(Outcome.RESET)] * 10_001)
    ledger = write_ledger(evidence, lives())
    assert (ledger.lost, len(ledger.losses)) == (10_001, 10_000)


def test_losses_after_sigterm_ask_for_a_hook_and_then_for_a_longer_one() -> None:
    kind = Kind(Cause.PROXY_503, "ended", "v1")
    first = advice_for(kind, Ending(drains=False, has_pre_stop=False, grace_s=30))
    second = advice_for(kind, Ending(drains=False, has_pre_stop=True, grace_s=30))
    assert (first.rules, second.rules) == (("ND301",), ("ND302",))
    assert "preStop" in first.setting


@given(
    st.sampled_from(list(Cause)),
    st.sampled_from(
        ["", "starting", "serving", "withdrawn", "preStop", "after SIGTERM", "ended", "killed"]
    ),
    st.booleans(),
    st.builds(Ending, drains=st.booleans(), has_pre_stop=st.booleans(), grace_s=st.just(30.0)),
)
def test_every_kind_of_loss_has_advice(
    cause: Cause, phase: LifePhase, is_message: bool, ending: Ending
) -> None:
    advice = advice_for(Kind(cause, phase, "v1", is_message), ending)
    assert advice.why
    assert advice.mend


@pytest.mark.parametrize("phase", ["after SIGTERM", "ended", "killed"])
@pytest.mark.parametrize(
    ("drains", "has_hook", "advises_hook"),
    [(True, False, False), (True, True, False), (False, False, True), (False, True, False)],
)
def test_lost_messages_ask_for_streams_that_are_closed_on_sigterm(
    phase: LifePhase, drains: bool, has_hook: bool, advises_hook: bool
) -> None:
    """A hook that waits can't end a stream; in a cluster it keeps new ones from coming."""
    pod = replace(CLUSTER, exit_code=137) if phase == "killed" else CLUSTER
    ending = Ending(drains=drains, has_pre_stop=has_hook, grace_s=30)
    cut = replaced(record(Outcome.CLOSED, status=0, pod="u1_127.9.0.1_8080"), method="WebSocket")
    loss = loss_of(cut, lives(pod))
    assert loss is not None
    assert loss.kind.is_message
    advice = advice_for(replace(loss.kind, phase=phase), ending)
    assert "close streams on SIGTERM" in advice.mend
    assert "Close frame" in advice.mend
    assert ("preStop" in advice.setting) is advises_hook
    assert ("ND301" in advice.rules) is advises_hook


def test_a_refused_handshake_is_a_request() -> None:
    refused = replaced(record(Outcome.STATUS_5XX, status=502), method="WebSocket")
    loss = loss_of(refused, lives(CLUSTER))
    assert loss is not None
    assert not loss.kind.is_message


@pytest.mark.parametrize("has_hook", [True, False])
@pytest.mark.parametrize("cause", [Cause.RESET, Cause.HALF_ANSWER, Cause.PROXY_502])
def test_where_the_drain_comes_first_no_hook_is_asked_for(cause: Cause, has_hook: bool) -> None:
    """The drain has waited for requests already: what was cut took longer than that."""
    advice = advice_for(
        Kind(cause, "after SIGTERM", "v1"), Ending(drains=True, has_pre_stop=has_hook, grace_s=30)
    )
    assert "preStop" not in advice.setting + advice.mend
    assert "terminationGracePeriodSeconds" in advice.setting


def test_the_advice_knows_the_longest_lag() -> None:
    from nodrop.proxy import late

    assert late.LONGEST_S == LONGEST_S


def test_the_checker_knows_every_rule_that_advice_names() -> None:
    known = {card.id for card in _CARDS}
    named = {
        rule
        for cause in Cause
        for phase in ("", "starting", "preStop", "after SIGTERM", "ended", "killed")
        for drains, hook in product((True, False), repeat=2)
        for is_message in (True, False)
        for rule in advice_for(
            Kind(cause, phase, "", is_message),
            Ending(drains=drains, has_pre_stop=hook, grace_s=1),
        ).rules
    }
    assert named <= known
