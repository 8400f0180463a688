"""HAProxy's log: what it is told to write of requests, and how a line is read; pure.

Lines go to a ring in HAProxy's memory and from there to a unix socket, so that nothing waits for
who reads: while nobody does the ring keeps the newest that fit, and goes on without the rest. By
default only one request in SAMPLE_ONE_IN is written, with just what a histogram needs: building a
line costs more than routing a request, and the rule that keeps silent comes before that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Whose requests are told. In TCP mode other words are known.
HTTP_FRONTENDS = ("web", "web-tls", "services")
RING = "requests"
SAMPLE_ONE_IN = 32
#: Longer lines are cut by HAProxy; a request's path is most of it.
LONGEST_LINE_BYTES = 4096
_RING_BYTES = 4 * 1024 * 1024

_SAMPLE = "s %b %s %ST %Ta"
_WHOLE = (
    "w %b %s %ST %Ta %Ts %ms %ci %cp %U %B %TR %Tw %Tc %Tr %Td %rc %ts %HM %HPO"
    " %[var(txn.log_host)]"
)
_SAMPLE_WORDS, _WHOLE_WORDS = 5, 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the access log tells besides. Durations are -1 where the request never came so far.

    ``termination`` is HAProxy's two letters: who ended it, and in which phase; ``--`` is normal.
    """

    started_s: float
    client: str
    method: str
    host: str
    path: str
    bytes_in: int
    bytes_out: int
    receive_ms: int
    queue_ms: int
    connect_ms: int
    response_ms: int
    transfer_ms: int
    retries: int
    redispatched: bool
    termination: str


@dataclass(frozen=True, slots=True)
class Line:
    """One answered or broken request. ``slot`` and ``server`` as HAProxy names them."""

    slot: str
    server: str
    code: int
    total_ms: int
    request: Request | None = None


#: Older ones try to reach an engine that is down without any pause, which takes a whole core
#: (2.6.12 measured: 150,000 attempts a second; 2.8.25: one).
TELLS_SINCE = (2, 8)


def render_ring(socket: str) -> list[str]:
    """The section that carries lines to who listens at ``socket``."""
    return [
        f"ring {RING}",
        "  format raw",
        f"  maxlen {LONGEST_LINE_BYTES}",
        f"  size {_RING_BYTES}",
        "  timeout connect 5s",
        "  timeout server 1d",
        f"  server engine unix@{socket} log-proto octet-count",
    ]


def render_logging(*, whole: bool) -> list[str]:
    """The lines of an HTTP frontend; they come before its other rules."""
    target = f"  log ring@{RING} len {LONGEST_LINE_BYTES} format raw local0"
    if whole:
        host = "  http-request set-var(txn.log_host) req.hdr(host),lower"
        return [target, f'  log-format "{_WHOLE}"', host]
    silent = f"  http-request set-log-level silent unless {{ rand({SAMPLE_ONE_IN}) eq 0 }}"
    return [target, f'  log-format "{_SAMPLE}"', silent]


def with_logging(lines: Iterable[str], logging: Sequence[str]) -> list[str]:
    """The sections ``lines``, with ``logging`` before the HTTP rules of every HTTP frontend."""
    heads = {f"frontend {name}" for name in HTTP_FRONTENDS}
    found: list[str] = []
    waiting = False
    for line in lines:
        waiting = waiting or line in heads
        if waiting and line.startswith("  http-request "):
            found += logging
            waiting = False
        found.append(line)
    return found


def parse_line(text: str) -> Line | None:
    """A line as HAProxy wrote it; None when it is none of ours.

    >>> parse_line("s s3 u1_127.9.0.1_80 200 12").total_ms
    12
    """
    words = text.split(" ", _WHOLE_WORDS)
    try:
        if words[0] == "s" and len(words) == _SAMPLE_WORDS:
            return Line(words[1], words[2], int(words[3]), _ms(words[4]))
        if words[0] == "w" and len(words) == _WHOLE_WORDS + 1:
            return Line(words[1], words[2], int(words[3]), _ms(words[4]), _request(words))
    except ValueError:
        pass
    return None


def dropped_in(text: str) -> int:
    """How many lines HAProxy says, in a line of its own, that it had no room for."""
    count, _, said = text.strip().rpartition(": ")[2].partition(" ")
    return int(count) if said.startswith("event") and "dropped" in said and count.isdigit() else 0


def _request(words: list[str]) -> Request:
    retries = words[16]
    return Request(
        started_s=int(words[5]) + int(words[6]) / 1000,
        client=f"[{words[7]}]:{words[8]}" if ":" in words[7] else f"{words[7]}:{words[8]}",
        bytes_in=int(words[9]),
        bytes_out=_ms(words[10]),
        receive_ms=int(words[11]),
        queue_ms=int(words[12]),
        connect_ms=int(words[13]),
        response_ms=int(words[14]),
        transfer_ms=int(words[15]),
        retries=int(retries.removeprefix("+")),
        redispatched=retries.startswith("+"),
        termination=words[17],
        method=words[18],
        path=words[19],
        host="" if words[20] == "-" else words[20],
    )


def _ms(word: str) -> int:
    """A number that HAProxy marks with + while the request still goes on."""
    return int(word.removeprefix("+"))
