"""Where Ingress and API listen, and how the Ingress follows the machine's addresses."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil

from nodrop.apiserver.app import ApiServer
from nodrop.keeper.protocol import Keeper, KeeperFailure
from nodrop.statedir import USUAL_API_PORT
from nodrop.wiring.files import EngineFailure

log = logging.getLogger(__name__)

API_HOST = "127.0.0.1"
_FIRST_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_LOOK_EVERY_S = 5.0
_NO_SUCH_ADDRESS = errno.errorcode[errno.EADDRNOTAVAIL]
_REFUSED = {errno.errorcode[errno.EADDRINUSE], errno.errorcode[errno.EACCES]}
#: What lets an ordinary user listen on 80 and 443; docs/guides/install.md shows all ways.
ALLOW_LOW_PORTS = (
    "to allow 80 and 443: sudo sysctl -w net.ipv4.ip_unprivileged_port_start=80, or a systemd "
    "unit with AmbientCapabilities=CAP_NET_BIND_SERVICE (nodrop install --system)"
)

Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """One of the two kinds of sockets that the Ingress has."""

    name: str
    prefix: str
    ports: tuple[int, ...]
    option: str


HTTP = Scheme(name="HTTP", prefix="ingress/", ports=(80, 8080), option="--http-port")
HTTPS = Scheme(name="HTTPS", prefix="ingress-tls/", ports=(443, 8443), option="--https-port")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressSockets:
    """The sockets that the keeper holds for the Ingress: name → (host, port), by scheme."""

    http: Mapping[str, Place]
    https: Mapping[str, Place] = field(default_factory=dict)
    hint: str = ""

    @property
    def http_port(self) -> int:
        return _port(self.http)

    @property
    def https_port(self) -> int:
        return _port(self.https)

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset(host for host, _ in self.http.values())


def machine_addresses() -> tuple[str, ...]:
    """127.0.0.1, ::1 and every address of this machine's interfaces, loopback first.

    Not the wildcard: one socket on 0.0.0.0:8080 would keep every pod from binding its own
    127.x address at port 8080.
    """
    found = ["127.0.0.1"]
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            if address.family not in (socket.AF_INET, socket.AF_INET6):
                continue
            ip = ipaddress.ip_address(address.address.partition("%")[0])
            if ip.is_link_local or (ip.version == 4 and ip.is_loopback):
                continue
            found.append(str(ip))
    return tuple(dict.fromkeys(found))


def check_addresses(addresses: Sequence[str]) -> tuple[str, ...]:
    """``--bind`` values as literal addresses, each once. Raises EngineFailure for anything else."""
    return tuple(dict.fromkeys(map(_checked, addresses)))


async def listen_for_ingress(
    keeper: Keeper,
    bind: Sequence[str],
    *,
    http_port: int | None,
    https_port: int | None,
) -> IngressSockets:
    """Have the keeper listen at one port for HTTP and one for HTTPS, on all of ``bind``.

    Empty ``bind``: on every address that the machine has now. A port of None tries 80 (443)
    where this user may, then 8080 (8443); 0 takes a free one. Nobody depends on an HTTPS port
    that was not asked for: where neither is free, any is taken. Raises EngineFailure when a port
    is taken or an address of ``bind`` is not this machine's.
    """
    at = _Addresses(bind or machine_addresses(), must_all_be=bool(bind))
    held = await keeper.listening()
    http, refusals = await _listen_one(keeper, held, HTTP, at, ports=_tried(HTTP, http_port))
    https, _ = await _listen_one(
        keeper, held, HTTPS, at, ports=_tried(HTTPS, https_port, or_any=True)
    )
    hint = f"HTTP is on port {_port(http)}: {refusals[0]}; {ALLOW_LOW_PORTS}" if refusals else ""
    return IngressSockets(http=http, https=https, hint=hint)


async def drop_unused(keeper: Keeper, used: Collection[str]) -> list[str]:
    """Let go of the Ingress's sockets that no process uses any more; returns their names."""
    held = await keeper.listening()
    ours = [name for name in held if name.startswith((HTTP.prefix, HTTPS.prefix))]
    unused = [name for name in ours if name not in used]
    for name in unused:
        await keeper.unlisten(name)
    return unused


async def follow_addresses(
    keeper: Keeper,
    sockets: IngressSockets,
    changed: Callable[[IngressSockets], None],
    *,
    used: Callable[[], Collection[str]],
    bind: Sequence[str] = (),
    every_s: float = _LOOK_EVERY_S,
) -> None:
    """Listen on addresses that come too; ``changed`` is told of every change, until cancelled.

    A socket whose address has gone is let go of only when no process has it (``used``): until
    then it serves again as soon as the address comes back. What ``bind`` names stays.
    """
    complained = ""
    while True:
        await asyncio.sleep(every_s)
        try:
            await drop_unused(keeper, {*used(), *sockets.http, *sockets.https})
            if bind or sockets.hosts == set(machine_addresses()):
                continue
            found = await listen_for_ingress(
                keeper, (), http_port=sockets.http_port, https_port=sockets.https_port
            )
            complained = ""
        except (KeeperFailure, EngineFailure) as failure:
            if str(failure) != complained:
                log.warning("the Ingress does not follow the machine's addresses: %s", failure)
            complained = str(failure)
            continue
        if found.hosts != sockets.hosts:
            came, went = sorted(found.hosts - sockets.hosts), sorted(sockets.hosts - found.hosts)
            log.info("addresses that came: %s; that went: %s", came, went)
            sockets = replace(found, hint=sockets.hint)
            changed(sockets)


