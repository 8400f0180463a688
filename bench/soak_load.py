"""All the soak's clients at once: every protocol, each message checked byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bench.clients import http1, http2, rpc, tcp
from bench.soak_app import event_data
from nodrop.rehearse.echoes import Connect, EchoLoad, EchoSpec
from nodrop.rehearse.process import LoadProcess, arguments_for
from nodrop.rehearse.record import Record
from nodrop.rehearse.schedule import Target
from nodrop.rehearse.sse import EventLoad, EventSpec
from nodrop.rehearse.stream import End
from nodrop.rehearse.websocket import WebSocket

_TIMEOUT_S = 20.0
_EVENTS_A_SECOND = 20
_DOWNLOAD_BYTES, _DOWNLOAD_S = 400_000, 1.5


@dataclass(frozen=True, slots=True)
class Entrances:
    """Where clients come in: the Ingress by HTTP and HTTPS, and the Service's own ports by name."""

    url: str
    web: Target
    tls: Target
    service: Mapping[str, Target]


@dataclass(frozen=True, slots=True)
class ClientKind:
    """``connections`` clients that send ``rate`` messages a second each."""

    connections: int
    rate: float
    payload_bytes: int
    connect: Callable[[Entrances], Connect]


#: At the usual rate of 400 requests a second by the plain HTTP load; all scale with it.
CLIENTS: Mapping[str, ClientKind] = {
    "WEBSOCKET": ClientKind(
        10, 10, 200, lambda at: partial(WebSocket.connect, at.web, "/ws", timeout_s=_TIMEOUT_S)
    ),
    "TCP": ClientKind(8, 10, 200, lambda at: partial(tcp.Tcp.connect, at.service["tcp"])),
    "GRPC": ClientKind(4, 10, 200, lambda at: partial(rpc.Rpc.connect, at.service["grpc"], "Echo")),
    "GRPC-STREAM": ClientKind(
        2, 8, 200, lambda at: partial(rpc.Rpc.connect, at.service["grpc"], "Split")
    ),
    "GRPC-INGRESS": ClientKind(2, 10, 200, lambda at: partial(rpc.Rpc.connect, at.web, "Echo")),
    "HTTP2": ClientKind(3, 10, 2000, lambda at: partial(http2.Http2.connect, at.tls)),
    "CHUNKED": ClientKind(4, 10, 4000, lambda at: _http1(at.web, http1.chunked)),
    "CONTINUE": ClientKind(2, 10, 4000, lambda at: _http1(at.web, http1.expecting)),
    "PIPELINED": ClientKind(2, 10, 300, lambda at: _http1(at.web, http1.pipelined)),
    "SERVICE": ClientKind(4, 10, 300, lambda at: _http1(at.service["http"], http1.chunked)),
    "DOWNLOAD": ClientKind(
        3, 0.5, 16, lambda at: _http1(at.web, http1.download(_DOWNLOAD_BYTES, _DOWNLOAD_S))
    ),
}
EVENTS = "SSE"
EVERY_KIND = (*CLIENTS, EVENTS)


def _http1(target: Target, ask: Callable[[Target, bytes], http1.Ask]) -> Connect:
    return partial(http1.Http1.connect, target, ask)


class _Runs(Protocol):
    def stop(self) -> None: ...

    async def run(self) -> None: ...


@dataclass(slots=True)
class SoakLoad:
    """Runs everything until stopped. GET, POST, slow and fresh ones come from a process."""

    entrances: Entrances
    rate: float
    sink: Callable[[list[Record]], None]
    on_end: Callable[[End], None]
    kinds: Collection[str] = EVERY_KIND
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        """Send until ``stop``; returns once everything under way has ended."""
        loads = self._streams()
        plain = await LoadProcess.start(
            [*arguments_for(self.entrances.url, rate=self.rate), "--timeout-s", f"{_TIMEOUT_S:g}"]
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._collect(plain), name="soak http")
                for load in loads:
                    group.create_task(load.run(), name="soak streams")
                await self._stopping.wait()
                plain.stop()
                for load in loads:
                    load.stop()
        finally:
            await plain.kill()

    async def _collect(self, plain: LoadProcess) -> None:
        async for batch in plain.batches():
            self.sink(batch)

    def _streams(self) -> list[_Runs]:
        factor = self.rate / 400
        loads: list[_Runs] = [
            EchoLoad(
                EchoSpec(
                    name,
                    connections=kind.connections,
                    rate=kind.rate * factor,
                    payload_bytes=kind.payload_bytes,
                    timeout_s=_TIMEOUT_S,
                    again_after_cut=name in ("WEBSOCKET", "TCP"),
                ),
                kind.connect(self.entrances),
                sink=self._one,
                on_end=self.on_end,
            )
            for name, kind in CLIENTS.items()
            if name in self.kinds
        ]
        if EVENTS in self.kinds:
            loads.append(self._events(factor))
        return loads

    def _events(self, factor: float) -> EventLoad:
        spec = EventSpec(
            path=f"/events?every_ms={1000 / _EVENTS_A_SECOND / factor:g}",
            connections=5,
            silence_s=_TIMEOUT_S,
            is_right=lambda number, data: data == event_data(number),
            kind=EVENTS,
        )
        return EventLoad(spec, self.entrances.web, sink=self._one, on_end=self.on_end)

    def _one(self, record: Record) -> None:
        self.sink([record])
