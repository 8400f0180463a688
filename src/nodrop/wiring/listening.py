"""Which addresses and port the Ingress listens on, and how a refusal is told."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from pathlib import Path

import psutil

from nodrop.keeper.protocol import Keeper, KeeperFailure
from nodrop.wiring.files import EngineFailure

_PORTS_BY_DEFAULT = (80, 8080)
_FIRST_UNPRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")


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
    """``--bind`` values as literal addresses. Raises EngineFailure for anything else."""
    for address in addresses:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            raise EngineFailure(
                f"--bind {address}: not an IP address", hint="e.g. --bind 127.0.0.1"
            ) from None
        if ip.is_unspecified:
            raise EngineFailure(
                f"--bind {address}: the wildcard would keep pods from binding the same port on "
                "their own addresses",
                hint="leave --bind out to listen on every address of this machine",
            )
    return tuple(addresses)


async def listen_for_ingress(
    keeper: Keeper, addresses: Sequence[str], port: int | None
) -> dict[str, tuple[str, int]]:
    """Have the keeper listen on all ``addresses`` at one port: socket name → (host, port).

    ``port`` None tries 80 where this user may, then 8080. Raises EngineFailure when it is taken.
    """
    held = {
        name: place
        for name, place in (await keeper.listening()).items()
        if name.startswith("ingress/")
    }
    if held:
        return held
    candidates = _PORTS_BY_DEFAULT if port is None else (port,)
    refusals: list[str] = []
    for candidate in candidates:
        try:
            return await _listen(keeper, addresses, candidate)
        except KeeperFailure as error:
            if error.code not in {errno.errorcode[errno.EADDRINUSE], errno.errorcode[errno.EACCES]}:
                raise
            refusals.append(_refusal(candidate, error))
    hint = "choose another with --http-port PORT, or 0 for a free one"
    raise EngineFailure("; ".join(refusals), hint=hint)


async def _listen(
    keeper: Keeper, addresses: Sequence[str], port: int
) -> dict[str, tuple[str, int]]:
    taken: dict[str, tuple[str, int]] = {}
    try:
        for address in addresses:
            name = f"ingress/{address}"
            try:
                port = await keeper.listen(name, address, port)
            except KeeperFailure as error:
                if error.code == errno.errorcode[errno.EADDRNOTAVAIL] and taken:
                    continue  # an address that has gone since, or IPv6 that is switched off
                raise
            taken[name] = (address, port)
    except KeeperFailure:
        for name in taken:
            await keeper.unlisten(name)
        raise
    return taken


def _refusal(port: int, error: KeeperFailure) -> str:
    if error.code == errno.errorcode[errno.EACCES]:
        first = _FIRST_UNPRIVILEGED.read_text().strip()
        return f"HTTP port {port} is only for root here (below {first})"
    return f"HTTP port {port} is in use"
