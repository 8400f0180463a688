"""The drain errs on the side of waiting."""

from __future__ import annotations

from typing import cast

import pytest

from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.flights import Flights
from nodrop.proxy.haproxy.plan import Served
from nodrop.proxy.protocol import InFlight

SERVER = "uid-1_127.9.0.1_80"
_STREAM = (
    f"0x1: proto=tcpv4 fe=web be=t5 srv={SERVER} rq[f=0h,i=0,an=00h,ax=] rp[f=0h,i=0,an=00h,ax=]"
    " scf=[8,0h] scb=[8,1h]\n"
)


class Told:
    """Answers like an admin socket."""

    def __init__(self, in_flight: int, sessions: str) -> None:
        self._in_flight, self._sessions = in_flight, sessions

    async def ask(self, command: str) -> str:
        if command == "show sess":
            return self._sessions
        return f"# pxname,svname,qcur,scur,stot\nt5,{SERVER},0,{self._in_flight},9\n"


@pytest.mark.parametrize(
    ("in_flight", "sessions", "deaf", "left"),
    [
        (0, "", 0, InFlight(0)),
        (1, _STREAM, 0, InFlight(0, 1)),
        (1, "0x1: another release writes this otherwise\n", 0, InFlight(1)),
        (2, _STREAM, 0, InFlight(1, 1)),
        (1, _STREAM, 1, InFlight(1, 1)),  # a process that can't be asked may have something
    ],
)
async def test_what_is_counted_and_not_shown_is_waited_for(
    in_flight: int, sessions: str, deaf: int, left: InFlight
) -> None:
    async def planes() -> list[tuple[AdminSocket, Served]]:
        admin = cast(AdminSocket, Told(in_flight, sessions))
        return [(admin, Served({"t5": {SERVER: False}}))]

    async def in_old(pod: str) -> int:
        return deaf

    flights = Flights(planes=planes, deaf=in_old, drained=lambda pod, requests: None)
    assert await flights.drain("uid-1", 0.2, 0.0) == left
