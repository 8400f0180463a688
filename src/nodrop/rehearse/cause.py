"""Why a request was lost, in the words of who has to mend it. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from nodrop.rehearse.record import Outcome, Record


class Cause(StrEnum):
    """The cause of a loss; each is documented here and nowhere else."""

    REFUSED = "refused"  # nobody listened where the request went
    RESET = "reset"  # the connection was reset or closed without an answer
    HALF_ANSWER = "half-answer"  # the answer broke off
    APP_5XX = "5xx from the app"
    PROXY_502 = "502 from the proxy"  # the pod cut the connection before it had answered
    PROXY_503 = "503 from the proxy"  # the pod refused the connection, or no pod was ready
    PROXY_504 = "504 from the proxy"  # the pod did not answer in time
    TIMEOUT = "time-out"
    WRONG_VERSION = "wrong version after completion"
    WRONG_ANSWER = "wrong answer"  # complete, but not this request's, or no HTTP
    DUPLICATE = "duplicate processing"
    STATUS = "unexpected status"  # neither 2xx nor 5xx
    UNSENT = "not sent"  # the load's own limit: says nothing about the app


_OF_PROXY = {502: Cause.PROXY_502, 503: Cause.PROXY_503, 504: Cause.PROXY_504}


def cause_of(record: Record) -> Cause:
    """The cause of a lost record. Raises ValueError for one that is not lost.

    Where no proxy of ours tells whose answer it is (a real cluster), 502, 503 and 504 are taken
    for the proxy's and other 5xx for the app's.
    """
    match record.outcome:
        case Outcome.OK:
            raise ValueError(f"request {record.id} is not lost")
        case Outcome.REFUSED | Outcome.UNCONNECTED:
            return Cause.REFUSED
        case Outcome.UNSENT:
            return Cause.UNSENT
        case Outcome.RESET_UNSENT | Outcome.RESET | Outcome.CLOSED | Outcome.CLOSED_KEEP_ALIVE:
            return Cause.RESET
        case Outcome.RESET_MID_ANSWER | Outcome.HALF_ANSWER:
            return Cause.HALF_ANSWER
        case Outcome.TIMEOUT:
            return Cause.TIMEOUT
        case Outcome.STATUS_5XX:
            of_proxy = Cause.APP_5XX if record.by_app else _OF_PROXY.get(record.status)
            return of_proxy or Cause.APP_5XX
        case Outcome.STATUS_4XX | Outcome.STATUS_OTHER:
            return Cause.STATUS
        case Outcome.WRONG_BODY | Outcome.MALFORMED:
            return Cause.WRONG_ANSWER
        case Outcome.DUPLICATE:
            return Cause.DUPLICATE
    assert_never(record.outcome)


def detail_of(cause: Cause, *, has_pod: bool, is_repeatable: bool) -> str:
    """What happened, in half a sentence."""
    match cause:
        case Cause.PROXY_503 if has_pod:
            return "the pod refused the connection: nothing listened any more, or yet"
        case Cause.PROXY_503:
            return "no pod was ready"
        case Cause.PROXY_502:
            said = "the pod closed the connection before it had answered"
            return said if is_repeatable else f"{said}; it may have done the work"
        case Cause.PROXY_504 | Cause.TIMEOUT:
            return "no answer in time"
        case Cause.REFUSED:
            return "the connection was refused"
        case Cause.RESET:
            return "the connection ended without an answer"
        case Cause.HALF_ANSWER:
            return "the answer broke off in the middle"
        case Cause.APP_5XX:
            return "the app answered with an error"
        case Cause.WRONG_VERSION:
            return "an old version answered after the rollout was complete"
        case Cause.WRONG_ANSWER:
            return "the answer was not this request's"
        case Cause.DUPLICATE:
            return "the app says that it has processed the request before"
        case Cause.STATUS:
            return "the status was neither 2xx nor 5xx"
        case Cause.UNSENT:
            return "the load could not send it: too many in flight, or no file descriptor left"
    assert_never(cause)