# Private


@dataclass(frozen=True, slots=True)
class _Addresses:
    """Where to listen; those that a person named ``must_all_be`` there."""

    addresses: Sequence[str]
    must_all_be: bool


def _checked(address: str) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        hint = "an IPv4 or IPv6 address without port and brackets, e.g. --bind 127.0.0.1 --bind ::1"
        raise EngineFailure(f"--bind {address}: not an IP address", hint=hint) from None
    if ip.is_unspecified:
        raise EngineFailure(
            f"--bind {address}: the wildcard would keep pods from binding the same port on "
            "their own addresses",
            hint="leave --bind out to listen on every address of this machine",
        )
    if ip.is_multicast or ip.is_link_local:
        kind = "multicast" if ip.is_multicast else "link-local"
        raise EngineFailure(
            f"--bind {address}: a {kind} address can't be listened on",
            hint="name a global, private or loopback address of this machine",
        )
    return str(ip)


def _tried(scheme: Scheme, port: int | None, *, or_any: bool = False) -> tuple[int, ...]:
    if port is not None:
        return (port,)
    return (*scheme.ports, 0) if or_any else scheme.ports


async def _listen_one(
    keeper: Keeper,
    held: Mapping[str, Place],
    scheme: Scheme,
    at: _Addresses,
    *,
    ports: Sequence[int],
) -> tuple[dict[str, Place], list[str]]:
    """Listen at the first of ``ports`` that can be had; also why those before it could not."""
    known = {place: name for name, place in held.items() if name.startswith(scheme.prefix)}
    refusals: list[str] = []
    for port in ports:
        try:
            return await _listen(keeper, known, scheme, at, port=port), refusals
        except KeeperFailure as error:
            if error.code not in _REFUSED:
                raise
            refusals.append(_refusal(scheme, port, error))
    raise EngineFailure(
        "; ".join(refusals), hint=f"choose another with {scheme.option} PORT, or 0 for a free one"
    )


async def _listen(
    keeper: Keeper, known: Mapping[Place, str], scheme: Scheme, at: _Addresses, *, port: int
) -> dict[str, Place]:
    taken: dict[str, Place] = {}
    fresh: list[str] = []
    try:
        for address in at.addresses:
            if (name := known.get((address, port))) is None:
                name = f"{scheme.prefix}{address}:{port}"
                try:
                    port = await keeper.listen(name, address, port)
                except KeeperFailure as error:
                    if error.code != _NO_SUCH_ADDRESS:
                        raise
                    if at.must_all_be:
                        raise _no_such(address) from error
                    continue  # an address that has gone since, or is not ready yet
                fresh.append(name)
            taken[name] = (address, port)
    except (KeeperFailure, EngineFailure):
        for name in fresh:
            await keeper.unlisten(name)
        raise
    return taken


def _no_such(address: str) -> EngineFailure:
    return EngineFailure(
        f"--bind {address}: this machine has no such address",
        hint="it has " + ", ".join(machine_addresses()),
    )


def _port(places: Mapping[str, Place]) -> int:
    return next(iter(places.values()))[1]


def _refusal(scheme: Scheme, port: int, error: KeeperFailure) -> str:
    if error.code == errno.errorcode[errno.EACCES]:
        first = _FIRST_UNPRIVILEGED.read_text().strip()
        return f"{scheme.name} port {port} is only for root here (below {first})"
    return f"{scheme.name} port {port} is in use"


async def listen_api(server: ApiServer, *, asked: int | None, before: int | None) -> int:
    """The port of the API: as asked (0: a free one), else as before, so that a kubeconfig that was
    copied stays good, else the usual one, or a free one where that is taken.

    Raises EngineFailure when a port that was asked for, or was ours before, can't be had.
    """
    port = asked or (before if before is not None else USUAL_API_PORT if asked is None else 0)
    try:
        return await server.start(API_HOST, port)
    except OSError as error:
        if asked is None and before is None and error.errno == errno.EADDRINUSE:
            free = await server.start(API_HOST, 0)
            log.warning("API port %d is taken: this engine's API is at %d", port, free)
            return free
        raise EngineFailure(
            f"API port {port} on {API_HOST} can't be listened on: {error.strerror or error}",
            hint="choose another with --api-port PORT, or 0 for a free one",
        ) from error
