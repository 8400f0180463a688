"""From what HAProxy serves to what it should serve: commands, and answers read; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodrop.proxy.haproxy.layout import Layout, Placed
from nodrop.proxy.haproxy.slots import (
    HOLD,
    authority_file,
    pod_of_server,
    section_names,
    server_addresses,
    slot_of_section,
)
from nodrop.proxy.protocol import RoutingTable

#: srv_admin_state bits that don't keep a server from working: "disabled in the configuration",
#: which stays set after the server was made ready.
_HARMLESS_ADMIN_BITS = 0x04


#: Section → server name → whether it takes requests. Of the hundreds of spare sections none is
#: here: what is not is as it was configured, so that a change costs what it concerns.
Servers = dict[str, dict[str, bool]]


@dataclass(slots=True)
class Served:
    """What the main process holds: the servers of its slots' sections, its maps, and the files
    that certificates of servers are checked against."""

    servers: Servers = field(default_factory=dict)
    maps: dict[str, dict[str, str]] = field(default_factory=dict)
    authorities: set[str] = field(default_factory=set)

    def routes_like(self, other: Served) -> bool:
        """Whether the same servers take requests, and requests find them by the same maps."""
        return self.maps == other.maps and self._ready() == other._ready()

    def _ready(self) -> set[tuple[str, str]]:
        return {
            (section, name)
            for section, servers in self.servers.items()
            for name, ready in servers.items()
            if ready
        }

    def occupied(self) -> set[int]:
        """Slots that still have servers, even withdrawn ones."""
        return {
            slot
            for section, servers in self.servers.items()
            if servers.keys() - {HOLD} and (slot := slot_of_section(section)) is not None
        }

    def sections_of(self, pod: str) -> set[str]:
        return {
            section
            for section, servers in self.servers.items()
            if any(pod_of_server(name) == pod for name in servers if name != HOLD)
        }

    def withdrawn(self) -> list[tuple[str, str]]:
        """(section, server) that takes no requests any more: to be deleted."""
        return [
            (section, name)
            for section, servers in sorted(self.servers.items())
            for name, ready in sorted(servers.items())
            if not ready and name != HOLD
        ]


@dataclass(frozen=True, slots=True)
class Change:
    """Commands in two steps, between which the maps change: new pods first, old ones last.

    ``authorities`` are files that must be loaded before: name → content.
    """

    before: tuple[str, ...]
    after: tuple[str, ...]
    servers: Servers
    authorities: Mapping[str, str] = field(default_factory=dict)


def diff_servers(served: Served, table: RoutingTable, placed: Placed, layout: Layout) -> Change:
    """The commands that make the servers of all slots those of the table."""
    before: list[str] = []
    after: list[str] = []
    wanted = _wanted(table, placed, layout)
    for section in sorted(wanted.keys() | served.servers.keys()):
        have = served.servers.get(section, {})
        want = wanted.get(section, {})
        for name, address in sorted(want.items()):
            before += _admit(f"{section}/{name}", address, have.get(name))
        for name, ready in sorted(have.items()):
            if ready and name not in want:
                after.append(f"set server {section}/{name} state maint")
    needed = authorities_of(table)
    missing = {file: pem for file, pem in needed.items() if file not in served.authorities}
    return Change(tuple(before), tuple(after), _servers_after(served, wanted), missing)


def authorities_of(table: RoutingTable) -> dict[str, str]:
    """All that some backend's certificate is checked against: file name → content."""
    return {
        authority_file(backend.tls.authority): backend.tls.authority
        for backends in table.pools.values()
        for backend in backends
        if backend.tls and backend.tls.authority
    }


#: Section → server name → its address and options; the hold server is there from the start.
_Wanted = dict[str, dict[str, str]]


def _wanted(table: RoutingTable, placed: Placed, layout: Layout) -> _Wanted:
    wanted: _Wanted = {}
    classes = layout.classes()
    for pool, slot in placed.all():
        servers = server_addresses(table.pools.get(pool, frozenset()), classes[slot])
        if pool in table.waiting:
            servers[HOLD] = ""
        wanted |= dict.fromkeys(section_names(slot, classes[slot]), servers)
    return wanted


def _admit(server: str, address: str, ready: bool | None) -> list[str]:
    commands = []
    if ready is None and address:
        commands.append(f"add server {server} {address}")
    if not ready:
        commands.append(f"set server {server} state ready")
    return commands


def _servers_after(served: Served, wanted: Mapping[str, Mapping[str, str]]) -> Servers:
    return _in_use(
        {
            section: {
                name: name in wanted.get(section, {})
                for name in {*served.servers.get(section, {}), *wanted.get(section, {})}
            }
            for section in {*served.servers, *wanted}
        }
    )


def _in_use(servers: Servers) -> Servers:
    """Without the sections that are as configured: no server but one that holds nothing."""
    return {section: held for section, held in servers.items() if held not in _SPARE}


_SPARE: tuple[dict[str, bool], ...] = ({}, {HOLD: False})


def plan_maps(
    served: Mapping[str, Mapping[str, str]], wanted: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, dict[str, str]]]:
    """The maps to replace, in order; no request finds an entry that refers to none.

    ``wanted`` names what others refer to before those others. What is new comes in that order,
    beside what is old; then what is old goes in the order turned round. A map that is not served
    is one that no rule asks.
    """
    steps = []
    wanted = {name: entries for name, entries in wanted.items() if name in served}
    for name, entries in wanted.items():
        if not entries.items() <= served[name].items():
            steps.append((name, {**served[name], **entries}))
    present = {**served, **dict(steps)}
    for name, entries in reversed(list(wanted.items())):
        if present[name].keys() != entries.keys():
            steps.append((name, dict(entries)))
    return steps


# Reading HAProxy's answers.


def parse_servers(text: str) -> Servers:
    """``show servers state`` → section → server → whether it takes requests."""
    servers: Servers = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 7 or line.startswith("#") or slot_of_section(words[1]) is None:
            continue
        ready = not int(words[6]) & ~_HARMLESS_ADMIN_BITS
        servers.setdefault(words[1], {})[words[3]] = ready
    return _in_use(servers)


def parse_server_names(config: str) -> set[str]:
    """The servers that a configuration file names, in comments too."""
    words = (line.removeprefix("#").split() for line in config.splitlines())
    return {line[1] for line in words if line[:1] == ["server"] and line[1] != HOLD}


def parse_map(text: str) -> dict[str, str]:
    """``show map`` → key → value."""
    entries = {}
    for line in text.splitlines():
        if len(words := line.split(maxsplit=2)) == 3:
            entries[words[1]] = words[2]
    return entries
