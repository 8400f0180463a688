"""What would have kept a loss from happening, and the checker's rule that foretells it. Pure.

Rule ids are those of ``nodrop check`` (nodrop.check.catalogue); a test holds them together.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodrop.rehearse.cause import Cause
from nodrop.rehearse.ledger import Kind, Ledger


@dataclass(frozen=True, slots=True)
class Advice:
    """``mend`` is what to change; ``setting`` the lines of YAML, where some lines do it."""

    why: str
    mend: str
    rules: tuple[str, ...] = ()
    setting: str = ""


#: How late the cluster-faithful mode lets removals be seen at most (nodrop.proxy.late).
LONGEST_S = 3.0
_HOOK_S = int(LONGEST_S) + 2
PRE_STOP = f"lifecycle:\n  preStop:\n    sleep: {{seconds: {_HOOK_S}}}"
PROBE = "readinessProbe:\n  httpGet: {path: /healthz, port: http}\n  periodSeconds: 1"

_CLOSE_STREAMS = (
    "close streams on SIGTERM: answer what has come, send each WebSocket a Close frame (1001), end "
    "each streaming response; clients then connect to another pod"
)
_CUT = {Cause.PROXY_502, Cause.RESET, Cause.HALF_ANSWER}
_GONE = {Cause.PROXY_503, Cause.REFUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How the app's pods are ended. ``drains``: requests are over before the first signal.

    So it is in nodrop's order. Then nothing is sent to a pod that has got SIGTERM, and a preStop
    hook that waits changes nothing; in a cluster it is what waits for the proxies.
    """

    drains: bool
    has_pre_stop: bool
    grace_s: float


def advise(ledger: Ledger, ending: Ending) -> list[tuple[Advice, int]]:
    """Advice with the number of losses that it is about, most first."""
    counts: dict[Advice, int] = {}
    for kind, number in ledger.kinds.items():
        advice = advice_for(kind, ending)
        counts[advice] = counts.get(advice, 0) + number
    return sorted(counts.items(), key=lambda item: -item[1])


def advice_for(kind: Kind, ending: Ending) -> Advice:
    """What to change about one kind of loss."""
    has_pre_stop = ending.has_pre_stop
    if kind.phase == "starting":
        return _starting()
    if _is_cut_stream(kind):
        return _stream_not_closed(ending)
    if kind.phase == "killed":
        return _killed(ending.grace_s)
    if kind.phase == "ended" and kind.cause in _GONE:
        return _sent_too_late(has_pre_stop)
    if kind.phase in ("after SIGTERM", "ended") and kind.cause in _CUT:
        return _outlasted(ending.grace_s) if ending.drains else _cut(has_pre_stop)
    if kind.phase == "after SIGTERM" and kind.cause in _GONE:
        return _sent_too_late(has_pre_stop)
    if kind.phase == "after SIGTERM" and kind.cause is Cause.APP_5XX:
        return _refuses_after_signal()
    if kind.phase == "preStop":
        return _hook_breaks_it()
    return _without_end(kind)


def _starting() -> Advice:
    return Advice(
        "the pod got traffic before the app answered",
        "give the container a readinessProbe that passes only when the app can serve",
        ("ND201", "ND202"),
        PROBE,
    )


def _killed(grace_s: float) -> Advice:
    return Advice(
        f"the pod was killed when its grace period of {grace_s:g} s was over",
        "raise terminationGracePeriodSeconds above preStop plus the longest request, or let the "
        "app end on SIGTERM (a shell or npm as first process keeps the signal to itself)",
        ("ND304", "ND401", "ND402", "ND403"),
        "terminationGracePeriodSeconds: 60",
    )


