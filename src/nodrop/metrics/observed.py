"""Parts of the engine with a watch beside them: proxy, traffic and store as before, but timed."""

from __future__ import annotations

import time

from nodrop.client.traffic import Traffic, Withdrawn
from nodrop.metrics.directory import Directory
from nodrop.metrics.instruments import Instruments
from nodrop.model.meta import Uid
from nodrop.proxy.layer import ProxyLayer
from nodrop.proxy.protocol import Applied, Proxy, ProxyFailure, RoutingTable
from nodrop.store.layer import StoreLayer
from nodrop.store.protocol import Change, Store, Write


class ObservedProxy(ProxyLayer):
    """A Proxy whose applies are counted."""

    def __init__(self, proxy: Proxy, instruments: Instruments) -> None:
        super().__init__(proxy)
        self._instruments = instruments

    async def apply(self, table: RoutingTable) -> Applied:
        began_s = time.perf_counter()
        try:
            applied = await self._proxy.apply(table)
        except ProxyFailure:
            self._instruments.proxy_applies.labels("failure").inc()
            raise
        self._instruments.proxy_applies.labels("success").inc()
        self._instruments.proxy_apply_duration.observe(time.perf_counter() - began_s)
        self._instruments.proxy_reloads.inc(applied.reloads)
        return applied


class ObservedTraffic:
    """A Traffic whose withdrawals are counted."""

    def __init__(self, traffic: Traffic, instruments: Instruments, directory: Directory) -> None:
        self._traffic, self._instruments, self._directory = traffic, instruments, directory

    async def withdraw(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        withdrawn = await self._traffic.withdraw(
            pod, address, budget_s=budget_s, answers_s=answers_s
        )
        self._instruments.withdrew(self._directory.name_of(pod), withdrawn)
        return withdrawn

    async def pause(
        self, pod: Uid, address: str, *, budget_s: float, answers_s: float = 0.0
    ) -> Withdrawn:
        paused = await self._traffic.pause(pod, address, budget_s=budget_s, answers_s=answers_s)
        self._instruments.paused(self._directory.name_of(pod), paused)
        return paused

    async def cut(self, pod: Uid, *, spread_s: float) -> int:
        closed = await self._traffic.cut(pod, spread_s=spread_s)
        self._instruments.cut(self._directory.name_of(pod), closed)
        return closed

    async def forget(self, pod: Uid) -> None:
        await self._traffic.forget(pod)


class ObservedStore(StoreLayer):
    """A Store whose commits are timed."""

    def __init__(self, store: Store, instruments: Instruments) -> None:
        super().__init__(store)
        self._instruments = instruments

    def commit(self, write: Write) -> Change:
        began_s = time.perf_counter()
        try:
            return self._store.commit(write)
        finally:
            self._instruments.commit_duration.observe(time.perf_counter() - began_s)
