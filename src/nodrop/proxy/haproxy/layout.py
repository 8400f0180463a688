"""How many slots of which class the main process has, and which pool sits in which; pure.

A slot's class is what only its section of the configuration can say: the protocol towards the
pod and, with session affinity, how long its table remembers a client. Numbers run through all
classes, so that a slot's name is the same in maps, commands and files.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from nodrop.proxy.protocol import AppProtocol, RoutingTable, ServicePort

Slots = Mapping[ServicePort, int]


class SlotClass(NamedTuple):
    """``affinity_s``: how many seconds a client stays with its pod; 0 = no affinity."""

    mode: AppProtocol
    affinity_s: int = 0

    def __str__(self) -> str:
        return f"{self.mode}~{self.affinity_s}"


#: More ports than most machines serve; they double when that is not enough.
USUAL_SLOTS = 64
_DEFAULT_AFFINITY_S = 10800
#: A class that is asked for and has no slot begins with so many.
_FIRST_SLOTS = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """The classes in the order of their numbers, and how many slots each has."""

    counts: tuple[tuple[SlotClass, int], ...]

    @property
    def total(self) -> int:
        return sum(count for _, count in self.counts)

    def __str__(self) -> str:
        return "+".join(f"{one}*{count}" for one, count in self.counts)

    def classes(self) -> tuple[SlotClass, ...]:
        """The class of every slot, by number."""
        return tuple(one for one, count in self.counts for _ in range(count))

    def numbers(self, wanted: SlotClass) -> range:
        """The slots of a class."""
        first = 0
        for one, count in self.counts:
            if one == wanted:
                return range(first, first + count)
            first += count
        return range(0)

    def grown(self, needs: Mapping[SlotClass, int]) -> Layout:
        """Doubled where a class has less than a quarter to spare."""
        counts = dict(self.counts)
        for one, need in sorted(needs.items()):
            counts.setdefault(one, _FIRST_SLOTS)
            while counts[one] < need * 5 // 4:
                counts[one] *= 2
        return Layout(tuple(counts.items()))


def default_layout(slots: int = USUAL_SLOTS) -> Layout:
    """``slots`` for plain HTTP; of what is rarer a share. An empty one costs 32 KB of memory."""
    rarer = max(2, slots // 8)
    return Layout(
        (
            (SlotClass("http"), slots),
            (SlotClass("tcp"), max(2, slots // 4)),
            (SlotClass("h2c"), rarer),
            (SlotClass("https"), rarer),
            (SlotClass("http", _DEFAULT_AFFINITY_S), rarer),
            (SlotClass("tcp", _DEFAULT_AFFINITY_S), rarer),
        )
    )


def parse_layout(text: str) -> Layout | None:
    """What ``str(layout)`` has written; None when it is something else."""
    counts = []
    for part in text.split("+"):
        name, _, count = part.partition("*")
        mode, _, affinity = name.partition("~")
        if mode not in ("http", "h2c", "https", "tcp") or not (affinity + count).isdecimal():
            return None
        counts.append((SlotClass(mode, int(affinity)), int(count)))  # type: ignore[arg-type]  # seen above
    return Layout(tuple(counts))


# Which pool sits where.


@dataclass(frozen=True, slots=True)
class Placed:
    """The slots of all pools: those that requests come to, and those for connections (TCP).

    A pool can have both: an Ingress sends requests to a port whose own listeners speak TCP.
    """

    http: Slots = field(default_factory=dict)
    tcp: Slots = field(default_factory=dict)

    def all(self) -> list[tuple[ServicePort, int]]:
        return [*self.http.items(), *self.tcp.items()]


def pools_of(table: RoutingTable) -> set[ServicePort]:
    """Every pool that the table mentions."""
    return {*table.pools, *table.reached()}


def is_raw(protocol: AppProtocol) -> bool:
    """Whether a Service's own listeners pass connections on as they are. HTTPS: the client of a
    Service speaks TLS with the pod itself."""
    return protocol in ("tcp", "https")


@dataclass(frozen=True, slots=True)
class Needs:
    """The class of slot that each pool needs."""

    http: Mapping[ServicePort, SlotClass]
    tcp: Mapping[ServicePort, SlotClass]

    def counts(self) -> Counter[SlotClass]:
        return Counter([*self.http.values(), *self.tcp.values()])


def plan_needs(table: RoutingTable, before: Placed) -> Needs:
    """The slots that ``table`` needs when ``before`` serves.

    A listener whose port has changed its protocol keeps its slot of the other kind: clients with
    an open connection go on there.
    """
    listened = set(table.listeners.values())
    asked = table.routed()
    http, tcp = {}, {}
    for pool in pools_of(table):
        protocol = table.protocols.get(pool, "http")
        affinity_s = table.affinity.get(pool, 0)
        raw = is_raw(protocol)
        if pool in listened and (raw or pool in before.tcp):
            tcp[pool] = SlotClass("tcp", affinity_s)
        if not raw or pool in asked or pool not in listened or pool in before.http:
            http[pool] = SlotClass("http" if protocol == "tcp" else protocol, affinity_s)
    return Needs(http, tcp)


def place(
    needs: Needs, present: Placed, layout: Layout, occupied: Collection[int]
) -> Placed | None:
    """Give every pool its slots; None when there are not enough.

    A pool keeps a slot of the right class. One that was left by another pool is taken only when
    its last server is gone: until then a request of that pool may be inside.
    """
    taken = {slot for _, slot in present.all()} | set(occupied)
    http = _place(needs.http, present.http, layout, taken)
    tcp = _place(needs.tcp, present.tcp, layout, taken)
    return None if http is None or tcp is None else Placed(http, tcp)


def _place(
    needs: Mapping[ServicePort, SlotClass], present: Slots, layout: Layout, taken: Iterable[int]
) -> dict[ServicePort, int] | None:
    slots: dict[ServicePort, int] = {}
    taken = set(taken)
    free = {
        one: iter([slot for slot in layout.numbers(one) if slot not in taken])
        for one in set(needs.values())
    }
    for pool, one in sorted(needs.items()):
        slot = present.get(pool)
        if slot is None or slot not in layout.numbers(one):
            slot = next(free[one], None)
        if slot is None:
            return None
        slots[pool] = slot
    return slots


# The file that remembers it for the next engine.


def render_placed(placed: Placed) -> str:
    """As text: who comes after us finds every pool in its slot."""
    kinds = (("http", placed.http), ("tcp", placed.tcp))
    named = [[*pool, kind, slot] for kind, slots in kinds for pool, slot in sorted(slots.items())]
    return json.dumps(named)


def parse_placed(text: str) -> Placed:
    """What ``render_placed`` has written; anything else is nothing: every pool gets a slot anew."""
    slots: dict[str, dict[ServicePort, int]] = {"http": {}, "tcp": {}}
    try:
        for namespace, name, port, kind, slot in json.loads(text):
            slots[kind][ServicePort(namespace, name, port)] = slot
    except (ValueError, TypeError, KeyError):
        return Placed()
    return Placed(slots["http"], slots["tcp"])
