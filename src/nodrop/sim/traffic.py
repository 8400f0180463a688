"""Requests through the simulated data plane: none may be lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from nodrop.proxy.protocol import Backend, ServicePort
from nodrop.sim.data_plane import SimProxy
from nodrop.sim.runtime import App, SimRuntime

_POOL = ServicePort("default", "web", 80)


class Requests:
    """A client that sends a request now and then; ``on_lost`` hears of each that isn't answered."""

    def __init__(
        self,
        proxy: SimProxy,
        runtime: SimRuntime,
        *,
        rng: random.Random,
        on_lost: Callable[[Backend | None, str], None],
    ) -> None:
        self._proxy = proxy
        self._runtime = runtime
        self._rng = rng
        self._on_lost = on_lost
        self._open: dict[str, dict[int, tuple[asyncio.TimerHandle, Backend]]] = {}
        self.sent = 0
        self.answered = 0

    async def run(self, *, every_s: float, longest_s: float) -> None:
        """Send until cancelled."""
        while True:
            await asyncio.sleep(every_s * 2 * self._rng.random())
            self._send(longest_s * self._rng.random() ** 2)

    def app_ended(self, app: App, why: str) -> None:
        """Its connections are cut: what it had in hand is lost."""
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

    # Private

    def _send(self, takes_s: float) -> None:
        self.sent += 1
        if not self._proxy.table.pools:
            return  # nothing is published yet
        backend = self._proxy.memory.choose(_POOL)
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