def _sent_too_late(has_pre_stop: bool) -> Advice:
    if has_pre_stop:
        return Advice(
            "the app stopped listening while the cluster still sent requests to it: the preStop "
            "hook was over too soon",
            f"let preStop last {_HOOK_S} s: removals are seen up to {LONGEST_S:g} s late",
            ("ND302",),
            PRE_STOP,
        )
    return Advice(
        "SIGTERM came at once and the app stopped listening, while the cluster went on sending "
        f"requests to it for up to {LONGEST_S:g} s",
        "keep the pod serving until every proxy has heard of its end: a preStop sleep",
        ("ND301",),
        PRE_STOP,
    )


def _is_cut_stream(kind: Kind) -> bool:
    """A message that was lost because its connection ended with its pod, and without a word."""
    ending = kind.phase in ("after SIGTERM", "ended", "killed")
    return kind.is_message and ending and kind.cause in _CUT


def _stream_not_closed(ending: Ending) -> Advice:
    """No order of things can end a stream well: only the app knows when a message is over."""
    why = "the app did not close its streams on SIGTERM, so what was on its way over them was lost"
    if ending.drains or ending.has_pre_stop:
        return Advice(why, f"{_CLOSE_STREAMS}; no preStop sleep can do that")
    return Advice(
        why,
        f"{_CLOSE_STREAMS}, and keep SIGTERM back with a preStop sleep until no new stream comes",
        ("ND301",),
        PRE_STOP,
    )


def _outlasted(grace_s: float) -> Advice:
    """Only where the drain comes first: it had waited for them, up to its share of the grace."""
    return Advice(
        "the app ended with requests in hand: they went on for longer than the drain, which is two "
        f"thirds of the grace period of {grace_s:g} s, or are streams, which it does not wait for",
        "let the app finish its requests on SIGTERM and end its streaming responses, and give it "
        "a terminationGracePeriodSeconds of more than one and a half times its longest request",
        ("ND304", "ND404"),
        "terminationGracePeriodSeconds: 60",
    )


def _cut(has_pre_stop: bool) -> Advice:
    if has_pre_stop:
        return Advice(
            "the app closed connections on SIGTERM with requests in them",
            "let the app finish its requests on SIGTERM (its graceful shutdown), and let preStop "
            f"last {_HOOK_S} s",
            ("ND404", "ND302"),
            PRE_STOP,
        )
    return Advice(
        "the app ended on SIGTERM with requests in hand",
        "keep SIGTERM back with a preStop sleep until no request comes any more, and turn on the "
        "app's graceful shutdown",
        ("ND301", "ND404"),
        PRE_STOP,
    )


def _refuses_after_signal() -> Advice:
    return Advice(
        "the app answers with errors once it has got SIGTERM, while requests still come",
        "hold SIGTERM back with a preStop sleep, so that it comes after the last request",
        ("ND301", "ND302"),
        PRE_STOP,
    )


def _hook_breaks_it() -> Advice:
    return Advice(
        "requests were lost while the preStop hook ran",
        "let the hook wait (sleep) and not stop the app itself",
        ("ND302",),
        PRE_STOP,
    )


def _without_end(kind: Kind) -> Advice:
    """Losses that have nothing to do with the end of a pod that is known."""
    if kind.cause is Cause.PROXY_503 and not kind.version:
        return Advice(
            "no pod was ready",
            "keep one ready: maxUnavailable 0 with maxSurge 1, two replicas, and a "
            "PodDisruptionBudget",
            ("ND103", "ND104", "ND105"),
            "strategy:\n  rollingUpdate: {maxSurge: 1, maxUnavailable: 0}",
        )
    if kind.cause is Cause.WRONG_VERSION:
        return Advice("an old pod went on serving", "look for a second Deployment of these labels")
    if kind.cause is Cause.DUPLICATE:
        return Advice(
            "a request was processed twice",
            "let no proxy in front send POST again, and make the app's handling idempotent",
        )
    if kind.cause is Cause.UNSENT:
        return Advice("the load reached its own limits", "lower --rate")
    return Advice(
        f"requests failed ({kind.cause}) on a pod that was {kind.phase or 'not known'}",
        "this is the app's own failure, not its end: look at its logs",
    )
