"""What a pod has in hand, told apart by kind, read from ``show sess``; pure.

HAProxy itself knows best what a request has become, so nothing is guessed from headers and the
way of a request costs nothing more. It is asked only when a pod that ends still has something in
hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from nodrop.proxy.haproxy.slots import pod_of_server, slot_of_section


class Kind(Enum):
    """``REQUEST``: its answer has not begun. ``ANSWER``: it has, and is not over. ``TUNNEL``: a
    connection without requests and answers: TCP, WebSocket, CONNECT. It does not end by itself."""

    REQUEST = "request"
    ANSWER = "answer"
    TUNNEL = "tunnel"


class Session(NamedTuple):
    """``id`` is what ``shutdown session`` takes; it may be used again once a session is over.
    ``age_s``: of a request, not of the connection that it came on."""

    id: str
    section: str
    server: str
    kind: Kind
    age_s: int = 0


#: Analysers of the response that are still to come: waiting for its head, passing its body on.
_AWAITS_HEAD, _PASSES_BODY = 0x00400000, 0x04000000
#: The state of a connection to a server that is there.
_ESTABLISHED = 8

_SOURCE = re.compile(r"^(0x[0-9a-f]+): proto=tcp\S* src=(\S+)", re.MULTILINE)
#: Everything of a session but its first line is indented.
_ONWARD = re.compile(
    r"^(0x[0-9a-f]+): .*\n(?: .*\n)*?  backend=\S+ \([^)]*\) addr=(\S+:\d+)", re.MULTILINE
)
_LINE = re.compile(
    r"^(?P<id>0x[0-9a-f]+): .*?\bbe=(?P<be>\S+) srv=(?P<srv>\S+)"
    r"(?:.*? age=(?P<age>\w+))?.*? rp\[f=[^\]]*?\ban=(?P<an>[0-9a-f]+)h"
    r".*? (?:scb|csb|s1)=\[(?P<state>\d+),",
    re.MULTILINE,
)


def sessions_of(pod: str, answer: str) -> list[Session]:
    """The sessions of ``show sess`` that ``pod`` has in hand."""
    return [one for one in all_sessions(answer) if pod_of_server(one.server) == pod]


def all_sessions(answer: str) -> list[Session]:
    """Those that any pod has in hand."""
    return [
        Session(line["id"], line["be"], line["srv"], _kind(line), _seconds(line["age"] or ""))
        for line in _LINE.finditer(answer)
        if slot_of_section(line["be"]) is not None
    ]


def sources_of(answer: str) -> dict[str, str]:
    """Session → where its connection comes from, by ``show sess``: the edge, not its client."""
    return dict(_SOURCE.findall(answer))


def onward_of(answer: str) -> dict[str, str]:
    """Session → from where its connection to the server goes out: ``show sess all``."""
    return dict(_ONWARD.findall(answer))


def count(sessions: Iterable[Session], kind: Kind) -> int:
    """How many are of a kind."""
    return sum(session.kind is kind for session in sessions)


def _seconds(text: str) -> int:
    """``1m5s`` → 65."""
    return sum(int(count) * _UNITS_S[unit] for count, unit in re.findall(r"(\d+)([dhms])", text))


_UNITS_S = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def _kind(line: re.Match[str]) -> Kind:
    to_come = int(line["an"], 16)
    if int(line["state"]) < _ESTABLISHED or to_come & _AWAITS_HEAD:
        return Kind.REQUEST
    return Kind.ANSWER if to_come & _PASSES_BODY else Kind.TUNNEL
