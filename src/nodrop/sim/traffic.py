"""Requests and streams through the simulated data plane: no request may be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from nodrop.proxy.protocol import Backend, ServicePort
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.runtime import App, SimRuntime


class Stream:
    """A long-lived connection to one run of an app."""

    def __init__(self, requests: Requests, app: App, pod: str) -> None:
        self.app, self.pod = app, pod
        self._requests = requests
        requests._proxy.open_stream(pod, self.close)

    def close(self) -> None:
        self._requests._proxy.end_stream(self.pod, self.close)
        self._requests.closed(self)


class Requests:
    """A client of one Service that sends a request now and then, or opens a stream.

    ``on_lost`` hears of each request that isn't answered, ``on_cut`` of the pod of each stream
    that the data plane closes.
    """

    def __init__(
        self,
        proxy: SimProxy,
        runtime: SimRuntime,
        pool: ServicePort,
        *,
        rng: random.Random,
        stream_rng: random.Random,
        on_lost: Callable[[Backend | None, str], None],
        on_cut: Callable[[str], None],
    ) -> None:
        self._proxy = proxy
        self._runtime = runtime
        self._pool = pool
        self._rng = rng
        self._stream_rng = stream_rng
        self._on_lost = on_lost
        self._on_cut = on_cut
        self._streams: dict[App, list[Stream]] = {}
        self._open: dict[str, dict[int, tuple[asyncio.TimerHandle, Backend]]] = {}
        self.sent = 0
        self.answered = 0

    async def run(self, *, every_s: float, longest_s: float) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(every_s * 2 * self._rng.random())
            self._send(longest_s * self._rng.random() ** 2)

    async def open_streams(self, *, every_s: float) -> None:
        """Open long-lived connections now and then until cancelled; they end with their app, or
        when the data plane closes them."""
        while True:
            await asyncio.sleep(every_s * 2 * self._stream_rng.random())
            backend = self._proxy.memory.choose(self._pool) if self._published else None
            if backend is None:
                continue
            app = self._runtime.app_at(backend.address)
            if app is not None and app.spec.pod_uid == backend.pod:
                self._streams.setdefault(app, []).append(Stream(self, app, backend.pod))

    def closed(self, stream: Stream) -> None:
        """The data plane has closed it."""
        self._streams[stream.app].remove(stream)
        self._on_cut(stream.pod)

    def app_ended(self, app: App, why: str) -> None:
        """Its connections are cut: what it had in hand is lost. Streams are its own to end."""
        for stream in self._streams.pop(app, ()):
            self._proxy.end_stream(stream.pod, stream.close)
        for timer, backend in self._open.pop(app.spec.pod_uid, {}).values():
            timer.cancel()
            self._proxy.end(backend)
            self._on_lost(backend, f"cut by the end of {app.spec.id}: {why}")

    def cut_all(self) -> None:
        """The data plane itself dies: nobody answers for that."""
        for held in list(self._open.values()):
            for timer, backend in held.values():
                timer.cancel()
                self._proxy.end(backend)
        self._open.clear()
        for streams in list(self._streams.values()):
            for stream in streams:
                self._proxy.end_stream(stream.pod, stream.close)
        self._streams.clear()

    # Private

    @property
    def _published(self) -> bool:
        return self._pool in self._proxy.table.pools

    def _send(self, takes_s: float) -> None:
        self.sent += 1
        if not self._published:
            return
        backend = self._proxy.memory.choose(self._pool)
        if backend is None:
            self._on_lost(None, "no backend")
            return
        loop = asyncio.get_running_loop()
        app = self._runtime.app_at(backend.address)
        if app is None or app.spec.pod_uid != backend.pod or not app.serves(loop.time()):
            self._on_lost(backend, "refused")
            return
        self._proxy.begin(backend)
        timer = loop.call_later(takes_s, self._answered, backend, self.sent)
        self._open.setdefault(backend.pod, {})[self.sent] = timer, backend

    def _answered(self, backend: Backend, number: int) -> None:
        held = self._open[backend.pod]
        del held[number]
        if not held:
            del self._open[backend.pod]
        self.answered += 1
        self._proxy.end(backend)
