"""A replaced main process lets go of its sockets, or is told to finish."""

from __future__ import annotations

from typing import cast

import pytest

from nodrop.proxy.haproxy.admin_socket import AdminSocket
from nodrop.proxy.haproxy.retired import let_go
from nodrop.proxy.protocol import ProxyFailure


class Frontends:
    """Answers like the admin socket of a process that has some; ``stubborn`` ones stay open."""

    def __init__(self, *stubborn: str) -> None:
        self.status = {"web": "OPEN", "services": "OPEN", "streams": "STOP"}
        self._stubborn = stubborn
        self.watched = ""
        self.looks = 0

    async def ask(self, command: str) -> str:
        name = command.rpartition(" ")[2]
        if command.startswith("show stat"):
            rows = [f"{name},{status},0" for name, status in self.status.items()]
            return "\n".join(["# pxname,status,scur", *rows])
        if command == "show fd":
            self.looks += 1
            return self.watched
        if command.startswith("shutdown frontend"):
            if name in self._stubborn:
                return "Failed to shut it down."
            self.status[name] = "STOP"
        return ""


async def test_all_frontends_are_closed() -> None:
    process = Frontends()
    await let_go(cast(AdminSocket, process))
    assert set(process.status.values()) == {"STOP"}


async def test_one_that_stays_open_is_a_failure_and_the_others_are_closed() -> None:
    process = Frontends("web")
    with pytest.raises(ProxyFailure, match=r"frontends web$"):
        await let_go(cast(AdminSocket, process))
    assert process.status["services"] == "STOP"


async def test_sockets_without_connections_are_not_waited_for_longer_than_asked() -> None:
    process = Frontends()
    process.watched = "10 : st=0x000021(cl heopI W:sRa R:sRa) ref=0 gid=1 prmsk=0x1 l.st=RDY"
    await let_go(cast(AdminSocket, process), 3)
    assert process.looks == 3
    assert set(process.status.values()) == {"STOP"}
