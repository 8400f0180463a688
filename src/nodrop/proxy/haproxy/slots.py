"""Slots, the spare backend sections that pools are served from, and their servers; pure.

A slot that takes requests has two sections: ``s7`` for safe methods, ``s7u`` for all others. Safe
requests share connections to the pods and are sent again when one breaks. What may have changed
something must never be sent twice: it gets a connection of its own, so that a connect that fails
can always be tried elsewhere, and one that breaks later is answered (502, saying that it may have
been processed) and not just closed, as HAProxy does with connections that were used before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from functools import lru_cache

from nodrop.proxy.haproxy.layout import Layout, Placed, SlotClass, Slots
from nodrop.proxy.haproxy.manner import Manner
from nodrop.proxy.protocol import Backend, BackendTls, RoutingTable, ServicePort

__all__ = ["Slots", "render_slots", "server_name", "slot_name"]

#: The server that refuses every connection: while it is the only one, requests are retried.
HOLD = "hold"

#: Sections take requests (``s7``, ``s7u``) or connections of TCP Services (``t8``).
_REQUESTS, _STREAMS, UNSAFE = "s", "t", "u"
SAFE_METHOD = "{ method GET HEAD OPTIONS TRACE }"
#: In a frontend: to the slot whose name is in ``txn.slot``; what must not be sent twice apart.
USE_SLOT = (
    f"  use_backend %[var(txn.slot)] if {SAFE_METHOD}",
    f"  use_backend %[var(txn.slot)]{UNSAFE}",
)

#: Where files of authorities are, relative to the folder that HAProxy runs in.
AUTHORITY_FOLDER = "authorities"

#: A pooled connection unused for this long is closed: apps that close idle connections early
#: would otherwise race with the next request (measured: 100 ms lost none, 500 ms some).
_POOLED = "pool-purge-delay 100ms"
#: Those of TLS depend on the backend.
_SERVER_OPTIONS = {"http": f" {_POOLED}", "h2c": f" proto h2 {_POOLED}", "tcp": ""}


#: What only a backend can do for a route with options: see options.py.
_ROUTE_OPTIONS = (
    "  http-request set-timeout server var(txn.timeout) if { var(txn.timeout) -m found }",
    "  use-server %[var(txn.stick)] if { var(txn.stick) -m found }",
)


def slot_name(slot: int) -> str:
    """The section of a slot for requests, as maps name it."""
    return f"{_REQUESTS}{slot}"


def stream_slot_name(slot: int) -> str:
    """The section of a slot for connections."""
    return f"{_STREAMS}{slot}"


def section_names(slot: int, one: SlotClass) -> tuple[str, ...]:
    """The backend sections of a slot."""
    if one.mode == "tcp":
        return (stream_slot_name(slot),)
    return (slot_name(slot), slot_name(slot) + UNSAFE)


def slot_of_section(name: str) -> int | None:
    """The number in a section's name; None for a section that is no slot."""
    number = name[1:].removesuffix(UNSAFE)
    return int(number) if name[:1] in (_REQUESTS, _STREAMS) and number.isdecimal() else None


def owners_of(placed: Placed, layout: Layout) -> dict[str, ServicePort]:
    """Whose each section is."""
    classes = layout.classes()
    return {
        section: pool
        for pool, slot in placed.all()
        for section in section_names(slot, classes[slot])
    }


def server_name(backend: Backend) -> str:
    """Names a server after all that it is, so that it can be read back from HAProxy."""
    tls = f"-{_digest(backend.tls)}" if backend.tls else ""
    return f"{backend.pod}_{backend.address}_{backend.port}{tls}"


def pod_of_server(name: str) -> str:
    """The pod uid in a server's name."""
    return name.rsplit("_", 2)[0]


def server_address(backend: Backend, one: SlotClass) -> str:
    """Where a server is and how it is spoken to."""
    host = f"[{backend.address}]" if ":" in backend.address else backend.address
    if one.mode == "https":
        return f"{host}:{backend.port} ssl {_tls_options(backend.tls)} {_POOLED}"
    return f"{host}:{backend.port}{_SERVER_OPTIONS[one.mode]}"


def server_addresses(backends: Iterable[Backend], one: SlotClass) -> dict[str, str]:
    """Server → where it is and how it is spoken to, of those that may be spoken to."""
    return {
        server_name(backend): server_address(backend, one)
        for backend in sorted(backends)
        if not (one.mode == "https" and backend.tls and backend.tls.closed)
    }


@lru_cache(maxsize=128)
def authority_file(pem: str) -> str:
    """The file of certificates that may sign those of backends, named after what it holds."""
    return f"{AUTHORITY_FOLDER}/{_digest((pem,))}.pem"


def render_slots(layout: Layout, table: RoutingTable, placed: Placed, manner: Manner) -> str:
    """All backend sections, with the present servers of those that are in use.

    Hundreds are spare and always the same text, and this is written whenever a pod comes or goes.
    """
    pool_of = {slot: pool for pool, slot in placed.all()}
    texts = []
    for slot, one in enumerate(layout.classes()):
        if (pool := pool_of.get(slot)) is None:
            texts.append(_spare(slot, one, manner))
        else:
            backends, waiting = table.pools.get(pool, frozenset()), pool in table.waiting
            texts.append(_slot(slot, one, manner, _servers(backends, one, waiting=waiting)))
    return "".join(texts)


# Private


@lru_cache(maxsize=4096)
def _spare(slot: int, one: SlotClass, manner: Manner) -> str:
    return _slot(slot, one, manner, _servers((), one, waiting=False))


def _slot(slot: int, one: SlotClass, manner: Manner, servers: Iterable[str]) -> str:
    lines: list[str] = []
    for section in section_names(slot, one):
        rules = _rules(section, slot, one)
        lines += [f"backend {section}", *manner.slot(section), *rules, *servers]
    return "\n".join(lines) + "\n"


def _tls_options(tls: BackendTls | None) -> str:
    if tls is None:
        return "verify none"
    if not tls.authority:
        return f"verify none sni str({tls.name})"
    return (
        f"verify required ca-file {authority_file(tls.authority)} verifyhost {tls.name}"
        f" sni str({tls.name})"
    )


def _digest(parts: Iterable[object]) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12]


def _rules(section: str, slot: int, one: SlotClass) -> Iterable[str]:
    yield "  balance roundrobin"
    if one.mode != "tcp":
        yield from _ROUTE_OPTIONS
    unsafe = section.endswith(UNSAFE)
    if one.mode == "tcp":
        yield "  mode tcp"
        yield "  timeout server 24h"
    if unsafe:
        yield "  retry-on conn-failure"
    if unsafe and one.mode != "h2c":
        yield "  option http-server-close"
    if one.affinity_s and not unsafe:
        yield f"  stick-table type ipv6 size 100k expire {one.affinity_s}s"
    if one.affinity_s:
        yield f"  stick on src table {section.removesuffix(UNSAFE)}"


def _servers(backends: Collection[Backend], one: SlotClass, *, waiting: bool) -> list[str]:
    hold = f"  server {HOLD} 127.0.0.1:1 backup" + ("" if waiting else " disabled")
    return [
        *(f"  server {name} {at}" for name, at in server_addresses(backends, one).items()),
        hold,
    ]
