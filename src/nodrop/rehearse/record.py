"""One record a request: what was asked, when, what came back; and its form on a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    """What became of a request. Everything but OK is a loss."""

    OK = "ok"
    REFUSED = "refused"  # nobody listened
    UNCONNECTED = "unconnected"  # connecting failed in another way (reset, unreachable)
    UNSENT = "unsent"  # our own limit: too many in flight, no file descriptor left
    RESET_UNSENT = "reset-unsent"  # a new connection ended before a byte was sent
    RESET = "reset"  # reset after the request was sent, before any answer
    CLOSED = "closed"  # a new connection was closed in order, without any answer
    CLOSED_KEEP_ALIVE = "closed-keep-alive"  # the same on a connection used before
    RESET_MID_ANSWER = "reset-mid-answer"
    HALF_ANSWER = "half-answer"  # closed in order in the middle of the answer
    TIMEOUT = "timeout"
    STATUS_4XX = "status-4xx"
    STATUS_5XX = "status-5xx"
    STATUS_OTHER = "status-other"  # neither 2xx nor an error
    WRONG_BODY = "wrong-body"  # complete, but not what was asked for (or another's answer)
    DUPLICATE = "duplicate"  # the app says that it has processed this request before
    MALFORMED = "malformed"  # not HTTP/1.x


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request. Times are ``loop.time()``, which on Linux all processes share.

    ``asked_s`` is how long the request asked the app to take (a slow request), so that its
    latency can be told apart from the service's. ``sent`` is 0 when nothing was sent.
    """

    id: int
    intended: float
    sent: float
    done: float
    outcome: Outcome
    status: int
    method: str
    version: str
    pod: str
    fresh: bool  # sent as the first request of its connection
    asked_s: float = 0.0
    path: str = ""
    by_app: bool = False  # the proxy says that the answer is the app's own

    @property
    def lost(self) -> bool:
        return self.outcome is not Outcome.OK

    @property
    def latency_s(self) -> float:
        """From the intended send time, so that a stalled service can't hide requests (no
        coordinated omission), less the time that the request asked for."""
        return max(0.0, self.done - self.intended - self.asked_s)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[Record])


def encode_batch(records: Sequence[Record]) -> bytes:
    """One line of JSON for a batch of records."""
    return _encoder.encode(records) + b"\n"


def decode_batch(line: bytes) -> list[Record]:
    """Read a line of ``encode_batch``. Raises msgspec.DecodeError when it is not one."""
    return _decoder.decode(line)
