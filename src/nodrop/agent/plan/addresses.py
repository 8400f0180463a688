"""Which address of the pod network a new pod gets. Pure but for the pool's own memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

#: An address of a pod that has ended rests this long, so that a late connection meets nobody.
REST_S = 60.0


def next_address(network: IPv4Network, taken: set[str], after: str | None) -> str | None:
    """The first free address after ``after``, going round; None when all are taken.

    The network's first two addresses and its last are never given out.
    """
    first, last = int(network.network_address) + 2, int(network.broadcast_address) - 1
    size = last - first + 1
    if size < 1:
        return None
    start = first if after is None else int(IPv4Address(after)) + 1
    for step in range(min(size, len(taken) + 1)):
        candidate = str(IPv4Address(first + (start - first + step) % size))
        if candidate not in taken:
            return candidate
    return None


class AddressPool:
    """Addresses in use by pod uid; released ones rest for a while."""

    def __init__(self, cidr: str) -> None:
        self._network = IPv4Network(cidr)
        self._used: dict[str, str] = {}  # uid → address
        self._resting: dict[str, datetime] = {}
        self._last: str | None = None

    def keep(self, uid: str, address: str) -> None:
        """A pod has this address already (recorded in its status)."""
        self._used[uid] = address
        number = IPv4Address(address)
        latest = self._last is None or number > IPv4Address(self._last)
        if latest and number in self._network:
            self._last = address

    def address_of(self, uid: str, now: datetime) -> str | None:
        """The pod's address, a new one the first time; None when none is free."""
        if uid in self._used:
            return self._used[uid]
        for address, until in list(self._resting.items()):
            if until <= now:
                del self._resting[address]
        found = next_address(
            self._network, set(self._used.values()) | set(self._resting), self._last
        )
        if found is not None:
            self._used[uid] = self._last = found
        return found

    def release(self, uid: str, now: datetime) -> None:
        """The pod is gone; its address rests before it is used again."""
        address = self._used.pop(uid, None)
        if address is not None:
            self._resting[address] = now + timedelta(seconds=REST_S)
