"""From what HAProxy serves to what it should serve: slots, commands, answers read; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from nodrop.proxy.haproxy.slots import (
    HOLD,
    Slots,
    pod_of_server,
    server_address,
    server_name,
    slot_name,
)
from nodrop.proxy.protocol import Backend, RoutingTable, ServicePort

#: srv_admin_state bits that don't keep a server from working: "disabled in the configuration",
#: which stays set after the server was made ready.
_HARMLESS_ADMIN_BITS = 0x04


@dataclass(slots=True)
class Served:
    """What the main process holds: slot → server name → whether it takes requests; its maps."""

    servers: dict[int, dict[str, bool]] = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)

    def occupied(self) -> set[int]:
        """Slots that still have servers, even withdrawn ones."""
        return {slot for slot, servers in self.servers.items() if servers.keys() - {HOLD}}

    def slots_of(self, pod: str) -> set[int]:
        return {
            slot
            for slot, servers in self.servers.items()
            if any(pod_of_server(name) == pod for name in servers if name != HOLD)
        }

    def withdrawn(self) -> list[tuple[int, str]]:
        """Servers that take no requests any more: to be deleted."""
        return [
            (slot, name)
            for slot, servers in sorted(self.servers.items())
            for name, ready in sorted(servers.items())
            if not ready and name != HOLD
        ]


@dataclass(frozen=True, slots=True)
class Change:
    """Commands in two steps, between which the maps change: new pods first, old ones last."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    servers: dict[int, dict[str, bool]]


def plan_slots(
    pools: Iterable[ServicePort], present: Slots, *, total: int, occupied: Collection[int]
) -> dict[ServicePort, int] | None:
    """Give every pool a slot; None when there are not enough.

    A pool keeps its slot. A slot that was left by another pool is taken only when its last
    server is gone: until then a request of that pool may be inside.
    """
    wanted = sorted(set(pools))
    slots = {pool: present[pool] for pool in wanted if present.get(pool, total) < total}
    taken = set(present.values()) | set(occupied)
    free = iter(slot for slot in range(total) if slot not in taken)
    for pool in wanted:
        if pool not in slots:
            slot = next(free, None)
            if slot is None:
                return None
            slots[pool] = slot
    return slots


def pools_of(table: RoutingTable) -> set[ServicePort]:
    """Every pool that the table mentions."""
    default = [] if table.default is None else [table.default]
    return {*table.pools, *table.routes.values(), *table.listeners.values(), *default}


def diff_servers(served: Served, table: RoutingTable, slots: Slots) -> Change:
    """The commands that make the servers of all slots those of the table."""
    before: list[str] = []
    after: list[str] = []
    wanted = _wanted(table, slots)
    for slot in sorted(wanted.keys() | served.servers.keys()):
        have = served.servers.get(slot, {})
        want = wanted.get(slot, {})
        for name, backend in sorted(want.items()):
            before += _admit(slot, name, backend, have.get(name))
        for name, ready in sorted(have.items()):
            if ready and name not in want:
                after.append(f"set server {slot_name(slot)}/{name} state maint")
    return Change(tuple(before), tuple(after), _servers_after(served, wanted))


def _wanted(table: RoutingTable, slots: Slots) -> dict[int, dict[str, Backend | None]]:
    wanted: dict[int, dict[str, Backend | None]] = {}
    for pool, slot in slots.items():
        backends = table.pools.get(pool, frozenset())
        wanted[slot] = {server_name(backend): backend for backend in backends}
        if pool in table.waiting:
            wanted[slot][HOLD] = None
    return wanted


def _admit(slot: int, name: str, backend: Backend | None, ready: bool | None) -> list[str]:
    server = f"{slot_name(slot)}/{name}"
    commands = []
    if ready is None and backend is not None:
        commands.append(f"add server {server} {server_address(backend)}")
    if not ready:
        commands.append(f"set server {server} state ready")
    return commands


def _servers_after(
    served: Served, wanted: Mapping[int, Mapping[str, Backend | None]]
) -> dict[int, dict[str, bool]]:
    return {
        slot: {
            name: name in wanted.get(slot, {})
            for name in {*served.servers.get(slot, {}), *wanted.get(slot, {})}
        }
        for slot in {*served.servers, *wanted}
    }


# Reading HAProxy's answers.


def parse_servers(text: str) -> dict[int, dict[str, bool]]:
    """``show servers state`` → slot → server → whether it takes requests."""
    servers: dict[int, dict[str, bool]] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 7 or line.startswith("#") or not _is_slot(words[1]):
            continue
        ready = not int(words[6]) & ~_HARMLESS_ADMIN_BITS
        servers.setdefault(int(words[1][1:]), {})[words[3]] = ready
    return servers


def parse_server_names(config: str) -> set[str]:
    """The servers that a configuration file names, in comments too."""
    words = (line.removeprefix("#").split() for line in config.splitlines())
    return {line[1] for line in words if line[:1] == ["server"] and line[1] != HOLD}


def parse_map(text: str) -> dict[str, str]:
    """``show map`` → key → value."""
    entries = {}
    for line in text.splitlines():
        if len(words := line.split()) == 3:
            entries[words[1]] = words[2]
    return entries


def _is_slot(name: str) -> bool:
    return name[:1] == "s" and name[1:].isdigit()
