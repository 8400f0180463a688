"""Where the Ingress listens: ports by default, addresses that come and go, clear refusals."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Collection, Mapping
from typing import cast

import pytest

from nodrop.apiserver.app import ApiServer
from nodrop.keeper.protocol import Keeper, KeeperFailure
from nodrop.wiring import listening
from nodrop.wiring.files import EngineFailure
from nodrop.wiring.listening import (
    IngressSockets,
    check_addresses,
    drop_unused,
    follow_addresses,
    listen_api,
    listen_for_ingress,
)


class FakeKeeper:
    """Holds sockets on the ``addresses`` that the machine has; ``taken`` and low ports refuse."""

    def __init__(
        self, addresses: Collection[str], *, taken: Collection[int] = (), low: int = 0
    ) -> None:
        self.addresses = set(addresses)
        self.taken = set(taken)
        self.low = low
        self.held: dict[str, tuple[str, int]] = {}
        self.free = 40_000

    async def listening(self) -> Mapping[str, tuple[str, int]]:
        return dict(self.held)

    async def listen(self, name: str, host: str, port: int) -> int:
        if name in self.held:
            return self.held[name][1]
        if host not in self.addresses:
            raise KeeperFailure(f"can't listen on {host}:{port}", "EADDRNOTAVAIL")
        if 0 < port < self.low:
            raise KeeperFailure(f"can't listen on {host}:{port}", "EACCES")
        if port in self.taken:
            raise KeeperFailure(f"can't listen on {host}:{port}", "EADDRINUSE")
        if port == 0:
            self.free += 1
            port = self.free
        self.held[name] = (host, port)
        return port

    async def unlisten(self, name: str) -> None:
        self.held.pop(name, None)


BOTH = ("127.0.0.1", "::1")


async def listen(
    keeper: FakeKeeper,
    bind: Collection[str] = BOTH,
    http_port: int | None = None,
    https_port: int | None = None,
) -> IngressSockets:
    return await listen_for_ingress(
        cast(Keeper, keeper), tuple(bind), http_port=http_port, https_port=https_port
    )


@pytest.mark.parametrize(
    ("keeper", "http", "https", "hinted"),
    [
        (FakeKeeper(BOTH), 80, 443, False),
        (FakeKeeper(BOTH, low=1024), 8080, 8443, True),
        (FakeKeeper(BOTH, taken=(80,)), 8080, 443, True),
        (FakeKeeper(BOTH, low=1024, taken=(8443,)), 8080, 40_001, True),
    ],
)
async def test_the_first_port_that_can_be_had(
    keeper: FakeKeeper, http: int, https: int, hinted: bool
) -> None:
    found = await listen(keeper)
    assert (found.http_port, found.https_port) == (http, https)
    assert found.hosts == set(BOTH)
    assert ("ip_unprivileged_port_start" in found.hint) is hinted


async def test_a_free_port_is_the_same_on_every_address() -> None:
    found = await listen(FakeKeeper(BOTH), http_port=0, https_port=0)
    assert {port for _, port in found.http.values()} == {40_001}
    assert {port for _, port in found.https.values()} == {40_002}


async def test_a_port_that_was_asked_for_and_is_taken_is_named_and_nothing_is_left() -> None:
    keeper = FakeKeeper(BOTH, taken=(9000,))
    with pytest.raises(EngineFailure, match="HTTP port 9000 is in use") as failure:
        await listen(keeper, http_port=9000)
    assert "--http-port" in failure.value.hint
    with pytest.raises(EngineFailure, match="HTTPS port 9000 is in use") as failure:
        await listen(keeper, https_port=9000)
    assert "--https-port" in failure.value.hint


async def test_an_address_that_the_machine_lacks_is_named() -> None:
    keeper = FakeKeeper(BOTH)
    with pytest.raises(EngineFailure, match=r"--bind 192\.0\.2\.1: this machine has no such"):
        await listen(keeper, ("127.0.0.1", "192.0.2.1"))
    assert keeper.held == {}


async def test_sockets_that_are_held_are_used_again_whatever_their_name() -> None:
    keeper = FakeKeeper(BOTH)
    keeper.held = {"ingress/127.0.0.1": ("127.0.0.1", 8080)}  # as nodrop 0.1.0 named it
    found = await listen(keeper, http_port=8080)
    assert found.http == {
        "ingress/127.0.0.1": ("127.0.0.1", 8080),
        "ingress/::1:8080": ("::1", 8080),
    }


async def test_sockets_that_nobody_uses_are_let_go_of() -> None:
    keeper = FakeKeeper(BOTH)
    first = await listen(keeper)
    second = await listen(keeper, ("::1",), http_port=8081, https_port=8444)
    keeper.held["svc/127.9.0.1:80"] = ("127.9.0.1", 80)
    dropped = await drop_unused(cast(Keeper, keeper), {*second.http, *second.https})
    assert set(dropped) == {*first.http, *first.https}
    assert set(keeper.held) == {*second.http, *second.https, "svc/127.9.0.1:80"}


async def test_addresses_that_come_and_go_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = FakeKeeper(("127.0.0.1", "192.0.2.1"))
    present: dict[str, tuple[str, ...]] = {"now": ("127.0.0.1",)}
    monkeypatch.setattr(listening, "machine_addresses", lambda: present["now"])
    told: asyncio.Queue[IngressSockets] = asyncio.Queue()
    used: set[str] = set()
    first = await listen(keeper, ())
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(
            follow_addresses(
                cast(Keeper, keeper), first, told.put_nowait, used=lambda: used, every_s=0.001
            )
        )
        present["now"] = ("127.0.0.1", "192.0.2.1", "2001:db8::1")  # the last is not ready yet
        came = await told.get()
        assert came.hosts == {"127.0.0.1", "192.0.2.1"}
        keeper.addresses.add("2001:db8::1")
        assert (await told.get()).hosts == set(present["now"])
        used |= set(came.http)
        present["now"] = ("127.0.0.1",)
        assert (await told.get()).hosts == {"127.0.0.1"}
        while ("2001:db8::1", 80) in keeper.held.values():
            await asyncio.sleep(0)
        assert ("192.0.2.1", 80) in keeper.held.values(), "a process still has it"
        task.cancel()


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("example.org", "not an IP address"),
        ("127.0.0.1:80", "not an IP address"),
        ("[::1]", "not an IP address"),
        ("0.0.0.0", "wildcard"),
        ("::", "wildcard"),
        ("224.0.0.1", "multicast"),
        ("fe80::1%eth0", "link-local"),
    ],
)
def test_what_can_not_be_bound_is_refused(address: str, says: str) -> None:
    with pytest.raises(EngineFailure, match=says) as failure:
        check_addresses([address])
    assert address in str(failure.value)
    assert failure.value.hint


def test_addresses_are_normalised() -> None:
    assert check_addresses(["::0001", "127.0.0.1", "::1"]) == ("::1", "127.0.0.1")


class _Server:
    """Refuses the ports that are taken; a free one is 50000."""

    def __init__(self, taken: int, code: int = errno.EADDRINUSE) -> None:
        self.taken, self.code = taken, code

    async def start(self, host: str, port: int) -> int:
        if port == self.taken:
            raise OSError(self.code, "no")
        return port or 50_000


@pytest.mark.parametrize(
    ("taken", "asked", "before", "port"),
    [
        (0, None, None, 6443),
        (6443, None, None, 50_000),  # another engine's
        (6443, 7000, None, 7000),
        (6443, None, 7001, 7001),
        (6443, 0, None, 50_000),
    ],
)
async def test_a_second_engine_finds_a_port_for_its_api(
    taken: int, asked: int | None, before: int | None, port: int
) -> None:
    server = cast("ApiServer", _Server(taken or -1))
    assert await listen_api(server, asked=asked, before=before) == port


@pytest.mark.parametrize(
    ("asked", "before", "code"),
    [
        (6443, None, errno.EADDRINUSE),  # it was asked for
        (None, 6443, errno.EADDRINUSE),  # kubeconfigs were copied
        (None, None, errno.EACCES),
    ],
)
async def test_an_api_port_that_can_not_be_had_is_an_error(
    asked: int | None, before: int | None, code: int
) -> None:
    server = cast("ApiServer", _Server(6443, code))
    with pytest.raises(EngineFailure, match="API port 6443") as failed:
        await listen_api(server, asked=asked, before=before)
    assert "--api-port" in failed.value.hint
