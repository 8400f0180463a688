"""Which address of the pod network a new pod gets. Pure but for the pool's own memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

#: An address of a pod that has ended rests this long, so that a late connection meets nobody.
REST_S = 60.0
_GAP = 1024


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
        self._resting: dict[str, datetime] = {}  # in the order in which they were released
        self._taken: set[str] = set()
        self._last: str | None = None

    def keep(self, uid: str, address: str) -> None:
        """A pod has this address already (recorded in its status)."""
        self._used[uid] = address
        self._taken.add(address)
        self._resting.pop(address, None)
        number = IPv4Address(address)
        latest = self._last is None or number > IPv4Address(self._last)
        if latest and number in self._network:
            self._last = address

    def leave_gap(self) -> None:
        """Begin well behind the addresses in use: those just there may have ended a moment ago.

        For an agent that has restarted: what rested before is forgotten.
        """
        if self._last is not None:
            ahead = int(IPv4Address(self._last)) + min(_GAP, self._network.num_addresses // 4)
            if IPv4Address(ahead) in self._network:
                self._last = str(IPv4Address(ahead))
            else:
                self._last = str(self._network.network_address + 1)

    def address_of(self, uid: str, now: datetime) -> str | None:
        """The pod's address, a new one the first time; None when none is free."""
        if uid in self._used:
            return self._used[uid]
        self._wake_rested(now)
        found = next_address(self._network, self._taken, self._last)
        if found is not None:
            self._used[uid] = self._last = found
            self._taken.add(found)
        return found

    def release(self, uid: str, now: datetime) -> None:
        """The pod is gone; its address rests before it is used again."""
        address = self._used.pop(uid, None)
        if address is not None:
            self._resting.pop(address, None)
            self._resting[address] = now + timedelta(seconds=REST_S)

    def _wake_rested(self, now: datetime) -> None:
        """Only the longest resting ones are looked at: a pool of thousands costs no more."""
        while self._resting:
            address, until = next(iter(self._resting.items()))
            if until > now:
                return
            del self._resting[address]
            self._taken.discard(address)
