"""What HAProxy says of sessions, and what kind they are: lines of 2.8 and of 2.6."""

from __future__ import annotations

import pytest

from nodrop.proxy.haproxy.edge import streams_alone_in
from nodrop.proxy.haproxy.sessions import (
    Kind,
    Session,
    count,
    onward_of,
    sessions_of,
    sources_of,
)

_LINE = (
    "{id}: proto=tcpv4 src=127.0.0.1:55258 fe=web be={be} srv={srv} ts=00 epoch=0 age={age} calls=2"
    " rate=0 cpu=0 lat=0 rq[f=1840000h,i=0,an=8000h,ax=] rp[f=80000000h,i=0,an={an}h,ax=]"
    " {front}=[8,482h,fd=16,rex=,wex=] {back}=[{state},1411h,fd=18,rex=59m59s,wex=]"
    " exp=4s rc=0 c_exp="
)
SERVER = "uid-1_127.9.0.1_8080"


def line(
    an: str,
    be: str = "s0",
    srv: str = SERVER,
    state: int = 8,
    old: bool = False,
    age: str = "0s",
) -> str:
    front, back = ("s0", "s1") if old else ("scf", "scb")
    return _LINE.format(
        id="0x21ae06c0", be=be, srv=srv, an=an, front=front, back=back, state=state, age=age
    )


@pytest.mark.parametrize(
    ("an", "be", "state", "kind"),
    [
        ("1400000", "s0", 8, Kind.REQUEST),  # the pod has not answered
        ("1400000", "s0u", 8, Kind.REQUEST),
        ("4000000", "s0", 8, Kind.ANSWER),
        ("24000000", "s0", 8, Kind.ANSWER),
        ("00", "s0", 8, Kind.TUNNEL),  # WebSocket
        ("00", "t5", 8, Kind.TUNNEL),  # TCP
        ("00", "t5", 5, Kind.REQUEST),  # still being connected
        ("00", "s0", 5, Kind.REQUEST),
    ],
)
@pytest.mark.parametrize("old", [False, True])
def test_kinds(an: str, be: str, state: int, kind: Kind, old: bool) -> None:
    (found,) = sessions_of("uid-1", line(an, be, state=state, old=old))
    assert found == Session("0x21ae06c0", be, SERVER, kind)


def test_only_those_of_the_pod_in_slots_count() -> None:
    lines = [
        line("00"),
        line("00", srv="uid-12_127.9.0.1_8080"),
        line("00", srv="<none>"),
        line("00", be="<NONE>"),
        line("00", be="main-services"),
        "0x7f: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none> ts=00 age=0s calls=1",
    ]
    found = sessions_of("uid-1", "\n".join(lines))
    assert (len(found), count(found, Kind.TUNNEL), count(found, Kind.ANSWER)) == (1, 1, 0)


@pytest.mark.parametrize(
    ("age", "seconds"), [("4s", 4), ("1m5s", 65), ("2h3m", 7380), ("1d2h", 93_600)]
)
def test_ages(age: str, seconds: int) -> None:
    (found,) = sessions_of("uid-1", line("4000000", age=age))
    assert found.age_s == seconds


_WHOLE = """\
0x2d3cf130: [26/Nov/2026:02:56:50.011000] id=0 proto=tcpv4 source=127.0.0.1:42626
  flags=0x4a, conn_retries=0, conn_exp=<NEVER> conn_et=0x000 srv_conn=0x2d2f1a0, pend_pos=(nil)
  frontend=services (id=2 mode=tcp), listener=? (id=1) addr=127.9.128.1:80
  backend=main-services (id=3 mode=tcp) addr=127.0.0.1:48230
  server=main (id=1) addr=127.0.0.1:39215
  scf=0x2d3cf6a0 flags=0x00000000 state=EST endp=CONN,0x2d3a1c0,0x10001 sub=1
0x2d3ce7d0: [26/Nov/2026:02:56:47.001000] id=3 proto=unix_stream source=unix:1
  flags=0xa, conn_retries=0, conn_exp=<NEVER> conn_et=0x000 srv_conn=(nil), pend_pos=(nil)
  frontend=GLOBAL (id=0 mode=tcp), listener=? (id=1)
  backend=<NONE> (id=-1 mode=-)
  server=<NONE> (id=-1)
0x2d3cf6c0: [26/Nov/2026:02:56:49.000000] id=1 proto=tcpv4 source=127.0.0.1:42636
  frontend=services (id=2 mode=tcp), listener=? (id=1) addr=127.9.128.1:80
  backend=main-services (id=3 mode=tcp) addr=[::1]:48240
"""


def test_where_connections_come_from_and_go_out() -> None:
    """What the edge sends out is what main gets: by that one finds the other's session."""
    assert sources_of(line("00")) == {"0x21ae06c0": "127.0.0.1:55258"}
    assert sources_of("0x7f: proto=unix_stream src=unix:1 fe=GLOBAL be=<NONE> srv=<none>") == {}
    assert onward_of(_WHOLE) == {"0x2d3cf130": "127.0.0.1:48230", "0x2d3cf6c0": "[::1]:48240"}


@pytest.mark.parametrize(
    ("beside", "found"),
    [
        ("", {"127.0.0.1:55258"}),
        (line("4000000", age="9s"), {"127.0.0.1:55258"}),
        (line("1400000"), set()),  # HTTP/2: a request on the connection of a stream
        (line("00", be="<NONE>", srv="<none>"), set()),  # its head is being read
        (line("1400000").replace(":55258", ":55259"), {"127.0.0.1:55258"}),
    ],
)
def test_a_connection_with_a_request_beside_its_stream_is_none_to_close(
    beside: str, found: set[str]
) -> None:
    other = beside.replace("0x21ae06c0", "0x21ae07d0")
    assert streams_alone_in(f"{line('4000000', age='9s')}\n{other}") == found
